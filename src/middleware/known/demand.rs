//! [`Demand`]: which keys have been asked for often enough of late to have their responses stored.
//!
//! Keys are counted exactly, in two generations. Once the present generation is full or old, it becomes the former one,
//! and the former one is forgotten. So under a flood of keys that are asked for once the process remembers for less
//! time, and never takes more memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Address;
use crate::system::SaltedHash;

/// How many keys one generation counts.
pub(crate) const MOST: usize = 65_536;

/// How long one generation lasts.
pub(crate) const LONGEST: Duration = Duration::from_secs(600);

/// How often each key was asked for in this process.
#[derive(Debug)]
pub(crate) struct Demand {
    least: usize,
    hash: SaltedHash,
    asked: Mutex<RequestCounts>,
}

#[derive(Debug)]
struct RequestCounts {
    now: HashMap<u64, usize>,
    before: HashMap<u64, usize>,
    since: Instant,
}

/// The demand for one key.
#[derive(Debug)]
pub(crate) struct DemandOf {
    demand: Arc<Demand>,
    key: u64,
}

impl Demand {
    /// Enough are `least` requests.
    pub(crate) fn new(least: u32) -> Self {
        Self {
            least: least as usize,
            hash: SaltedHash::default(),
            asked: Mutex::new(RequestCounts {
                now: HashMap::new(),
                before: HashMap::new(),
                since: Instant::now(),
            }),
        }
    }

    fn asked(&self, now: Instant) -> MutexGuard<'_, RequestCounts> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.grow_older(now);
        asked
    }

    /// Counts one more request.
    pub(crate) fn ask(&self, address: &Address, now: Instant) {
        let key = self.hash.of(address);
        self.asked(now).ask(key, now);
    }

    pub(crate) fn of(self: &Arc<Self>, address: &Address) -> DemandOf {
        DemandOf {
            demand: Arc::clone(self),
            key: self.hash.of(address),
        }
    }
}

impl DemandOf {
    /// Whether it was asked for often enough.
    pub(crate) fn is_enough(&self, now: Instant) -> bool {
        self.demand.asked(now).count(self.key) >= self.demand.least
    }
}

impl RequestCounts {
    fn count(&self, key: u64) -> usize {
        let of = |generation: &HashMap<u64, usize>| generation.get(&key).copied().unwrap_or(0);
        of(&self.now).saturating_add(of(&self.before))
    }

    fn ask(&mut self, key: u64, now: Instant) {
        if self.now.len() >= MOST && !self.now.contains_key(&key) {
            self.turn_over(now);
        }
        let count = self.now.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    fn grow_older(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= LONGEST {
            self.turn_over(now);
        }
        if age >= LONGEST * 2 {
            self.before.clear();
        }
    }

    fn turn_over(&mut self, now: Instant) {
        self.before = std::mem::take(&mut self.now);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    fn address(id: usize) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_counted_one_by_one() {
        let demand = Arc::new(Demand::new(2));
        let now = Instant::now();
        demand.ask(&address(1), now);
        assert!(!demand.of(&address(1)).is_enough(now));
        demand.ask(&address(2), now);
        demand.ask(&address(1), now);
        assert!(demand.of(&address(1)).is_enough(now));
        assert!(!demand.of(&address(2)).is_enough(now));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_long_ago_is_forgotten() {
        let demand = Arc::new(Demand::new(2));
        let now = Instant::now();
        demand.ask(&address(1), now);
        demand.ask(&address(1), now + LONGEST);
        assert!(demand.of(&address(1)).is_enough(now + LONGEST));
        assert!(!demand.of(&address(1)).is_enough(now + LONGEST * 2));
        demand.ask(&address(1), now + LONGEST * 2);
        assert!(!demand.of(&address(1)).is_enough(now + LONGEST * 9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_keys_takes_no_more_memory_and_hides_no_key_that_goes_on() {
        let demand = Arc::new(Demand::new(2));
        let now = Instant::now();
        for id in 0..MOST * 5 / 2 {
            demand.ask(&address(id), now);
            if id % (MOST / 2) == 0 {
                demand.ask(&address(usize::MAX), now);
            }
        }
        assert!(demand.of(&address(usize::MAX)).is_enough(now));
        assert!(!demand.of(&address(0)).is_enough(now));
        let asked = demand.asked(now);
        assert!(asked.now.len() <= MOST && asked.before.len() <= MOST);
    }
}

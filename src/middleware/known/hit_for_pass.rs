//! [`HitForPass`]: which responses are not to be shared, so that no request waits for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Address;
use crate::memo::Config;
use crate::middleware::recording::endless::Ends;

/// A marker's life is shortened by up to this part of it, at random: keys that were marked together are not tried again
/// together.
pub(crate) const SPREAD: f64 = 0.1;

/// Bounds the memory. Beyond this many, the markers in the store have to do.
const MOST: usize = 4096;

/// The markers of this process.
#[derive(Debug, Default)]
pub(crate) struct HitForPass {
    /// With the time at which each falls.
    standing: Mutex<HashMap<Address, Instant>>,
    /// How many there are, so that a request need not take the lock to learn that there is none.
    len: AtomicUsize,
    pub(crate) ends: Ends,
}

impl HitForPass {
    fn standing(&self) -> MutexGuard<'_, HashMap<Address, Instant>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a marker now. Most caches have none, and then need not read the clock.
    pub(crate) fn stands(&self, address: &Address, now: impl FnOnce() -> Instant) -> bool {
        if self.len.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let now = now();
        self.standing().get(address).is_some_and(|end| now < *end)
    }

    pub(crate) fn put(&self, address: &Address, now: Instant, time: Duration) {
        let mut standing = self.standing();
        if standing.len() >= MOST {
            standing.retain(|_, end| now < *end);
        }
        if standing.len() < MOST || standing.contains_key(address) {
            standing.insert(address.clone(), now + time.min(Config::LONG));
        }
        self.len.store(standing.len(), Ordering::Relaxed);
    }

    /// Whether there was one.
    pub(crate) fn remove(&self, address: &Address) -> bool {
        let mut standing = self.standing();
        let removed = standing.remove(address).is_some();
        self.len.store(standing.len(), Ordering::Relaxed);
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    fn address(id: usize) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap())
    }

    #[test]
    fn marker_stands_for_its_time_or_until_it_is_removed() {
        let (markers, now, time) = (HitForPass::default(), Instant::now(), Duration::from_secs(1));
        markers.put(&address(1), now, time);
        assert!(markers.stands(&address(1), || now) && !markers.stands(&address(2), || now));
        assert!(!markers.stands(&address(1), || now + time));
        assert!(markers.remove(&address(1)) && !markers.remove(&address(1)));
        assert!(!markers.stands(&address(1), || now));
    }

    #[test]
    fn markers_are_bounded_and_those_that_fell_make_room() {
        let (markers, now, time) = (HitForPass::default(), Instant::now(), Duration::from_secs(1));
        for id in 0..=MOST {
            markers.put(&address(id), now, time);
        }
        assert!(!markers.stands(&address(MOST), || now));
        markers.put(&address(0), now, time * 2);
        markers.put(&address(MOST), now + time, time);
        assert!(markers.stands(&address(MOST), || now + time));
        assert_eq!(markers.standing().len(), 2);
    }
}

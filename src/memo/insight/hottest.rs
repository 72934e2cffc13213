//! [`Hottest`]: the keys that are asked for most, in bounded memory.
//!
//! The *space-saving* algorithm (Metwally and others, 2005). There is a fixed number of places. A key without a place
//! takes the place of the key with the lowest count, and has that count as its error. So a key that is asked for often
//! has a place, whatever else is asked for. The count is shown without the error: no key is shown as hotter than it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Address;

/// How many keys are counted.
const PLACES: usize = 64;

/// How many are shown.
const SHOWN: usize = 20;

/// How long one count goes on. The last and the present one are shown together.
const WINDOW: Duration = Duration::from_secs(300);

/// So many requests are counted one by one. After that only a sample is counted, because a hit in memory takes less
/// than a microsecond.
const EXACT: u64 = 4096;
const SAMPLED: u64 = 16;

/// Spreads the numbers from 0 on, so that no rhythm of requests meets that of the samples.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A key that is asked for often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hot {
    /// `TAG:ID`.
    pub(crate) address: String,
    /// How many requests there were for it in the last five to ten minutes, at least.
    pub(crate) requests: u64,
}

#[derive(Default)]
pub(crate) struct Hottest {
    asked: AtomicU64,
    windows: Mutex<Windows>,
}

struct Windows {
    since: Instant,
    present: Window,
    last: Window,
}

#[derive(Default)]
struct Window(HashMap<Box<str>, KeyTally>);

#[derive(Clone, Copy)]
struct KeyTally {
    count: u64,
    /// How many of these requests may have been for other keys.
    error: u64,
}

impl Hottest {
    pub(crate) fn ask(&self, address: &Address) {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if number < EXACT {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            return windows.count(address, 1);
        }
        // A request that finds the lock taken is not counted rather than made to wait.
        if number.wrapping_mul(GOLDEN) < u64::MAX / SAMPLED
            && let Ok(mut windows) = self.windows.try_lock()
        {
            windows.count(address, SAMPLED);
        }
    }

    pub(crate) fn top(&self) -> Vec<Hot> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.turn();
        let mut sums: HashMap<&str, u64> = HashMap::new();
        for (key, tally) in windows.present.0.iter().chain(&windows.last.0) {
            *sums.entry(key).or_default() += tally.count - tally.error;
        }
        let mut all: Vec<_> = sums.into_iter().filter(|(_, requests)| *requests > 0).collect();
        all.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        let hottest = all.into_iter().take(SHOWN);
        hottest
            .map(|(address, requests)| Hot {
                address: address.to_owned(),
                requests,
            })
            .collect()
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            present: Window::default(),
            last: Window::default(),
        }
    }
}

impl Windows {
    fn count(&mut self, address: &Address, requests: u64) {
        self.turn();
        self.present.count(address.as_str(), requests);
    }

    /// Begins another window where it is time.
    fn turn(&mut self) {
        let age = self.since.elapsed();
        if age < WINDOW {
            return;
        }
        self.last = std::mem::take(&mut self.present);
        if age >= 2 * WINDOW {
            self.last = Window::default();
        }
        self.since = Instant::now();
    }
}

impl Window {
    fn count(&mut self, key: &str, requests: u64) {
        if let Some(tally) = self.0.get_mut(key) {
            tally.count += requests;
            return;
        }
        let mut error = 0;
        if self.0.len() >= PLACES {
            let coldest = self.0.iter().min_by_key(|(_, tally)| tally.count);
            let Some((coldest, tally)) = coldest.map(|(key, tally)| (key.clone(), *tally)) else {
                return;
            };
            self.0.remove(&coldest);
            error = tally.count;
        }
        let count = error + requests;
        self.0.insert(key.into(), KeyTally { count, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    fn address(id: &str) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(id).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_hot_key_stands_out_among_any_number_of_others() {
        let hottest = Hottest::default();
        for number in 0..40_000 {
            hottest.ask(&address("hot"));
            hottest.ask(&address(&format!("cold {number}")));
        }
        let top = hottest.top();
        assert_eq!(top[0].address, "t:hot");
        let off = top[0].requests.abs_diff(40_000);
        assert!(off < 4_000, "{}", top[0].requests);
        assert!(top.iter().skip(1).all(|cold| cold.requests <= 16), "{top:?}");
        assert!(hottest.windows.lock().unwrap().present.0.len() <= PLACES);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_requests_are_counted_one_by_one() {
        let hottest = Hottest::default();
        for (id, requests) in [("a", 3), ("b", 5), ("c", 1)] {
            (0..requests).for_each(|_| hottest.ask(&address(id)));
        }
        let shown: Vec<_> = hottest
            .top()
            .into_iter()
            .map(|hot| (hot.address, hot.requests))
            .collect();
        assert_eq!(
            shown,
            [("t:b".to_owned(), 5), ("t:a".to_owned(), 3), ("t:c".to_owned(), 1)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_hot_is_forgotten() {
        let hottest = Hottest::default();
        hottest.ask(&address("old"));
        tokio::time::advance(WINDOW).await;
        hottest.ask(&address("new"));
        assert_eq!(hottest.top().len(), 2);
        tokio::time::advance(WINDOW).await;
        assert_eq!(hottest.top()[0].address, "t:new");
        assert_eq!(hottest.top().len(), 1);
        tokio::time::advance(2 * WINDOW).await;
        assert_eq!(hottest.top(), []);
    }
}

//! [`Pauses`]: which keys failed a moment ago.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::key::Address;
use crate::memo::Config;
use crate::middleware::stored_response::StoredResponse;

/// Bounds the memory: beyond, no pause begins.
const MOST: usize = 4096;

/// The pauses of this process.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    standing: Mutex<HashMap<Address, Pause>>,
    /// How many there are, so that a request need not take the lock to learn that there is none.
    len: AtomicUsize,
}

/// A pause that stands.
#[derive(Debug, Clone)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    pub(crate) failed: Failed,
}

/// What requests get meanwhile.
#[derive(Debug, Clone)]
pub(crate) enum Failed {
    /// The layer's own answer with this status.
    Status(StatusCode),
    /// A response that was made of an error.
    Response(Arc<StoredResponse>),
}

impl Failed {
    /// A failure without a response of the inner service.
    pub(crate) const UNAVAILABLE: Self = Self::Status(StatusCode::SERVICE_UNAVAILABLE);
}

impl Pauses {
    fn standing(&self) -> MutexGuard<'_, HashMap<Address, Pause>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, address: &Address, now: Instant, time: Duration, failed: Failed) {
        let until = now + time.min(Config::LONG);
        let mut standing = self.standing();
        if standing.len() >= MOST {
            standing.retain(|_, pause| now < pause.until);
        }
        let before = match standing.len() < MOST || standing.contains_key(address) {
            true => standing.insert(address.clone(), Pause { until, failed }),
            false => None,
        };
        self.len.store(standing.len(), Ordering::Relaxed);
        drop(standing);
        drop(before);
    }

    pub(crate) fn end(&self, address: &Address) {
        if self.len.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut standing = self.standing();
        let ended = standing.remove(address);
        self.len.store(standing.len(), Ordering::Relaxed);
        drop(standing);
        drop(ended);
    }

    /// The pause that stands for a key.
    pub(crate) fn of(&self, address: &Address, now: Instant) -> Option<Pause> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.standing().get(address).filter(|pause| now < pause.until).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    const TIME: Duration = Duration::from_secs(1);

    fn address(id: usize) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap())
    }

    #[test]
    fn a_pause_stands_for_its_time_or_until_it_is_ended() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        pauses.begin(&address(1), now, TIME, Failed::UNAVAILABLE);
        assert!(pauses.of(&address(1), now).is_some() && pauses.of(&address(2), now).is_none());
        assert!(pauses.of(&address(1), now + TIME).is_none());
        pauses.end(&address(1));
        assert!(pauses.of(&address(1), now).is_none());
        pauses.begin(&address(1), now, Duration::MAX, Failed::UNAVAILABLE);
        assert!(pauses.of(&address(1), now + TIME).is_some());
    }

    #[test]
    fn pauses_are_bounded_and_those_that_are_over_make_room() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        for id in 0..=MOST {
            pauses.begin(&address(id), now, TIME, Failed::UNAVAILABLE);
        }
        assert!(pauses.of(&address(MOST), now).is_none());
        pauses.begin(&address(MOST), now + TIME, TIME, Failed::UNAVAILABLE);
        assert!(pauses.of(&address(MOST), now + TIME).is_some());
        assert_eq!(pauses.standing().len(), 1);
    }
}

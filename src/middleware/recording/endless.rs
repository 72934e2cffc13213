//! Bodies that go on: how long followers wait for an end that may never come.
//!
//! A feed of changes, a tail of a log, an audio stream: their heads look like that of any page. Only time tells them
//! apart. A body whose head says how long it is ends. Every other body is given [`endless_after`], counted from its
//! head, and four times that where something else says that it ends:
//!
//! - the response says itself for how long it is fresh (`max-age`, `s-maxage`, `Expires`, a ttl of its handler): a
//!   response that is to be stored has an end;
//! - this process has seen a body for the same key come to its end within that time;
//! - it comes so fast that it would be longer than [`max_body`] by then, which decides the matter anyway.
//!
//! A reply of gRPC is over with its message, so its time is counted from there.
//!
//! A body that has not ended by then is *endless*: it belongs to the client that leads, the followers are set free, and
//! a [marker](crate::middleware::lead::marker) has the next requests go to the inner service at once. The first body
//! that ends in time after all, that of the leader included, removes the marker and is remembered. So a page that is
//! merely slow is computed once for all again from the next time on, and a request that can make a page slow for itself
//! keeps others apart only until one of them has its answer.
//!
//! [`endless_after`]: crate::middleware::ResponseLimits::endless_after
//! [`max_body`]: crate::middleware::ResponseLimits::max_body

use std::collections::HashSet;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::key::Address;
use crate::memo::Config;

/// How many times as long a body is given that is expected to end.
const EXPECTED: u32 = 4;

/// How long a body is given that is expected to end.
pub(crate) fn longest(endless_after: Duration) -> Duration {
    endless_after.saturating_mul(EXPECTED).min(Config::LONG)
}

/// Until when followers wait for a body.
#[derive(Debug)]
pub(crate) struct Horizon {
    since: Instant,
    after: Duration,
    /// The length from which on a body is too long.
    limit: u64,
    /// When the body is to be looked at.
    next: Option<Instant>,
}

impl Horizon {
    /// Of a body whose head came at that moment.
    pub(crate) fn new(since: Instant, after: Duration, limit: u64) -> Self {
        let after = after.min(Config::LONG);
        Self {
            since,
            after,
            limit,
            next: Some(since + after),
        }
    }

    /// The same, for a body that is expected to end.
    pub(crate) fn expected(mut self) -> Self {
        self.next = Some(self.since + longest(self.after));
        self
    }

    /// The same, for a body that is known to end, or of which this cannot be told yet.
    pub(crate) fn never(mut self) -> Self {
        self.next = None;
        self
    }

    /// Begins now.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(Instant::now(), self.after, self.limit);
    }

    /// Resolves once the body is to be looked at. Cancel safe.
    pub(crate) async fn reached(&self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => pending().await,
        }
    }

    /// Whether a body that has come to this length is endless. If not, the horizon is moved, for one more look.
    pub(crate) fn is_endless(&mut self, length: u64) -> bool {
        let (now, longest) = (Instant::now(), longest(self.after));
        let elapsed = now.saturating_duration_since(self.since);
        let by_then = u128::from(length).saturating_mul(longest.as_micros());
        let is_fast = by_then > u128::from(self.limit).saturating_mul(elapsed.as_micros());
        let goes_on = elapsed >= longest || !is_fast;
        self.next = (!goes_on).then(|| now + self.after / EXPECTED);
        goes_on
    }
}

/// The addresses whose bodies are known to end, although they take their time.
#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<HashSet<Address>>);

impl Ends {
    /// Bounds the memory: beyond, any of them is forgotten.
    const MOST: usize = 4096;

    fn known(&self) -> MutexGuard<'_, HashSet<Address>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn learn(&self, address: &Address) {
        let mut known = self.known();
        if known.len() >= Self::MOST
            && let Some(any) = known.iter().next().cloned()
        {
            known.remove(&any);
        }
        known.insert(address.clone());
    }

    pub(crate) fn forget(&self, address: &Address) {
        self.known().remove(address);
    }

    pub(crate) fn are_known(&self, address: &Address) -> bool {
        self.known().contains(address)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::key::{Key, Tag};

    const AFTER: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_endless_and_one_that_is_fast_is_given_more() {
        let mut horizon = Horizon::new(Instant::now(), AFTER, 1000);
        horizon.reached().await;
        assert!(horizon.is_endless(250));
        let mut horizon = Horizon::new(Instant::now(), AFTER, 1000);
        horizon.reached().await;
        assert!(!horizon.is_endless(251));
        // The body is slower now.
        horizon.reached().await;
        assert!(horizon.is_endless(251));
        let mut horizon = Horizon::new(Instant::now(), AFTER, 1000);
        advance(longest(AFTER)).await;
        horizon.reached().await;
        assert!(horizon.is_endless(1000));
    }

    #[tokio::test(start_paused = true)]
    async fn no_time_is_too_long_or_too_short() {
        for after in [Duration::MAX, Config::LONG, Duration::from_secs(u64::MAX)] {
            let mut horizon = Horizon::new(Instant::now(), after, u64::MAX).expected();
            assert!(horizon.is_endless(0) && horizon.next.is_none());
            horizon.restart();
        }
        let mut horizon = Horizon::new(Instant::now(), Duration::ZERO, u64::MAX);
        horizon.reached().await;
        assert!(horizon.is_endless(u64::MAX));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let address = |id: usize| Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap());
        let ends = Ends::default();
        (0..=Ends::MOST).for_each(|id| ends.learn(&address(id)));
        assert_eq!(ends.known().len(), Ends::MOST);
        assert!(ends.are_known(&address(Ends::MOST)));
        ends.forget(&address(Ends::MOST));
        assert!(!ends.are_known(&address(Ends::MOST)));
    }
}

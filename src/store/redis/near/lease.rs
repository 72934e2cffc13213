//! [`NearLease`]: for how long near copies may be served.
//!
//! Take the last `PING` to which the answer has come, *and also the answer to the next `PING`*. Copies are served while
//! that `PING` was sent no longer ago than the lag. One answer is not enough, because the server tells of changes at
//! the end of each turn of its event loop: a `PONG` can overtake the news of a change in its own turn. The next `PING`
//! was sent after that `PONG`, and is answered in a later turn.
//!
//! Two clocks have to agree, and each can only end the lease: the monotonic clock, which cannot be set, but stands
//! still while the machine sleeps; and the wall clock, which goes on then, but may be set.
//!
//! In a Redis Cluster each node gives a lease of its own, for the slots that it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::simulation::{Planted, planted};
use crate::system;

/// When a `PING` was sent, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    clock: Instant,
    wall: u64,
}

impl Sent {
    pub(crate) fn now() -> Self {
        Self {
            clock: Instant::now(),
            wall: wall(system::now()),
        }
    }

    /// The same, before the machine slept for so long: the monotonic clock stood still meanwhile.
    #[cfg(test)]
    pub(super) fn before_sleep(slept: Duration) -> Self {
        Self {
            clock: Instant::now(),
            wall: wall(system::now() - slept),
        }
    }
}

/// Until when copies may be served that rely on one server.
pub(crate) struct NearLease {
    lag: Duration,
    origin: Instant,
    /// Counts the connections to that server: copies that came by an earlier one are out of date.
    term: AtomicU64,
    /// Whether a copy was wanted lately.
    wanted: AtomicBool,
    /// In nanoseconds since the origin. This and the next field need not be read as a pair: each is true of a lease
    /// that was granted.
    until: AtomicU64,
    /// The same by the wall clock, since 1970.
    until_wall: AtomicU64,
}

impl NearLease {
    pub(crate) fn new(lag: Duration) -> Self {
        Self {
            lag,
            origin: Instant::now(),
            term: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            until: AtomicU64::new(0),
            until_wall: AtomicU64::new(0),
        }
    }

    pub(crate) fn lag(&self) -> Duration {
        self.lag
    }

    /// All that was changed before this `PING` was sent has been heard.
    pub(crate) fn grant(&self, sent: Sent) {
        let until = sent.clock.saturating_duration_since(self.origin) + self.lag;
        self.until.fetch_max(nanos(until), Ordering::AcqRel);
        self.until_wall
            .store(sent.wall.saturating_add(nanos(self.lag)), Ordering::Release);
    }

    pub(crate) fn revoke(&self) {
        self.until.store(0, Ordering::Release);
    }

    pub(crate) fn term(&self) -> u64 {
        self.term.load(Ordering::Acquire)
    }

    /// No copy from before this may be served any more, and no value on its way may be kept.
    pub(crate) fn end_term(&self) {
        if !planted(Planted::NearOutlasting) {
            self.term.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether a copy was wanted since the last call.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Whether copies may be served at this moment, as far as the monotonic clock knows.
    pub(crate) fn is_held(&self, now: Instant) -> bool {
        nanos(now.saturating_duration_since(self.origin)) < self.until.load(Ordering::Acquire)
    }

    /// Whether the wall clock agrees. Call this with the copy in hand: a process that stood still meanwhile may hold a
    /// copy from before.
    pub(crate) fn is_plausible(&self, now: SystemTime) -> bool {
        wall(now) <= self.until_wall.load(Ordering::Acquire)
    }
}

/// The connections to one server, on which a copy relies.
#[derive(Clone)]
pub(crate) struct Backing {
    lease: Arc<NearLease>,
    term: u64,
}

impl Backing {
    pub(crate) fn of(lease: &Arc<NearLease>) -> Self {
        Self {
            lease: Arc::clone(lease),
            term: lease.term(),
        }
    }

    /// Whether they are still the same.
    pub(crate) fn holds(&self) -> bool {
        self.lease.term() == self.term
    }

    pub(crate) fn is_of(&self, lease: &Arc<NearLease>) -> bool {
        Arc::ptr_eq(&self.lease, lease)
    }

    pub(crate) fn lease(&self) -> &Arc<NearLease> {
        &self.lease
    }

    pub(crate) fn term(&self) -> u64 {
        self.term
    }
}

/// The answers to the `PING`s of one connection.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    last: Option<Sent>,
}

impl Probes {
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// A `PING` was answered that was sent after the answer to the one before had come. Returns the `PING` from which
    /// the lease counts.
    pub(crate) fn answered(&mut self, sent: Sent) -> Option<Sent> {
        self.last.replace(sent)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn wall(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, nanos)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LAG: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn one_answer_grants_nothing_and_the_second_vouches_for_the_first() {
        let (lease, mut probes) = (NearLease::new(LAG), Probes::default());
        let first = Sent::now();
        advance(LAG / 4).await;
        assert!(probes.answered(first).is_none() && !lease.is_held(Instant::now()));
        let second = Sent::now();
        advance(LAG / 4).await;
        lease.grant(probes.answered(second).unwrap());
        advance(LAG / 2 - Duration::from_millis(1)).await;
        assert!(lease.is_held(Instant::now()));
        advance(Duration::from_millis(1)).await;
        assert!(!lease.is_held(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_grants_nothing() {
        let (lease, mut probes) = (NearLease::new(LAG), Probes::default());
        probes.answered(Sent::now());
        advance(LAG).await;
        lease.grant(probes.answered(Sent::now()).unwrap());
        assert!(!lease.is_held(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_revoked_or_older_is_not_held() {
        let lease = NearLease::new(LAG);
        let old = Sent::now();
        advance(LAG / 2).await;
        lease.grant(Sent::now());
        lease.grant(old);
        advance(LAG * 3 / 4).await;
        assert!(lease.is_held(Instant::now()));
        lease.revoke();
        assert!(!lease.is_held(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_stands_still_does_not_keep_the_lease() {
        let lease = NearLease::new(LAG);
        let sent = SystemTime::now();
        lease.grant(Sent::now());
        // The machine slept, and only the wall clock shows it.
        assert!(lease.is_held(Instant::now()));
        assert!(lease.is_plausible(sent + LAG / 2));
        assert!(!lease.is_plausible(sent + LAG + Duration::from_secs(1)));
        // A wall clock that was set back says nothing, and the other clock decides.
        assert!(lease.is_plausible(sent - Duration::from_secs(3600)));
        advance(LAG).await;
        assert!(!lease.is_held(Instant::now()));
    }
}

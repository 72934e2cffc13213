//! What can be set on a [`MemoLock`].

use std::sync::Arc;
use std::time::Duration;

use super::MemoLock;
use crate::codec::Codec;
use crate::memo::config::Config;
use crate::memo::flights::line::Line;
use crate::memo::limits::AtLimit;

impl<C: Codec> MemoLock<C> {
    /// How long a lock lasts unless it is renewed. A computation that runs longer renews it every third of that, and a
    /// process that dies is succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts
    /// as 100 milliseconds, and more than a year as a year.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease.clamp(Config::MIN_LEASE, Config::LONG);
        self
    }

    /// How long a caller waits for the work of others, all in all. Defaults to 30 seconds.
    ///
    /// The clock starts once another caller of this process computes, or once the store has said that another process
    /// does; for the caller of [`get_or_request`](Self::get_or_request) that has the work started, once it is started.
    /// Until then the caller may yet lead, and waits until the store answers or fails. So a caller that is alone
    /// computes and stores, however short this is.
    ///
    /// With zero a caller never waits for the work of others: it leads, or it computes for itself at once. Only
    /// `get_or_request`, whose caller cannot compute, returns [`ErrorKind::WaitTimeout`](crate::ErrorKind::WaitTimeout).
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.config.wait_timeout = timeout;
        self
    }

    /// How long a computed value is kept. Defaults to 60 seconds. See also [`MemoLock::get_or_compute_for`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// How many times in a row work is started that another program is to finish, while the promise is not resolved:
    /// see [`MemoLock::get_or_request`]. Each process counts the starts it made and those it heard of, and begins anew
    /// once the last start is as long ago as the [wait timeout](Self::wait_timeout). Defaults to 3; 0 counts as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts.max(1);
        self
    }

    /// How many callers may wait for one id in this process. One caller more is at a limit. Defaults to 65,536.
    #[must_use]
    pub fn max_waiters(mut self, callers: usize) -> Self {
        self.config.limits.waiters = callers;
        self
    }

    /// How many ids may be in flight in this process, each with any number of callers. A caller that asks for one more
    /// id is at a limit. Defaults to 16,384.
    #[must_use]
    pub fn max_in_flight(mut self, ids: usize) -> Self {
        self.config.limits.in_flight = ids;
        self
    }

    /// How many computations may go on in this process without any caller that waits for them. A caller that leaves
    /// stops nothing, because the next one may want the result. Where that makes more such computations than this, the
    /// oldest is cancelled: its future is dropped, and its lock given back. Defaults to 64.
    #[must_use]
    pub fn max_orphaned(mut self, computations: usize) -> Self {
        self.config.limits.orphaned = computations;
        self
    }

    /// How long a computation goes on for the waiters. After that its lock is given back, and a follower takes over,
    /// here or elsewhere. The computation goes on for the caller that leads, if that still waits; otherwise it is
    /// cancelled: its future is dropped. Defaults to 10 minutes. Computations that [extend their leases
    /// themselves](Self::get_or_compute_renewable) have no such bound.
    #[must_use]
    pub fn max_computation(mut self, time: Duration) -> Self {
        self.config.max_computation = time;
        self
    }

    /// How long, in bytes, an id may be to be memoized. For a longer one every caller computes, and nothing is stored.
    /// Defaults to 2048, which no [`Key`](crate::Key) exceeds.
    #[must_use]
    pub fn max_key(mut self, bytes: usize) -> Self {
        self.config.limits.key = bytes;
        self
    }

    /// What becomes of callers at a limit: they compute for themselves, get
    /// [`ErrorKind::AtLimit`](crate::ErrorKind::AtLimit), or wait for their turn. Defaults to the first, [`AtLimit::Bypass`].
    ///
    /// Clones that are made after this share the turns of [`AtLimit::Queue`].
    #[must_use]
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.config.limits.at_limit = at_limit;
        self.line = match at_limit {
            AtLimit::Queue(calls) => Some(Arc::new(Line::new(calls))),
            AtLimit::Bypass | AtLimit::Refuse { .. } => None,
        };
        self
    }
}

//! What can be set on a [`MemoLock`].

use std::time::Duration;

use super::MemoLock;
use crate::codec::Codec;
use crate::memo::config::Config;
use crate::memo::limits::AtLimit;
use crate::store::Store;

impl<St: Store, C: Codec> MemoLock<St, C> {
    /// How long a lock lasts unless renewed; a computation that runs longer renews it every third of that. A process
    /// that dies is succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts as
    /// 100 milliseconds, and more than a year as a year.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease.clamp(Config::MIN_LEASE, Config::LONG);
        self
    }

    /// How long a caller waits for the work of others, all in all. Defaults to 30 seconds.
    ///
    /// The clock starts once another caller of this process computes, or once the store has said that another process
    /// does, and for the caller of [`get_or_request`](Self::get_or_request) that has the work started, once that is
    /// started. Until then the caller may yet lead and waits for the store, for as long as that takes to answer or fail;
    /// so a caller that is alone computes and stores, however short this is.
    ///
    /// With zero a caller never waits for the work of others. It leads, or it computes for itself at once, and only
    /// `get_or_request`, whose caller cannot, returns [`Error::WaitTimeout`](crate::Error::WaitTimeout).
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

    /// How many times in a row work is started that others are to finish, when nobody resolves it: see
    /// [`MemoLock::get_or_request`]. Whoever waits counts what was started here and what it hears of others, anew once it
    /// has been as long as the [wait timeout](Self::wait_timeout) since the last start. Defaults to 3; 0 counts as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts.max(1);
        self
    }

    /// How many callers may wait for one id in this process. Whoever comes on top of that is at a limit. Defaults to
    /// 65,536.
    #[must_use]
    pub fn max_waiters(mut self, callers: usize) -> Self {
        self.config.limits.waiters = callers;
        self
    }

    /// How many ids may be in flight in this process, each with any number of callers. Whoever asks for one more is at a
    /// limit. Defaults to 16,384.
    #[must_use]
    pub fn max_in_flight(mut self, ids: usize) -> Self {
        self.config.limits.in_flight = ids;
        self
    }

    /// How many computations may go on in this process although no caller waits for them any more. A caller that leaves
    /// stops nothing, because the next one may want the result; but where that makes more of them than this, the oldest is
    /// cancelled: its future is dropped, and its lock given back. Defaults to 64.
    #[must_use]
    pub fn max_orphaned(mut self, computations: usize) -> Self {
        self.config.limits.orphaned = computations;
        self
    }

    /// How long a computation goes on for all who wait. After that its lock is given back, and one of those who wait takes
    /// over, here or elsewhere. It still goes on for the caller that leads, if that is there; otherwise it is cancelled: its
    /// future is dropped. Defaults to 10 minutes. A computation that [extends its lease
    /// itself](Self::get_or_compute_renewable) is none of these.
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

    /// What becomes of callers at a limit: they compute for themselves, or get
    /// [`Error::AtLimit`](crate::Error::AtLimit). Defaults to the first, [`AtLimit::Bypass`].
    #[must_use]
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.config.limits.at_limit = at_limit;
        self
    }
}

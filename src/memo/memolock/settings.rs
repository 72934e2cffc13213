//! What can be set on a [`MemoLock`].

use std::sync::Arc;
use std::time::Duration;

use super::MemoLock;
use crate::codec::Codec;
use crate::memo::config::Config;
use crate::memo::flights::line::Line;
use crate::memo::limits::{AtLimit, Limits};

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

    /// How much may go on at once, and what becomes of callers beyond: see [`Limits`]. What `limits` does not set stays
    /// as it is.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limit(limits);
        match limits.at_limit {
            Some(AtLimit::Queue(calls)) => self.line = Some(Arc::new(Line::new(calls))),
            Some(AtLimit::Bypass | AtLimit::Refuse { .. }) => self.line = None,
            None => {}
        }
        self
    }
}

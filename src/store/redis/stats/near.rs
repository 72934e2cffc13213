//! What is counted of near copies.

use super::figures;
use crate::counter::{Counter, Gauge};

/// What happened to the [near copies](crate::store::RedisStoreBuilder::near) of a
/// [`RedisStore`](crate::store::RedisStore).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearStats {
    /// How many near copies there are.
    pub copies: u64,
    /// The bytes that they take.
    pub bytes: u64,
    /// Hits on near copies, which cost Redis nothing.
    pub hits: u64,
    /// Requests that went on to Redis although there was a near copy, because a server's last sign of life was too long ago.
    pub late: u64,
    /// Keys of which Redis said that they had changed: the price of each write, on every node with near copies.
    pub messages: u64,
    /// Near copies, and answers on their way, that such a change has ended.
    pub dropped: u64,
    /// Near copies that had to leave for others.
    pub evicted: u64,
    /// How often Redis said that everything had changed.
    pub flushes: u64,
    /// Invalidations that were acknowledged to the process that waits for them.
    pub notices: u64,
    /// Invalidations that all processes with near copies acknowledged.
    pub acknowledged: u64,
    /// Invalidations that had to wait for the lag, because a process with near copies did not answer.
    pub outwaited: u64,
}

/// The near copies'.
pub(crate) struct NearCounters {
    pub(crate) copies: Gauge,
    pub(crate) bytes: Gauge,
    pub(crate) evicted: Counter,
    pub(crate) hits: Counter,
    pub(crate) late: Counter,
    pub(crate) messages: Counter,
    pub(crate) dropped: Counter,
    pub(crate) flushes: Counter,
    pub(crate) notices: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) outwaited: Counter,
}

impl Default for NearCounters {
    fn default() -> Self {
        let settled = |end| Counter::new(figures::NEAR_INVALIDATIONS.with(&[("end", end)]));
        Self {
            copies: Gauge::new(figures::NEAR_COPIES.alone()),
            bytes: Gauge::new(figures::NEAR_BYTES.alone()),
            evicted: Counter::new(figures::NEAR_EVICTED.alone()),
            hits: Counter::new(figures::NEAR_HITS.alone()),
            late: Counter::new(figures::NEAR_LATE.alone()),
            messages: Counter::new(figures::NEAR_MESSAGES.alone()),
            dropped: Counter::new(figures::NEAR_DROPPED.alone()),
            flushes: Counter::new(figures::NEAR_FLUSHES.alone()),
            notices: Counter::new(figures::NEAR_NOTICES.alone()),
            acknowledged: settled("acknowledged"),
            outwaited: settled("outwaited"),
        }
    }
}

impl NearCounters {
    pub(crate) fn snapshot(&self) -> NearStats {
        NearStats {
            copies: self.copies.get(),
            bytes: self.bytes.get(),
            evicted: self.evicted.get(),
            hits: self.hits.get(),
            late: self.late.get(),
            messages: self.messages.get(),
            dropped: self.dropped.get(),
            flushes: self.flushes.get(),
            notices: self.notices.get(),
            acknowledged: self.acknowledged.get(),
            outwaited: self.outwaited.get(),
        }
    }
}

impl Drop for NearCounters {
    fn drop(&mut self) {
        self.copies.subtract(self.copies.get());
        self.bytes.subtract(self.bytes.get());
    }
}

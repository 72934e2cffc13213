//! What is counted of near copies.

use crate::counter::{Counter, Gauge, Metric};

/// What the [near copies](crate::store::RedisStoreBuilder::near) of a [`RedisStore`](crate::store::RedisStore) have been through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearStats {
    /// How many there are.
    pub copies: u64,
    /// The bytes that they take.
    pub bytes: u64,
    /// Hits on near copies, which cost Redis nothing.
    pub hits: u64,
    /// Requests that went on to Redis although there may have been a near copy, because the server's last sign of life was too
    /// long ago.
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
        let metric = |name, help| Metric {
            name,
            help,
            labels: &[],
        };
        let counter = |name, help| Counter::new(metric(name, help));
        let settled = |end| {
            Counter::new(Metric {
                name: "memolock_redis_near_invalidations_total",
                help: "Invalidations that had to be acknowledged by processes with near copies.",
                labels: &[("end", end)],
            })
        };
        Self {
            copies: Gauge::new(metric("memolock_redis_near_copies", "Near copies at this moment.")),
            bytes: Gauge::new(metric("memolock_redis_near_bytes", "Bytes that near copies take.")),
            evicted: counter(
                "memolock_redis_near_evicted_total",
                "Near copies that had to leave for others.",
            ),
            hits: counter("memolock_redis_near_hits_total", "Hits on near copies."),
            late: counter(
                "memolock_redis_near_late_total",
                "Requests that went on to Redis for want of a sign of life.",
            ),
            messages: counter(
                "memolock_redis_near_messages_total",
                "Keys that Redis said had changed.",
            ),
            dropped: counter(
                "memolock_redis_near_dropped_total",
                "Near copies that a change has ended.",
            ),
            flushes: counter(
                "memolock_redis_near_flushes_total",
                "Times that Redis said that everything had changed.",
            ),
            notices: counter(
                "memolock_redis_near_notices_total",
                "Invalidations acknowledged to other processes.",
            ),
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

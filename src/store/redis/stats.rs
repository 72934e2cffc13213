//! What is counted of a [`RedisStore`](super::RedisStore).

pub(crate) mod figures;
mod near;
mod plane;

use std::sync::Arc;

pub(crate) use self::near::NearCounters;
pub use self::near::NearStats;
pub(crate) use self::plane::PlaneCounters;
pub use self::plane::PlaneStats;
use crate::counter::Counter;

/// What happened to a [`RedisStore`](super::RedisStore) and its clones, and whether they are connected.
///
/// In a Redis Cluster these are sums over all masters, and a plane is connected if it is to each of them.
///
/// With the feature `metrics` the same figures go to the recorder of the `metrics` crate. It has to be installed before
/// the store connects.
///
/// | field | metric |
/// |---|---|
/// | `commands`, `notifications` | |
/// | ... `.connected` | `memolock_redis_connected{plane="commands"}`, or `"notifications"` |
/// | ... `.reconnects` | `memolock_redis_reconnects_total{plane}` |
/// | ... `.outages` | `memolock_redis_outages_total{plane}` |
/// | `timeouts` | `memolock_redis_errors_total{kind="timeout"}` |
/// | `rejected` | `memolock_redis_errors_total{kind="rejected"}` |
/// | `unavailable` | `memolock_redis_errors_total{kind="unavailable"}` |
/// | `interruptions` | `memolock_redis_interruptions_total` |
/// | `overflows` | `memolock_redis_overflows_total` |
/// | `unknown_words` | `memolock_redis_unknown_words_total` |
/// | `refused_subscriptions` | `memolock_redis_refused_subscriptions_total` |
/// | `pending_invalidations` | `memolock_redis_pending_invalidations` |
/// | `deferred_invalidations` | `memolock_redis_deferred_invalidations_total` |
/// | `near` | |
/// | ... `.copies` | `memolock_redis_near_copies` |
/// | ... `.bytes` | `memolock_redis_near_bytes` |
/// | ... `.hits` | `memolock_redis_near_hits_total` |
/// | ... `.late` | `memolock_redis_near_late_total` |
/// | ... `.messages` | `memolock_redis_near_messages_total` |
/// | ... `.dropped` | `memolock_redis_near_dropped_total` |
/// | ... `.evicted` | `memolock_redis_near_evicted_total` |
/// | ... `.flushes` | `memolock_redis_near_flushes_total` |
/// | ... `.notices` | `memolock_redis_near_notices_total` |
/// | ... `.acknowledged` | `memolock_redis_near_invalidations_total{end="acknowledged"}` |
/// | ... `.outwaited` | `memolock_redis_near_invalidations_total{end="outwaited"}` |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// The connection for commands: while it is not connected every command fails at once.
    pub commands: PlaneStats,
    /// The connection for subscriptions.
    pub notifications: PlaneStats,
    /// Commands, heartbeats included, whose answer did not come in time or at all.
    pub timeouts: u64,
    /// Commands that the server answered with an error.
    pub rejected: u64,
    /// Commands that were not sent, because there was no connection.
    pub unavailable: u64,
    /// How often the connection for subscriptions was lost while it had listeners: notices may have been missed, and
    /// each listener read anew.
    pub interruptions: u64,
    /// How often a listener was too slow, and its notices were replaced by a notice that says to read.
    pub overflows: u64,
    /// Messages on control channels that this version does not know.
    pub unknown_words: u64,
    /// Channels to which the server did not let the store subscribe.
    pub refused_subscriptions: u64,
    /// Invalidations that Redis has not acknowledged yet: other nodes may serve what is out of date.
    pub pending_invalidations: u64,
    /// How often an invalidation became pending.
    pub deferred_invalidations: u64,
    /// The [near copies](super::RedisStoreBuilder::near) of this process.
    pub near: NearStats,
}

/// The whole store's.
pub(super) struct RedisCounters {
    pub(super) commands: Arc<PlaneCounters>,
    pub(super) notifications: Arc<PlaneCounters>,
    pub(super) timeouts: Counter,
    pub(super) rejected: Counter,
    pub(super) unavailable: Counter,
    pub(super) interruptions: Counter,
    pub(super) overflows: Counter,
    pub(super) unknown_words: Counter,
    pub(super) refused_subscriptions: Counter,
}

impl Default for RedisCounters {
    fn default() -> Self {
        let error = |kind| Counter::new(figures::ERRORS.with(&[("kind", kind)]));
        Self {
            commands: Arc::new(PlaneCounters::new("commands")),
            notifications: Arc::new(PlaneCounters::new("notifications")),
            timeouts: error("timeout"),
            rejected: error("rejected"),
            unavailable: error("unavailable"),
            interruptions: Counter::new(figures::INTERRUPTIONS.alone()),
            overflows: Counter::new(figures::OVERFLOWS.alone()),
            unknown_words: Counter::new(figures::UNKNOWN_WORDS.alone()),
            refused_subscriptions: Counter::new(figures::REFUSED_SUBSCRIPTIONS.alone()),
        }
    }
}

impl RedisStats {
    /// Of two connections where there are several: connected if both are.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            commands: self.commands.and(other.commands),
            notifications: self.notifications.and(other.notifications),
            timeouts: self.timeouts + other.timeouts,
            rejected: self.rejected + other.rejected,
            unavailable: self.unavailable + other.unavailable,
            interruptions: self.interruptions + other.interruptions,
            overflows: self.overflows + other.overflows,
            unknown_words: self.unknown_words + other.unknown_words,
            refused_subscriptions: self.refused_subscriptions + other.refused_subscriptions,
            pending_invalidations: self.pending_invalidations + other.pending_invalidations,
            deferred_invalidations: self.deferred_invalidations + other.deferred_invalidations,
            near: self.near,
        }
    }

    /// The figures of a server that does not belong to the cluster any more.
    pub(super) fn departed(self) -> Self {
        Self {
            commands: self.commands.departed(),
            notifications: self.notifications.departed(),
            ..self
        }
    }
}

impl RedisCounters {
    pub(super) fn snapshot(&self) -> RedisStats {
        RedisStats {
            commands: self.commands.snapshot(),
            notifications: self.notifications.snapshot(),
            timeouts: self.timeouts.get(),
            rejected: self.rejected.get(),
            unavailable: self.unavailable.get(),
            interruptions: self.interruptions.get(),
            overflows: self.overflows.get(),
            unknown_words: self.unknown_words.get(),
            refused_subscriptions: self.refused_subscriptions.get(),
            // They belong to the store, not to a connection.
            pending_invalidations: 0,
            deferred_invalidations: 0,
            near: NearStats::default(),
        }
    }
}

//! What is counted of a [`RedisStore`](super::RedisStore).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::{Counter, Gauge, Metric};

/// What a [`RedisStore`](super::RedisStore) and its clones have been through, and how they are.
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
    /// How often a listener was too slow, and its notices were replaced by one that says to read.
    pub overflows: u64,
    /// Messages on control channels that say nothing known.
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

/// What the [near copies](super::RedisStoreBuilder::near) of a [`RedisStore`](super::RedisStore) have been through.
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

/// How one of the two connections of a [`RedisStore`](super::RedisStore) is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaneStats {
    /// Whether it is connected.
    pub connected: bool,
    /// For how long it has not been; `None` while it is.
    pub disconnected_for: Option<Duration>,
    /// How often it was connected again.
    pub reconnects: u64,
    /// How often it was lost, or could not be had in the first place. A connection that breaks within two seconds
    /// counts to the outage before it. That the runtime has ended in which the store was connected is an outage, too, which
    /// no recovery ends.
    pub outages: u64,
}

/// One connection's.
pub(super) struct PlaneCounters {
    pub(super) name: &'static str,
    link: Mutex<PlaneState>,
    connected: Gauge,
    reconnects: Counter,
    outages: Counter,
}

enum PlaneState {
    Up,
    Down {
        since: Instant,
        before: bool,
    },
    /// Nothing connects it again.
    Stopped {
        since: Instant,
    },
}

impl PlaneCounters {
    pub(super) fn new(name: &'static str) -> Self {
        let labels = &[("plane", name)];
        let metric = |name, help| Metric { name, help, labels };
        Self {
            name,
            link: Mutex::new(PlaneState::Down {
                since: Instant::now(),
                before: false,
            }),
            connected: Gauge::new(metric(
                "memolock_redis_connected",
                "Connections to Redis at this moment.",
            )),
            reconnects: Counter::new(metric("memolock_redis_reconnects_total", "Connections opened again.")),
            outages: Counter::new(metric(
                "memolock_redis_outages_total",
                "Times that there was no connection.",
            )),
        }
    }

    fn link(&self) -> MutexGuard<'_, PlaneState> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connect(&self) {
        if let PlaneState::Down { before, .. } = std::mem::replace(&mut *self.link(), PlaneState::Up) {
            self.connected.add(1);
            if before {
                self.reconnects.add();
            }
        }
    }

    pub(super) fn disconnect(&self) {
        let mut link = self.link();
        if let PlaneState::Up = *link {
            self.connected.subtract(1);
            *link = PlaneState::Down {
                since: Instant::now(),
                before: true,
            };
        }
    }

    /// Nothing looks after the connection any more.
    pub(super) fn stop(&self) {
        self.disconnect();
        *self.link() = PlaneState::Stopped { since: Instant::now() };
    }

    pub(super) fn outage(&self) {
        self.outages.add();
    }

    fn snapshot(&self) -> PlaneStats {
        let (disconnected_for, stopped) = match *self.link() {
            PlaneState::Up => (None, false),
            PlaneState::Down { since, .. } => (Some(since.elapsed()), false),
            PlaneState::Stopped { since } => (Some(since.elapsed()), true),
        };
        PlaneStats {
            connected: disconnected_for.is_none(),
            disconnected_for,
            reconnects: self.reconnects.get(),
            outages: self.outages.get() + u64::from(stopped),
        }
    }
}

impl Drop for PlaneCounters {
    fn drop(&mut self) {
        self.disconnect();
    }
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
        let error = |kind| {
            Counter::new(Metric {
                name: "memolock_redis_errors_total",
                help: "Commands that failed.",
                labels: &[("kind", kind)],
            })
        };
        let counter = |name, help| {
            Counter::new(Metric {
                name,
                help,
                labels: &[],
            })
        };
        Self {
            commands: Arc::new(PlaneCounters::new("commands")),
            notifications: Arc::new(PlaneCounters::new("notifications")),
            timeouts: error("timeout"),
            rejected: error("rejected"),
            unavailable: error("unavailable"),
            interruptions: counter(
                "memolock_redis_interruptions_total",
                "Connections for subscriptions lost while they had listeners.",
            ),
            overflows: counter("memolock_redis_overflows_total", "Notices dropped for slow listeners."),
            unknown_words: counter(
                "memolock_redis_unknown_words_total",
                "Control messages that say nothing known.",
            ),
            refused_subscriptions: counter(
                "memolock_redis_refused_subscriptions_total",
                "Channels that could not be subscribed to.",
            ),
        }
    }
}

/// The near copies'.
pub(super) struct NearCounters {
    pub(super) copies: Gauge,
    pub(super) bytes: Gauge,
    pub(super) evicted: Counter,
    pub(super) hits: Counter,
    pub(super) late: Counter,
    pub(super) messages: Counter,
    pub(super) dropped: Counter,
    pub(super) flushes: Counter,
    pub(super) notices: Counter,
    pub(super) acknowledged: Counter,
    pub(super) outwaited: Counter,
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
    pub(super) fn snapshot(&self) -> NearStats {
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

    /// What counts of a server that does not belong to a cluster any more.
    pub(super) fn departed(self) -> Self {
        Self {
            commands: self.commands.departed(),
            notifications: self.notifications.departed(),
            ..self
        }
    }
}

impl PlaneStats {
    fn and(self, other: Self) -> Self {
        Self {
            connected: self.connected && other.connected,
            disconnected_for: self.disconnected_for.max(other.disconnected_for),
            reconnects: self.reconnects + other.reconnects,
            outages: self.outages + other.outages,
        }
    }

    fn departed(self) -> Self {
        Self {
            connected: true,
            disconnected_for: None,
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

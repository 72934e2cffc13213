//! The figures of a store as a recorder gets them.

use super::RedisStats;
use crate::counter::{Figure, Metric, Sample, Visit};

/// A metric without its labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetricName {
    name: &'static str,
    help: &'static str,
}

impl MetricName {
    const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help }
    }

    pub(crate) fn alone(self) -> Metric<'static> {
        self.with(&[])
    }

    pub(crate) fn with<'a>(self, labels: &'a [(&'static str, &'a str)]) -> Metric<'a> {
        let Self { name, help } = self;
        Metric { name, help, labels }
    }
}

pub(crate) const CONNECTED: MetricName =
    MetricName::new("memolock_redis_connected", "Connections to Redis at this moment.");
pub(crate) const RECONNECTS: MetricName =
    MetricName::new("memolock_redis_reconnects_total", "Connections opened again.");
pub(crate) const OUTAGES: MetricName =
    MetricName::new("memolock_redis_outages_total", "Times that there was no connection.");
pub(crate) const ERRORS: MetricName = MetricName::new("memolock_redis_errors_total", "Commands that failed.");
pub(crate) const INTERRUPTIONS: MetricName = MetricName::new(
    "memolock_redis_interruptions_total",
    "Connections for subscriptions lost while they had listeners.",
);
pub(crate) const OVERFLOWS: MetricName =
    MetricName::new("memolock_redis_overflows_total", "Notices dropped for slow listeners.");
pub(crate) const UNKNOWN_WORDS: MetricName = MetricName::new(
    "memolock_redis_unknown_words_total",
    "Control messages that say nothing known.",
);
pub(crate) const REFUSED_SUBSCRIPTIONS: MetricName = MetricName::new(
    "memolock_redis_refused_subscriptions_total",
    "Channels that could not be subscribed to.",
);
pub(crate) const PENDING_INVALIDATIONS: MetricName = MetricName::new(
    "memolock_redis_pending_invalidations",
    "Invalidations that Redis has not acknowledged yet.",
);
pub(crate) const DEFERRED_INVALIDATIONS: MetricName = MetricName::new(
    "memolock_redis_deferred_invalidations_total",
    "Invalidations that Redis did not acknowledge at once.",
);
pub(crate) const NEAR_COPIES: MetricName = MetricName::new("memolock_redis_near_copies", "Near copies at this moment.");
pub(crate) const NEAR_BYTES: MetricName = MetricName::new("memolock_redis_near_bytes", "Bytes that near copies take.");
pub(crate) const NEAR_HITS: MetricName = MetricName::new("memolock_redis_near_hits_total", "Hits on near copies.");
pub(crate) const NEAR_LATE: MetricName = MetricName::new(
    "memolock_redis_near_late_total",
    "Requests that went on to Redis for want of a sign of life.",
);
pub(crate) const NEAR_MESSAGES: MetricName = MetricName::new(
    "memolock_redis_near_messages_total",
    "Keys that Redis said had changed.",
);
pub(crate) const NEAR_DROPPED: MetricName = MetricName::new(
    "memolock_redis_near_dropped_total",
    "Near copies that a change has ended.",
);
pub(crate) const NEAR_EVICTED: MetricName = MetricName::new(
    "memolock_redis_near_evicted_total",
    "Near copies that had to leave for others.",
);
pub(crate) const NEAR_FLUSHES: MetricName = MetricName::new(
    "memolock_redis_near_flushes_total",
    "Times that Redis said that everything had changed.",
);
pub(crate) const NEAR_NOTICES: MetricName = MetricName::new(
    "memolock_redis_near_notices_total",
    "Invalidations acknowledged to other processes.",
);
pub(crate) const NEAR_INVALIDATIONS: MetricName = MetricName::new(
    "memolock_redis_near_invalidations_total",
    "Invalidations that had to be acknowledged by processes with near copies.",
);

impl RedisStats {
    /// Shows all figures.
    pub(crate) fn visit(&self, each: Visit<'_>) {
        self.visit_connections(each);
        self.visit_near(each);
    }

    fn visit_connections(&self, each: Visit<'_>) {
        let planes = [("commands", &self.commands), ("notifications", &self.notifications)];
        for (plane, stats) in planes {
            gauge(each, CONNECTED.with(&[("plane", plane)]), stats.connected.into());
        }
        for (plane, stats) in planes {
            count(each, RECONNECTS.with(&[("plane", plane)]), stats.reconnects);
        }
        for (plane, stats) in planes {
            count(each, OUTAGES.with(&[("plane", plane)]), stats.outages);
        }
        let errors = [
            ("timeout", self.timeouts),
            ("rejected", self.rejected),
            ("unavailable", self.unavailable),
        ];
        for (kind, errors) in errors {
            count(each, ERRORS.with(&[("kind", kind)]), errors);
        }
        count(each, INTERRUPTIONS.alone(), self.interruptions);
        count(each, OVERFLOWS.alone(), self.overflows);
        count(each, UNKNOWN_WORDS.alone(), self.unknown_words);
        count(each, REFUSED_SUBSCRIPTIONS.alone(), self.refused_subscriptions);
        gauge(each, PENDING_INVALIDATIONS.alone(), self.pending_invalidations);
        count(each, DEFERRED_INVALIDATIONS.alone(), self.deferred_invalidations);
    }

    fn visit_near(&self, each: Visit<'_>) {
        let near = &self.near;
        gauge(each, NEAR_COPIES.alone(), near.copies);
        gauge(each, NEAR_BYTES.alone(), near.bytes);
        count(each, NEAR_HITS.alone(), near.hits);
        count(each, NEAR_LATE.alone(), near.late);
        count(each, NEAR_MESSAGES.alone(), near.messages);
        count(each, NEAR_DROPPED.alone(), near.dropped);
        count(each, NEAR_EVICTED.alone(), near.evicted);
        count(each, NEAR_FLUSHES.alone(), near.flushes);
        count(each, NEAR_NOTICES.alone(), near.notices);
        for (end, invalidations) in [("acknowledged", near.acknowledged), ("outwaited", near.outwaited)] {
            count(each, NEAR_INVALIDATIONS.with(&[("end", end)]), invalidations);
        }
    }
}

fn count(each: Visit<'_>, metric: Metric<'_>, count: u64) {
    each(Sample {
        metric,
        figure: Figure::Counter(count),
    });
}

fn gauge(each: Visit<'_>, metric: Metric<'_>, value: u64) {
    each(Sample {
        metric,
        figure: Figure::Gauge(value),
    });
}

//! Counters, gauges and histograms: atomic numbers, and with the feature `metrics` a handle of that facade beside each.
//!
//! Handles are made once, with the object that they belong to: an event costs no lookup. Without a recorder the figures
//! can be [visited](Visit).

mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::histogram::{Buckets, Distribution, Histogram};

/// The name of a figure.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "read by the facade"))]
pub(crate) struct Metric<'a> {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) labels: &'a [(&'static str, &'a str)],
}

/// A metric as it stands at one moment.
#[cfg_attr(
    not(any(test, feature = "admin")),
    expect(dead_code, reason = "the admin service shows them")
)]
#[derive(Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) metric: Metric<'a>,
    pub(crate) figure: Figure,
}

/// The value of a metric.
#[cfg_attr(
    not(any(test, feature = "admin")),
    expect(dead_code, reason = "the admin service shows them")
)]
#[derive(Debug)]
pub(crate) enum Figure {
    /// A counter, which only goes up.
    Counter(u64),
    Gauge(u64),
    Histogram(Distribution),
}

/// Takes one sample after another. Those of one name come one after another.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(Sample<'_>);

/// Goes up.
pub(crate) struct Counter {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    handle: metrics::Counter,
}

impl Counter {
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
    pub(crate) fn new(metric: Metric<'_>) -> Self {
        Self {
            value: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            handle: metric.counter(),
        }
    }

    #[inline]
    pub(crate) fn add(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.handle.increment(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
pub(crate) struct Gauge {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    handle: metrics::Gauge,
}

impl Gauge {
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
    pub(crate) fn new(metric: Metric<'_>) -> Self {
        Self {
            value: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            handle: metric.gauge(),
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Counts one more until the returned guard is dropped.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.add(1);
        Entered(self)
    }

    pub(crate) fn add(&self, amount: u64) {
        self.value.fetch_add(amount, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.handle.increment(amount as f64);
    }

    pub(crate) fn subtract(&self, amount: u64) {
        self.value.fetch_sub(amount, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.handle.decrement(amount as f64);
    }

    /// Adds `amount` unless that is more than `most` then.
    pub(crate) fn try_add(&self, amount: u64, most: u64) -> bool {
        let fits = |value: u64| value.checked_add(amount).filter(|sum| *sum <= most);
        let added = self
            .value
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok();
        #[cfg(feature = "metrics")]
        if added {
            self.handle.increment(amount as f64);
        }
        added
    }
}

/// Counts in a [`Gauge`] until it is dropped.
pub(crate) struct Entered<'a>(&'a Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.subtract(1);
    }
}

#[cfg(feature = "metrics")]
mod facade {
    use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit, with_recorder};

    use super::Metric;

    const METADATA: Metadata<'_> = Metadata::new("tower_memolock", Level::INFO, None);

    impl Metric<'_> {
        pub(super) fn counter(&self) -> metrics::Counter {
            with_recorder(|recorder| {
                recorder.describe_counter(self.key_name(), None, self.description());
                recorder.register_counter(&self.key(), &METADATA)
            })
        }

        pub(super) fn histogram(&self, unit: Unit) -> metrics::Histogram {
            with_recorder(|recorder| {
                recorder.describe_histogram(self.key_name(), Some(unit), self.description());
                recorder.register_histogram(&self.key(), &METADATA)
            })
        }

        pub(super) fn gauge(&self) -> metrics::Gauge {
            with_recorder(|recorder: &dyn Recorder| {
                recorder.describe_gauge(self.key_name(), None, self.description());
                recorder.register_gauge(&self.key(), &METADATA)
            })
        }

        fn key(&self) -> Key {
            let labels = self
                .labels
                .iter()
                .map(|(name, value)| Label::new(*name, (*value).to_owned()));
            Key::from_parts(self.name, labels.collect::<Vec<_>>())
        }

        fn key_name(&self) -> KeyName {
            KeyName::from(self.name)
        }

        fn description(&self) -> SharedString {
            SharedString::from(self.help.trim())
        }
    }
}

//! [`Histogram`]: how often which size was seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Metric;

/// What a histogram tells apart: the upper bounds of its buckets, in the integers that it adds up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buckets {
    /// In ascending order. What is larger than all of them counts as well.
    bounds: &'static [u64],
    /// How many of the integers make one of the unit.
    per_unit: u64,
    unit: &'static str,
}

const NANOS: u64 = 1_000_000_000;

impl Buckets {
    /// From a command of a store on the same machine to a wait timeout.
    pub(crate) const SECONDS: Self = Self {
        bounds: &[
            100_000,
            250_000,
            500_000,
            1_000_000,
            2_500_000,
            5_000_000,
            10_000_000,
            25_000_000,
            50_000_000,
            100_000_000,
            250_000_000,
            500_000_000,
            NANOS,
            2_500_000_000,
            5 * NANOS,
            10 * NANOS,
            30 * NANOS,
            60 * NANOS,
        ],
        per_unit: NANOS,
        unit: "seconds",
    };

    /// From a marker to the largest body that is recorded.
    pub(crate) const BYTES: Self = Self {
        bounds: &[
            256,
            1 << 10,
            1 << 12,
            1 << 14,
            1 << 16,
            1 << 18,
            1 << 20,
            1 << 22,
            1 << 24,
            1 << 26,
        ],
        per_unit: 1,
        unit: "bytes",
    };

    fn in_unit(self, amount: u64) -> f64 {
        // Both in one step: the quotient of two integers has the shortest decimals.
        amount as f64 / self.per_unit as f64
    }
}

/// Counts amounts by their size.
pub(crate) struct Histogram {
    buckets: Buckets,
    /// One for each bound, and one for what is beyond them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    #[cfg(feature = "metrics")]
    handle: metrics::Histogram,
}

/// What a [`Histogram`] has seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distribution {
    /// `seconds` or `bytes`, which is how the metric's name ends, too.
    pub(crate) unit: &'static str,
    /// Each upper bound, with how many amounts were no larger. What is beyond the last one is in `count` alone.
    pub(crate) buckets: Vec<(f64, u64)>,
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

impl Histogram {
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
    pub(crate) fn new(metric: Metric<'_>, buckets: Buckets) -> Self {
        Self {
            buckets,
            counts: (0..=buckets.bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            handle: metric.histogram(match buckets.unit {
                "bytes" => metrics::Unit::Bytes,
                _ => metrics::Unit::Seconds,
            }),
        }
    }

    /// Of [`Buckets::SECONDS`].
    pub(crate) fn time(&self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Of [`Buckets::BYTES`].
    pub(crate) fn size(&self, bytes: usize) {
        self.record(bytes as u64);
    }

    fn record(&self, amount: u64) {
        let bucket = self.buckets.bounds.partition_point(|bound| *bound < amount);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(amount, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.handle.record(self.buckets.in_unit(amount));
    }

    pub(crate) fn distribution(&self) -> Distribution {
        let mut count = 0;
        let mut so_far = self.counts.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let bounds = self.buckets.bounds.iter();
        let buckets = bounds
            .map(|bound| self.buckets.in_unit(*bound))
            .zip(&mut so_far)
            .collect();
        // What is beyond all bounds.
        let _ = so_far.next();
        Distribution {
            unit: self.buckets.unit,
            buckets,
            count,
            sum: self.buckets.in_unit(self.sum.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(buckets: Buckets) -> Histogram {
        let metric = Metric {
            name: "a",
            help: "An a.",
            labels: &[],
        };
        Histogram::new(metric, buckets)
    }

    #[test]
    fn amounts_count_in_each_bucket_that_is_no_smaller() {
        let sizes = histogram(Buckets::BYTES);
        for bytes in [0, 256, 257, 1 << 26, (1 << 26) + 1] {
            sizes.size(bytes);
        }
        let seen = sizes.distribution();
        assert_eq!(seen.unit, "bytes");
        assert_eq!(seen.buckets[..2], [(256.0, 2), (1024.0, 3)]);
        assert_eq!(seen.buckets.last(), Some(&(f64::from(1 << 26), 4)));
        assert_eq!((seen.count, seen.sum), (5, 2.0 * f64::from(1 << 26) + 514.0));
    }

    #[test]
    fn times_are_told_in_seconds() {
        let times = histogram(Buckets::SECONDS);
        for time in [Duration::from_micros(100), Duration::from_millis(1500), Duration::MAX] {
            times.time(time);
        }
        let seen = times.distribution();
        assert_eq!(seen.buckets[0], (0.0001, 1));
        assert_eq!(seen.buckets[13], (2.5, 2));
        assert_eq!((seen.unit, seen.buckets.len(), seen.count), ("seconds", 18, 3));
    }

    #[test]
    fn bounds_ascend() {
        for buckets in [Buckets::SECONDS, Buckets::BYTES] {
            assert!(buckets.bounds.is_sorted_by(|a, b| a < b));
        }
    }
}

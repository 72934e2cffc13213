//! What is counted.

use crate::counter::{Buckets, Counter, Figure, Gauge, Histogram, Metric, Sample, Visit};
use crate::key::Tag;

/// What a recorder shows for a metric: one text for all of its labels.
macro_rules! help {
    ($($doc:literal)*) => { concat!($($doc),*) };
    ($($doc:literal)* limit) => { "Callers and responses at a limit." };
}

macro_rules! stats {
    (
        counters {
            $($(#[doc = $doc:literal])* $name:ident: $metric:literal $({ $label:ident = $value:literal })?,)*
        }
        gauges {
            $($(#[doc = $gauge_doc:literal])* $gauge:ident: $gauge_metric:literal,)*
        }
        histograms {
            $($(#[doc = $histogram_doc:literal])* $histogram:ident: $histogram_metric:literal in $unit:ident,)*
        }
    ) => {
        /// What a [`MemoLock`](super::MemoLock) has done since it was made, in this process.
        ///
        /// With the feature `metrics` the same figures go to the recorder of the `metrics` crate, labelled with the
        /// `tag`. It has to be installed before the [`MemoLock`](super::MemoLock) or the layer is made.
        ///
        /// | field | metric | |
        /// |---|---|---|
        $(#[doc = concat!(
            "| `", stringify!($name), "` | `", $metric, $("{", stringify!($label), "=\"", $value, "\"}",)? "` |",
            $($doc,)* " |"
        )])*
        $(#[doc = concat!("| `", stringify!($gauge), "` | `", $gauge_metric, "` |", $($gauge_doc,)* " |")])*
        ///
        /// These histograms go to a recorder as well:
        ///
        /// | metric | |
        /// |---|---|
        $(#[doc = concat!("| `", $histogram_metric, "` |", $($histogram_doc,)* " |")])*
        /// | `memolock_store_command_seconds{command}` | How long commands of the store took, by their kind. |
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[doc = $doc])* pub $name: u64,)*
            $($(#[doc = $gauge_doc])* pub $gauge: u64,)*
        }

        #[cfg(feature = "admin")]
        impl Stats {
            /// Shows each figure by the name of its field.
            pub(crate) fn each(&self, mut show: impl FnMut(&str, u64)) {
                $(show(stringify!($name), self.$name);)*
                $(show(stringify!($gauge), self.$gauge);)*
            }
        }

        pub(crate) struct Counters {
            tag: Tag,
            $(pub(crate) $name: Counter,)*
            $(pub(crate) $gauge: Gauge,)*
            $(pub(crate) $histogram: Histogram,)*
        }

        impl Counters {
            pub(crate) fn new(tag: &Tag) -> Self {
                let owned = tag.clone();
                let tag = ("tag", tag.as_str());
                Self {
                    tag: owned,
                    $($name: Counter::new(Metric {
                        name: $metric,
                        help: help!($($doc)* $($label)?),
                        labels: &[tag, $((stringify!($label), $value))?],
                    }),)*
                    $($gauge: Gauge::new(Metric {
                        name: $gauge_metric,
                        help: concat!($($gauge_doc),*),
                        labels: &[tag],
                    }),)*
                    $($histogram: Histogram::new(
                        Metric {
                            name: $histogram_metric,
                            help: concat!($($histogram_doc),*),
                            labels: &[tag],
                        },
                        Buckets::$unit,
                    ),)*
                }
            }

            /// Shows all figures, as a recorder gets them.
            pub(crate) fn visit(&self, each: Visit<'_>) {
                let tag = ("tag", self.tag.as_str());
                $(each(Sample {
                    metric: Metric {
                        name: $metric,
                        help: help!($($doc)* $($label)?).trim(),
                        labels: &[tag, $((stringify!($label), $value))?],
                    },
                    figure: Figure::Counter(self.$name.get()),
                });)*
                $(each(Sample {
                    metric: Metric {
                        name: $gauge_metric,
                        help: concat!($($gauge_doc),*).trim(),
                        labels: &[tag],
                    },
                    figure: Figure::Gauge(self.$gauge.get()),
                });)*
                $(each(Sample {
                    metric: Metric {
                        name: $histogram_metric,
                        help: concat!($($histogram_doc),*).trim(),
                        labels: &[tag],
                    },
                    figure: Figure::Histogram(self.$histogram.distribution()),
                });)*
            }

            pub(crate) fn snapshot(&self) -> Stats {
                Stats {
                    $($name: self.$name.get(),)*
                    $($gauge: self.$gauge.get(),)*
                }
            }
        }
    };
}

stats! {
    counters {
        /// Values found in the store.
        hits: "memolock_hits_total",
        /// Computations started, bypasses aside.
        led: "memolock_led_total",
        /// Callers answered by the computation of another.
        followed: "memolock_followed_total",
        /// Computations started after an earlier one for the same callers had been given up or lost.
        taken_over: "memolock_taken_over_total",
        /// Computations started without a lease, because the store could not be asked for one.
        failed_open: "memolock_failed_open_total",
        /// Results that the store refused, because the lease had ended or the key had been invalidated.
        fenced: "memolock_fenced_total",
        /// Computations whose result was not one to share.
        passed: "memolock_passed_total",
        /// Computations started in the background, while the stored value went on answering.
        refreshed: "memolock_refreshed_total",
        /// Callers answered with a stale value, because a new one was being computed or could not be.
        stale: "memolock_stale_total",
        /// Callers that neither waited nor were waited for, because their response was known not to be shared.
        marked: "memolock_marked_total",
        /// Computations that were given up: an error of the inner service, a panic, a truncated body.
        abandoned: "memolock_abandoned_total",
        /// Computations that were cancelled: no client waited for them, and there were too many of this kind, or it took too
        /// long.
        cancelled: "memolock_cancelled_total",
        /// Computations that only started work that another program is to resolve: each start of the work counts.
        deferred: "memolock_deferred_total",
        /// Promises for other programs that were resolved while this process held their lease.
        resolved: "memolock_resolved_total",
        /// Promises for other programs that were not resolved before their lease ended: the work may be started again.
        unresolved: "memolock_unresolved_total",
        /// Callers that waited longer than the wait timeout.
        wait_timeouts: "memolock_wait_timeouts_total",
        /// Stored or published values that could not be verified, and counted as absent.
        rejected: "memolock_rejected_total",
        /// Stored or published values that were out of date, because of a tag or because everything was invalidated.
        outdated: "memolock_outdated_total",
        /// Store operations that ended in an error.
        store_errors: "memolock_store_errors_total",
        /// Leases given back by a shutdown while their computations went on.
        given_back: "memolock_given_back_total",
        /// Callers that found as many waiters for their key as there may be.
        limited_waiters: "memolock_limited_total" { limit = "waiters" },
        /// Callers that found as many keys in flight as there may be.
        limited_in_flight: "memolock_limited_total" { limit = "in_flight" },
        /// Responses not recorded, and requests refused, because recordings held as much memory as they may.
        limited_recording: "memolock_limited_total" { limit = "recording" },
        /// Responses not shared because of a body over the limit.
        limited_body: "memolock_limited_total" { limit = "body" },
        /// Responses not shared because of header and trailer fields over the limit.
        limited_headers: "memolock_limited_total" { limit = "headers" },
    }
    gauges {
        /// Callers that wait for a computation at this moment.
        waiting: "memolock_waiting",
        /// Callers that wait for their turn at a limit at this moment, under `AtLimit::Queue`.
        queued: "memolock_queued",
        /// Keys in flight at this moment: keys that callers here wait for or compute. Each counts once, and once more
        /// after an invalidation.
        in_flight: "memolock_in_flight",
        /// Computations that go on at this moment although no client in this process waits for them.
        orphaned: "memolock_orphaned",
        /// Bytes of bodies that recordings hold at this moment.
        recorded_bytes: "memolock_recorded_bytes",
    }
    histograms {
        /// How long callers waited for the computation of another, whatever came of it.
        wait: "memolock_wait_seconds" in SECONDS,
        /// How long computations took, under a layer to the end of the body.
        computation: "memolock_computation_seconds" in SECONDS,
        /// About how many bytes each stored value has.
        stored: "memolock_stored_bytes" in BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::Distribution;

    #[test]
    fn figures_are_shown_by_name_and_with_their_tag() {
        let counters = Counters::new(&Tag::new("report").unwrap());
        counters.hits.add();
        counters.waiting.add(2);
        counters.stored.size(300);
        let mut names: Vec<String> = Vec::new();
        let mut shown = Vec::new();
        counters.visit(&mut |sample| {
            let Metric { name, help, labels } = sample.metric;
            assert!(help.ends_with('.') && !help.starts_with(' '), "{help}");
            assert_eq!(labels[0], ("tag", "report"), "{name}");
            if names.last().is_none_or(|last| last != name) {
                assert!(
                    !names.iter().any(|earlier| earlier == name),
                    "{name} comes in two places"
                );
                names.push(name.to_owned());
            }
            match sample.figure {
                Figure::Counter(0) | Figure::Gauge(0) => {}
                Figure::Counter(count) => shown.push((name, count)),
                Figure::Gauge(value) => shown.push((name, value)),
                Figure::Histogram(Distribution { unit, count, .. }) => {
                    assert!(name.ends_with(unit), "{name}");
                    shown.push((name, count));
                }
            }
        });
        assert_eq!(
            shown,
            [
                ("memolock_hits_total", 1),
                ("memolock_waiting", 2),
                ("memolock_wait_seconds", 0),
                ("memolock_computation_seconds", 0),
                ("memolock_stored_bytes", 1)
            ]
        );
    }
}

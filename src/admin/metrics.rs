//! All figures as text, in the format OpenMetrics 1.0.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::source::Source;
use super::state::distinct;
use crate::counter::{Distribution, Figure, Sample};

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All samples of one name.
struct Family {
    help: &'static str,
    /// By their labels. Two layers that share a name and a tag have one sample between them, as with a recorder.
    figures: BTreeMap<Vec<(&'static str, String)>, Figure>,
}

#[derive(Default)]
struct Families(BTreeMap<&'static str, Family>);

pub(super) fn text<B>(sources: &[Arc<dyn Source<B>>]) -> String {
    let mut families = Families::default();
    for source in distinct(sources) {
        source.visit(&mut |sample| families.add(sample));
    }
    #[cfg(feature = "redis")]
    for store in super::state::redis_stores(sources) {
        store.visit(&mut |sample| families.add(sample));
    }
    families.text()
}

impl Families {
    fn add(&mut self, sample: Sample<'_>) {
        let Sample { metric, figure } = sample;
        let labels = metric.labels.iter();
        let labels = labels.map(|(name, value)| (*name, (*value).to_owned())).collect();
        let family = self.0.entry(metric.name).or_insert_with(|| Family {
            help: metric.help,
            figures: BTreeMap::new(),
        });
        match family.figures.remove(&labels) {
            Some(before) => family.figures.insert(labels, sum(before, figure)),
            None => family.figures.insert(labels, figure),
        };
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.0 {
            family.write(name, &mut text);
        }
        text.push_str("# EOF\n");
        text
    }
}

impl Family {
    // Writing to a text cannot fail.
    fn write(&self, name: &str, text: &mut String) {
        let (name, kind, unit) = match self.figures.values().next() {
            Some(Figure::Gauge(_)) => (name, "gauge", None),
            Some(Figure::Histogram(seen)) => (name, "histogram", Some(seen.unit)),
            Some(Figure::Counter(_)) | None => (name.strip_suffix("_total").unwrap_or(name), "counter", None),
        };
        let _ = writeln!(text, "# TYPE {name} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(text, "# HELP {name} {}", escaped(self.help));
        for (labels, figure) in &self.figures {
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            match figure {
                Figure::Counter(value) => line(text, name, "_total", &labels, value),
                Figure::Gauge(value) => line(text, name, "", &labels, value),
                Figure::Histogram(seen) => histogram(text, name, &labels, seen),
            }
        }
    }
}

fn histogram(text: &mut String, name: &str, labels: &[String], seen: &Distribution) {
    let bounds = seen.buckets.iter().map(|(bound, count)| (format!("{bound:?}"), *count));
    for (bound, count) in bounds.chain([("+Inf".to_owned(), seen.count)]) {
        let labels = [labels, &[format!("le=\"{bound}\"")]].concat();
        line(text, name, "_bucket", &labels, count);
    }
    line(text, name, "_count", labels, seen.count);
    line(text, name, "_sum", labels, seen.sum);
}

fn line(text: &mut String, name: &str, suffix: &str, labels: &[String], value: impl std::fmt::Display) {
    let _ = match labels {
        [] => writeln!(text, "{name}{suffix} {value}"),
        labels => writeln!(text, "{name}{suffix}{{{}}} {value}", labels.join(",")),
    };
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn sum(one: Figure, other: Figure) -> Figure {
    match (one, other) {
        (Figure::Counter(one), Figure::Counter(other)) => Figure::Counter(one.saturating_add(other)),
        (Figure::Gauge(one), Figure::Gauge(other)) => Figure::Gauge(one.saturating_add(other)),
        (Figure::Histogram(mut one), Figure::Histogram(other)) => {
            for (bucket, more) in one.buckets.iter_mut().zip(&other.buckets) {
                bucket.1 += more.1;
            }
            one.count += other.count;
            one.sum += other.sum;
            Figure::Histogram(one)
        }
        // One name has one kind.
        (one, _) => one,
    }
}

//! The dashboard and the alert rules against what the crate exports, and the guide's page against both.

use std::collections::{BTreeMap, BTreeSet};

use crate::MemoLockLayer;
use crate::counter::{Figure, Sample};
use crate::store::{MemoryStore, RedisStats};

const DASHBOARD: &str = include_str!("monitoring/grafana.json");
const ALERTS: &str = include_str!("monitoring/alerts.yml");
const GUIDE: &str = include_str!("guide/metrics.md");

/// The values of each label of each metric.
type Exported = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn add(exported: &mut Exported, sample: &Sample<'_>) {
    let names = match &sample.figure {
        Figure::Histogram(_) => ["_bucket", "_sum", "_count"]
            .map(|end| format!("{}{end}", sample.metric.name))
            .into(),
        Figure::Counter(_) | Figure::Gauge(_) => vec![sample.metric.name.to_owned()],
    };
    for name in names {
        let labels = exported.entry(name).or_default();
        for (label, value) in sample.metric.labels {
            labels
                .entry((*label).to_owned())
                .or_default()
                .insert((*value).to_owned());
        }
        if matches!(sample.figure, Figure::Histogram(_)) {
            labels.entry("le".to_owned()).or_default();
        }
    }
}

fn exported() -> Exported {
    let mut exported = Exported::new();
    let layer = MemoLockLayer::new(MemoryStore::new(), "t");
    layer.cache.tally.visit(&mut |sample| add(&mut exported, &sample));
    layer.cache.memo.shared.visit(&mut |sample| add(&mut exported, &sample));
    RedisStats::default().visit(&mut |sample| add(&mut exported, &sample));
    exported
}

/// What stands at `at`, as far as it is part of a name.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Each metric that is named in a text, with the labels that the text expects of it.
fn used(text: &str) -> Vec<(&str, &str)> {
    let starts = text.match_indices("memolock_").map(|(at, _)| at);
    let uses = starts.map(|at| {
        let name = word(&text[at..]);
        let rest = &text[at + name.len()..];
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        (name, labels.map_or("", |(labels, _)| labels))
    });
    uses.collect()
}

/// Asserts that the metric has these labels, and that they can have these values.
fn check(exported: &Exported, name: &str, labels: &str) {
    let known = exported
        .get(name)
        .unwrap_or_else(|| panic!("no metric is called {name}"));
    for matcher in labels.split(", ").filter(|matcher| !matcher.is_empty()) {
        let label = word(matcher);
        let values = known
            .get(label)
            .unwrap_or_else(|| panic!("{name} has no label {label}"));
        let asked = matcher[label.len()..].trim_start_matches(['=', '!', '~']);
        let asked = asked.trim_matches(['"', '\\']);
        for value in asked.split('|').filter(|value| !value.starts_with('$')) {
            assert!(values.contains(value), "{name}: {label} is never {value}");
        }
    }
}

/// The labels that a text groups by or shows.
fn grouped(text: &str) -> BTreeSet<&str> {
    let by = text
        .match_indices("by (")
        .filter_map(|(at, by)| text[at + by.len()..].split_once(')'));
    let by = by.flat_map(|(labels, _)| labels.split(", "));
    let shown = text
        .match_indices("{{")
        .filter_map(|(at, _)| text[at + 2..].split_once("}}"));
    let shown = shown.filter_map(|(label, _)| {
        let label = label.trim();
        (label != "$value").then(|| label.trim_start_matches("$labels."))
    });
    by.chain(shown).collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_names_that_the_crate_exports() {
    let exported = exported();
    let labels: BTreeSet<_> = exported.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
    for text in [DASHBOARD, ALERTS] {
        let used = used(text);
        assert!(used.len() > 10, "{used:?}");
        for (name, labels) in used {
            check(&exported, name, labels);
        }
        for label in grouped(text) {
            assert!(labels.contains(label), "no metric has a label {label}");
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn the_dashboard_is_json_whose_panels_have_numbers_of_their_own() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn the_guide_has_a_row_for_each_metric_and_an_alert_for_each_rule() {
    let mut names = BTreeMap::new();
    let mut row = |sample: Sample<'_>| {
        let labels = sample.metric.labels.iter().map(|(label, _)| *label);
        names.insert(
            sample.metric.name,
            (labels.collect::<Vec<_>>().join(","), sample.metric.help),
        );
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "t");
    layer.cache.tally.visit(&mut row);
    layer.cache.memo.shared.visit(&mut row);
    RedisStats::default().visit(&mut row);
    let rows = names.into_iter().map(|(name, (labels, help))| match &*labels {
        "" => format!("| `{name}` | {help} |"),
        labels => format!("| `{name}{{{labels}}}` | {help} |"),
    });
    let missing: Vec<_> = rows.filter(|row| !GUIDE.contains(row)).collect();
    assert!(missing.is_empty(), "the guide has no\n{}", missing.join("\n"));
    for rule in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(GUIDE.contains(&format!("| `{rule}` | ")), "no row for {rule}");
    }
    let exported = exported();
    for (name, _) in used(GUIDE) {
        let is_known = exported.contains_key(name) || exported.contains_key(&format!("{name}_bucket"));
        assert!(is_known, "no metric is called {name}");
    }
}

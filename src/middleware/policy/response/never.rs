//! Fields by which a response is for one client only: they count whatever other fields say, and whatever the layer is
//! told.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::header::HeaderName;

use super::super::headers;
use super::*;

const NOW: u64 = 784_111_777;
const CC: &str = "cache-control";
const CDN: &str = "cdn-cache-control";

type Lines = &'static [(&'static str, &'static str)];

/// Fields that keep a response from others, in all the ways in which they are written.
const FORBIDDING: [Lines; 19] = [
    &[(CC, "private")],
    &[(CC, "no-store")],
    &[(CC, "private, no-store")],
    &[(CC, "PRIVATE")],
    &[(CC, "No-Store")],
    &[(CC, "private, max-age=60")],
    &[(CC, "public, max-age=60, private")],
    &[(CC, "no-store, max-age=60, immutable")],
    &[(CC, "max-age=60"), (CC, "private")],
    &[(CC, "private"), (CC, "public, max-age=60")],
    &[(CC, "private=\"x-user\"")],
    &[(CC, "private=x-user")],
    &[(CC, "unknown=\"a, b\", private")],
    &[(CC, "no-store, must-understand")],
    &[(CC, "private, must-understand, max-age=60")],
    // The field cannot be parsed, so what it forbids is not known.
    &[(CC, "max-age=60, x=\"private")],
    &[(CC, "private private")],
    // Without a validator, nothing could be asked later.
    &[(CC, "no-cache")],
    &[(CC, "no-cache=\"set-cookie\", max-age=60")],
];

/// Targeted fields that say nothing for which others could have the response.
const USELESS: [Lines; 16] = [
    &[],
    &[(CDN, "")],
    &[(CDN, "x")],
    &[(CDN, "x=\"max-age=60\", y;max-age=60")],
    &[(CDN, "max-age=60, &&&")],
    &[(CDN, "MAX-AGE=60")],
    &[(CDN, "max-age =60")],
    &[(CDN, "max-age=\"60\"")],
    &[(CDN, "max-age=0")],
    &[(CDN, "no-cache, max-age=60")],
    &[(CDN, "stale-if-error=600")],
    &[(CDN, "stale-while-revalidate=600"), (CDN, "stale-if-error=600")],
    &[(CDN, "public")],
    &[(CDN, "private=?0, no-store=?0")],
    &[
        ("surrogate-control", "max-age=60"),
        ("other-cache-control", "max-age=60"),
    ],
    &[("mine-cache-control", "stale-if-error=600"), (CDN, "x")],
];

/// All ways in which a layer or a handler gives a response a lifetime.
fn lifetimes() -> Vec<(ResponseRules, MemoControl)> {
    let hour = Duration::from_secs(3600);
    let plain = ResponseRules {
        targets: ["mine-cache-control", CDN].map(HeaderName::from_static).into(),
        ..ResponseRules::default()
    };
    let silent = MemoControl::new();
    let by = |set: fn(&mut ResponseRules, Duration)| {
        let mut rules = plain.clone();
        set(&mut rules, hour);
        (rules, silent.clone())
    };
    vec![
        (plain.clone(), silent.clone()),
        by(|rules, ttl| rules.ttl = Some(ttl)),
        by(|rules, ttl| rules.status_ttl = Arc::new([(StatusCode::OK, ttl)])),
        by(|rules, ttl| rules.override_ttl = Some(ttl)),
        by(|rules, ttl| (rules.ttl, rules.stale_while_revalidate, rules.stale_if_error) = (Some(ttl), ttl, ttl)),
        (plain.clone(), MemoControl::new().ttl(hour)),
        (plain, MemoControl::new().ttl(hour).public()),
    ]
}

fn judged(lines: &[(&'static str, &str)], rules: &ResponseRules, control: &MemoControl) -> Sharing {
    let head = Head {
        method: &Method::GET,
        status: StatusCode::OK,
        headers: &headers(lines),
        control,
    };
    at_head(&head, rules, UNIX_EPOCH + Duration::from_secs(NOW))
}

fn is_for_others(sharing: Sharing) -> bool {
    !matches!(sharing, Sharing::Pass(_))
}

/// `no-cache` is about time and not about which clients may have the response. `override_ttl` and handlers may override it.
fn says_no_cache(lines: Lines) -> bool {
    lines.iter().any(|(_, value)| value.starts_with("no-cache"))
}

#[test]
fn what_one_field_forbids_no_useless_field_and_no_ttl_allows() {
    for forbidding in FORBIDDING {
        for useless in USELESS {
            for (rules, control) in lifetimes() {
                let overrides = rules.override_ttl.is_some() || control.ttl.is_some();
                if says_no_cache(forbidding) && overrides {
                    continue;
                }
                for lines in [[forbidding, useless].concat(), [useless, forbidding].concat()] {
                    let found = judged(&lines, &rules, &control);
                    assert!(!is_for_others(found), "{lines:?} {rules:?} {control:?}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn what_a_field_for_another_cache_forbids_no_ttl_allows() {
    for field in [
        CDN,
        "other-cache-control",
        "surrogate-control",
        "edge-control",
        "mine-cache-control",
    ] {
        for value in [
            "private",
            "no-store",
            "Private",
            "NO-STORE, x",
            "no-store, max-age=1d",
            "private=(\"a\" \"b\")",
        ] {
            for (rules, control) in lifetimes() {
                let found = judged(&[(field, value)], &rules, &control);
                let is_silent = rules.ttl.or(rules.override_ttl).or(control.ttl).is_none();
                assert!(
                    !is_for_others(found),
                    "{field}: {value}, {rules:?}: {found:?}, {is_silent}"
                );
            }
        }
    }
}

#[test]
fn a_targeted_field_that_makes_it_fresh_counts_and_nothing_makes_it_fresh_for_longer() {
    for forbidding in FORBIDDING {
        for granting in [
            &[(CDN, "max-age=60")][..],
            &[(CDN, "x, max-age=60;y=1, stale-if-error=600")],
            &[(CDN, "s-maxage=60, max-age=0")],
            &[("mine-cache-control", "x"), (CDN, "max-age=60")],
            &[("mine-cache-control", "max-age=60"), (CDN, "private")],
        ] {
            for (rules, control) in lifetimes() {
                let lines = [forbidding, granting].concat();
                let Sharing::Store(terms) = judged(&lines, &rules, &control) else {
                    panic!("{lines:?} {rules:?}");
                };
                let is_about_time = says_no_cache(forbidding) && !lines.contains(&(CDN, "private"));
                if !is_about_time {
                    assert_eq!(terms.fresh_for.as_secs(), 60, "{lines:?} {rules:?} {control:?}");
                    assert!(terms.stale_while_revalidate.is_zero(), "{lines:?} {rules:?}");
                }
            }
        }
    }
}

#[test]
fn a_shorter_lifetime_still_makes_it_fresh_for_less() {
    let lines = [(CC, "private"), (CDN, "max-age=60")];
    let control = MemoControl::new().ttl(Duration::from_secs(5));
    let Sharing::Store(terms) = judged(&lines, &ResponseRules::default(), &control) else {
        panic!("not stored");
    };
    assert_eq!(terms.fresh_for.as_secs(), 5);
    let none = MemoControl::new().ttl(Duration::ZERO);
    assert_eq!(judged(&lines, &ResponseRules::default(), &none), Sharing::Share);
}

#[test]
fn pragma_is_no_cache_where_there_is_nothing_newer() {
    for (rules, control) in lifetimes() {
        let overrides = rules.override_ttl.is_some() || control.ttl.is_some();
        for value in ["no-cache", "No-Cache", "x, no-cache"] {
            let found = judged(&[("pragma", value)], &rules, &control);
            assert_eq!(is_for_others(found), overrides, "{value} {rules:?}: {found:?}");
        }
        let newer = judged(&[("pragma", "no-cache"), (CC, "max-age=60")], &rules, &control);
        assert!(matches!(newer, Sharing::Store(_)), "{newer:?}");
    }
}

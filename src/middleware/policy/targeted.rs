//! Targeted cache control (RFC 9213): fields that replace `Cache-Control` and `Expires` for some caches.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::cache_control::{CacheControl, MAX_DELTA_SECONDS, Malformed};
use super::structured::{self, Bare, Member};

/// The directives that are meant for this cache, and whether they are from a targeted field: then `Expires` does not
/// count (RFC 9213, 2.2).
///
/// The first of the fields `targets` that is there, not empty and a dictionary is taken, else `Cache-Control`.
pub(crate) fn directives(headers: &HeaderMap, targets: &[HeaderName]) -> Result<(CacheControl, bool), Malformed> {
    for target in targets {
        if headers.contains_key(target)
            && let Ok(members) = structured::dictionary(headers, target)
            && !members.is_empty()
        {
            return Ok((from_members(&members), true));
        }
    }
    Ok((CacheControl::parse(headers)?, false))
}

/// The directives that have values of their types; parameters mean nothing (RFC 9213, 2.1).
fn from_members(members: &[(String, Member)]) -> CacheControl {
    let mut directives = CacheControl::default();
    for (name, member) in members {
        // A list of field names in `private` or `no-cache` counts as none: the directive holds for all of them.
        let value = match member {
            Member::Item(value, _) => Some(value),
            Member::Inner(_) => None,
        };
        let on = !matches!(value, Some(Bare::Boolean(false)));
        let seconds = match value {
            Some(Bare::Integer(seconds)) => u64::try_from(*seconds).ok(),
            _ => None,
        };
        // Of another type, it says nothing that can be relied on: stale (RFC 9111, 4.2.1).
        let span = Some(Duration::from_secs(seconds.unwrap_or(0).min(MAX_DELTA_SECONDS)));
        match name.as_str() {
            "no-store" => directives.no_store = on,
            "no-cache" => directives.no_cache = on,
            "private" => directives.private = on,
            "public" => directives.public = on,
            "must-revalidate" => directives.must_revalidate = on,
            "proxy-revalidate" => directives.proxy_revalidate = on,
            "must-understand" => directives.must_understand = on,
            "max-age" => directives.max_age = span,
            "s-maxage" => directives.s_maxage = span,
            "stale-while-revalidate" => directives.stale_while_revalidate = span,
            "stale-if-error" => directives.stale_if_error = span,
            _ => {}
        }
    }
    directives
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    const TARGETS: [HeaderName; 2] = [
        HeaderName::from_static("mine-cache-control"),
        HeaderName::from_static("cdn-cache-control"),
    ];

    fn found(lines: &[(&'static str, &str)]) -> (CacheControl, bool) {
        directives(&headers(lines), &TARGETS).unwrap()
    }

    fn max_age(seconds: u64) -> CacheControl {
        CacheControl {
            max_age: Some(Duration::from_secs(seconds)),
            ..CacheControl::default()
        }
    }

    #[test]
    fn first_valid_target_replaces_cache_control() {
        let cc = ("cache-control", "max-age=1");
        let cdn = |value| ("cdn-cache-control", value);
        let mine = |value| ("mine-cache-control", value);
        for (lines, expected) in [
            (&[cc][..], (max_age(1), false)),
            (&[cc, cdn("max-age=2")], (max_age(2), true)),
            (&[cc, cdn("max-age=2"), mine("max-age=3")], (max_age(3), true)),
            (&[cc, cdn("max-age=2"), mine("")], (max_age(2), true)),
            (&[cc, cdn("max-age=2"), mine("max-age=")], (max_age(2), true)),
            (&[cc, cdn("max-age=10000, &&&&&")], (max_age(1), false)),
            (&[cc, cdn("MaX-aGe=2")], (max_age(1), false)),
            (&[cc, cdn("max-age =2")], (max_age(1), false)),
            (&[cc, cdn("foobar, max-age=2;x=y")], (max_age(2), true)),
            (&[cc, cdn("max-age=2, max-age=4")], (max_age(4), true)),
            (&[cc, cdn("max-age=2"), cdn("max-age=4")], (max_age(4), true)),
            (&[cc, cdn("max-age=99999999999")], (max_age(1 << 31), true)),
            (&[("cache-control", "x=\""), cdn("max-age=2")], (max_age(2), true)),
        ] {
            assert_eq!(found(lines), expected, "{lines:?}");
        }
        assert!(directives(&headers(&[("cache-control", "x=\"")]), &TARGETS).is_err());
        assert_eq!(
            directives(&headers(&[cc, cdn("max-age=2")]), &[]).unwrap(),
            (max_age(1), false)
        );
    }

    #[test]
    fn value_of_another_type_is_no_freshness() {
        for value in [
            "max-age=\"60\"",
            "max-age=1.5",
            "max-age",
            "max-age=-1",
            "max-age=(1)",
            "max-age=?1",
        ] {
            let lines = [("cache-control", "no-store"), ("cdn-cache-control", value)];
            assert_eq!(found(&lines), (max_age(0), true), "{value}");
        }
    }

    #[test]
    fn flags_hold_unless_they_are_false() {
        for (value, expected) in [
            ("private", true),
            ("private=?1", true),
            ("private=(\"a\" \"b\")", true),
            ("private=\"a\"", true),
            ("private=?0", false),
        ] {
            let (directives, _) = found(&[("cdn-cache-control", value)]);
            assert_eq!(directives.private, expected, "{value}");
        }
    }
}

//! Targeted cache control (RFC 9213): fields that replace `Cache-Control` and `Expires` for some caches.

use std::time::Duration;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::cache_control::{CacheControl, MAX_DELTA_SECONDS, Malformed};
use super::sharing::Reason;
use super::structured::{self, Bare, Member};

/// The directives that are meant for this cache, and whether they are from a targeted field: then `Expires` does not
/// count (RFC 9213, 2.2).
///
/// Takes the first of the fields `targets` that is a dictionary with a directive we know, or else `Cache-Control`. The
/// RFC would also take a dictionary without such a directive: but that says nothing, and must not void the fields
/// beside it.
///
/// # Errors
///
/// Fails where `Cache-Control` cannot be parsed; and where a field before it cannot be parsed and names a directive
/// that keeps a response from others. The RFC has such a field ignored.
pub(crate) fn directives(headers: &HeaderMap, targets: &[HeaderName]) -> Result<(CacheControl, bool), Reason> {
    for target in targets {
        let Some((directives, is_known)) = members(headers, target)? else {
            continue;
        };
        if is_known {
            return Ok((directives, true));
        }
    }
    let mut directives = CacheControl::parse(headers).map_err(|Malformed| Reason::Malformed)?;
    // The field from before HTTP/1.1 (RFC 9111, 5.4).
    directives.no_cache |= !headers.contains_key(CACHE_CONTROL) && names(headers, &PRAGMA, "no-cache");
    Ok((directives, false))
}

/// What all fields about caching say together, whichever field counts here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Anywhere {
    /// Why the response is for one client only, if one of them says so.
    pub(crate) forbidden: Option<Reason>,
    /// The same where `private` means nothing.
    pub(crate) unless_private: Option<Reason>,
    /// Whether one of them says `no-cache`.
    pub(crate) no_cache: bool,
}

/// Reads `Cache-Control`, the fields `targets`, and those that are meant for other caches.
pub(crate) fn anywhere(headers: &HeaderMap, targets: &[HeaderName]) -> Anywhere {
    let mut anywhere = Anywhere::default();
    for name in headers.keys() {
        let said = if *name == CACHE_CONTROL {
            CacheControl::parse(headers).map_err(|Malformed| Reason::Malformed)
        } else if is_targeted(name) || targets.contains(name) {
            members(headers, name).map(|found| found.map(|(directives, _)| directives).unwrap_or_default())
        } else {
            continue;
        };
        let (private, other) = match said {
            Err(Reason::Private) => (Some(Reason::Private), None),
            Err(reason) => (None, Some(reason)),
            Ok(said) => {
                anywhere.no_cache |= said.no_cache;
                let private = said.private.then_some(Reason::Private);
                (private, said.no_store.then_some(Reason::NoStore))
            }
        };
        anywhere.forbidden = anywhere.forbidden.or(private).or(other);
        anywhere.unless_private = anywhere.unless_private.or(other);
    }
    anywhere
}

/// Whether this is a field for some cache: by the name that RFC 9213, 2 has them given, or an older one.
pub(super) fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("-cache-control") || matches!(name, "surrogate-control" | "edge-control")
}

/// The directives of a targeted field, and whether we know one of them; `None` where it is absent or no dictionary.
///
/// # Errors
///
/// Fails where it is no dictionary, and names a directive that keeps a response from others: `Private` for instance,
/// which would have no capitals in a structured field.
fn members(headers: &HeaderMap, name: &HeaderName) -> Result<Option<(CacheControl, bool)>, Reason> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    match structured::dictionary(headers, name) {
        Ok(members) => Ok(Some(from_members(&members))),
        Err(_) if names(headers, name, "private") => Err(Reason::Private),
        Err(_) if names(headers, name, "no-store") => Err(Reason::NoStore),
        Err(_) => Ok(None),
    }
}

/// Whether a field has this word in it, wherever it stands.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut words = lines.flat_map(|line| line.split(|byte| !is_of_word(byte)));
    words.any(|found| found.eq_ignore_ascii_case(word.as_bytes()))
}

/// The directives that have values of their types, and whether there is any that we know; parameters mean nothing
/// (RFC 9213, 2.1).
fn from_members(members: &[(String, Member)]) -> (CacheControl, bool) {
    let mut directives = CacheControl::default();
    let mut is_known = false;
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
            _ => continue,
        }
        is_known = true;
    }
    (directives, is_known)
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
            (&[cc, cdn("foobar")], (max_age(1), false)),
            (&[cc, mine("x=private"), cdn("max-age=2")], (max_age(2), true)),
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

    #[test]
    fn all_directives_are_known() {
        let own = |value| found(&[("cdn-cache-control", value)]);
        for (value, of) in [
            ("no-store", (|d| d.no_store) as fn(&CacheControl) -> bool),
            ("no-cache", |d| d.no_cache),
            ("public", |d| d.public),
            ("must-revalidate", |d| d.must_revalidate),
            ("proxy-revalidate", |d| d.proxy_revalidate),
            ("must-understand", |d| d.must_understand),
            ("s-maxage=7", |d| d.s_maxage == Some(Duration::from_secs(7))),
            ("stale-while-revalidate=7", |d| {
                d.stale_while_revalidate == Some(Duration::from_secs(7))
            }),
            ("stale-if-error=7", |d| d.stale_if_error == Some(Duration::from_secs(7))),
        ] {
            let (directives, is_known) = own(value);
            assert!(is_known && of(&directives), "{value}");
        }
    }

    #[test]
    fn fields_for_any_cache_and_those_that_are_named_forbid() {
        let target = HeaderName::from_static("for-us");
        for (lines, targets, private, other) in [
            (&[("x", "private, no-store")][..], &[][..], None, None),
            (&[("for-us", "private")], &[], None, None),
            (
                &[("for-us", "private")],
                std::slice::from_ref(&target),
                Some(Reason::Private),
                None,
            ),
            (
                &[("edge-control", "no-store")],
                &[],
                Some(Reason::NoStore),
                Some(Reason::NoStore),
            ),
            (
                &[("a-cache-control", "private"), ("b-cache-control", "no-store")],
                &[],
                Some(Reason::Private),
                Some(Reason::NoStore),
            ),
        ] {
            let found = anywhere(&headers(lines), targets);
            assert_eq!((found.forbidden, found.unless_private), (private, other), "{lines:?}");
        }
    }
}

//! Conditional requests that a stored response answers (RFC 9110, 13; RFC 9111, 4.3.2).

use std::time::SystemTime;

use http::HeaderMap;
use http::header::{DATE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED};

use super::age::date;

/// Whether a client with these conditions has the stored response already, and is answered with 304.
///
/// `If-None-Match` comes before `If-Modified-Since` (RFC 9110, 13.2.2). Where the stored response has no
/// `Last-Modified`, its `Date` or the time it was `received` stands in (RFC 9111, 4.3.2).
pub(crate) fn not_modified(request: &HeaderMap, stored: &HeaderMap, received: SystemTime) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        return none_match_fails(request, stored);
    }
    let several = request.get_all(IF_MODIFIED_SINCE).iter().nth(1).is_some();
    let Some(since) = date(request, &IF_MODIFIED_SINCE).filter(|_| !several) else {
        return false;
    };
    let modified = match stored.contains_key(LAST_MODIFIED) {
        true => date(stored, &LAST_MODIFIED),
        false => date(stored, &DATE).or(Some(received)),
    };
    modified.is_some_and(|modified| modified <= since)
}

/// Weak comparison (RFC 9110, 13.1.2); `*` matches whatever there is.
fn none_match_fails(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let stored = entity_tag(stored).map(opaque);
    request.get_all(IF_NONE_MATCH).iter().any(|line| {
        let line = line.as_bytes().trim_ascii();
        line == b"*" || EntityTags(line).any(|tag| stored == Some(opaque(tag)))
    })
}

/// Whether a range asked for with these conditions is a range of the stored response (RFC 9110, 13.1.5). Strong
/// comparison.
pub(super) fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(condition) = lines.next() else {
        return true;
    };
    if lines.next().is_some() {
        return false;
    }
    let condition = condition.as_bytes().trim_ascii();
    if condition.starts_with(b"\"") {
        return entity_tag(stored) == Some(condition);
    }
    let modified = stored.get(LAST_MODIFIED).map(|value| value.as_bytes());
    modified == Some(condition) && is_strong_date(stored)
}

/// Whether `Last-Modified` is a strong validator: the response cannot have changed again within the same second (RFC
/// 9110, 8.8.2.2).
fn is_strong_date(stored: &HeaderMap) -> bool {
    match (date(stored, &LAST_MODIFIED), date(stored, &DATE)) {
        (Some(modified), Some(date)) => modified < date,
        _ => false,
    }
}

/// The entity tag of a response, if it has one that is well-formed (RFC 9110, 8.8.3).
pub(super) fn entity_tag(headers: &HeaderMap) -> Option<&[u8]> {
    let tag = single(headers, &ETAG)?;
    (EntityTags(tag).next() == Some(tag)).then_some(tag)
}

/// The only line of a field.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then(|| line.as_bytes().trim_ascii())
}

/// The tag without its weakness.
pub(super) fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether the tag is weak.
pub(super) fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

/// The entity tags of a list, up to the first member that is none.
struct EntityTags<'a>(&'a [u8]);

impl<'a> Iterator for EntityTags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let [b',' | b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let start = self.0;
        let inside = opaque(start).strip_prefix(b"\"")?;
        let end = inside.iter().position(|byte| *byte == b'"')?;
        // etagc: no blanks, no controls.
        if inside[..end].iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return None;
        }
        let (tag, rest) = start.split_at(start.len() - inside.len() + end + 1);
        self.0 = rest;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::headers;
    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn found(request: &[(&'static str, &str)], stored: &[(&'static str, &str)]) -> bool {
        let received = UNIX_EPOCH + Duration::from_secs(784_111_777);
        not_modified(&headers(request), &headers(stored), received)
    }

    #[test]
    fn tags_are_compared_weakly() {
        for (condition, tag, expected) in [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"a\"", "W/\"a\"", true),
            ("W/\"a\"", "W/\"a\"", true),
            ("\"b\", \"a\"", "\"a\"", true),
            ("\"b\",W/\"a\" , \"c\"", "\"a\"", true),
            ("\"x, \", \"a\"", "\"a\"", false),
            ("\"b\"", "\"a\"", false),
            ("\"A\"", "\"a\"", false),
            ("*", "\"a\"", true),
            ("*", "", true),
            ("a", "a", false),
            ("a", "\"a\"", false),
            ("\"a\"", "a", false),
            ("w/\"a\"", "w/\"a\"", false),
            ("\"a", "\"a\"", false),
            ("", "\"a\"", false),
        ] {
            let conditions = [("if-none-match", condition), ("if-modified-since", NEW)];
            let stored = [("etag", tag), ("last-modified", OLD)];
            assert_eq!(found(&conditions, &stored), expected, "{condition} {tag}");
        }
        let lines = [("if-none-match", "\"b\""), ("if-none-match", "\"a\"")];
        assert!(found(&lines, &[("etag", "\"a\"")]));
        assert!(!found(&lines, &[("etag", "\"a\""), ("etag", "\"b\"")]));
        assert!(!found(&lines, &[]));
    }

    #[test]
    fn dates_are_compared_where_no_tag_is_asked_for() {
        let modified = |date| [("last-modified", date)];
        for (condition, stored, expected) in [
            (OLD, &modified(OLD)[..], true),
            (NEW, &modified(OLD), true),
            (OLD, &modified(NEW), false),
            ("Sunday, 06-Nov-94 08:49:38 GMT", &modified(OLD), true),
            ("Sun Nov  6 08:49:37 1994", &modified(OLD), true),
            ("yesterday", &modified(OLD), false),
            ("", &modified(OLD), false),
            (OLD, &modified("yesterday"), false),
            (OLD, &[("date", OLD)], true),
            (OLD, &[("date", NEW)], false),
            (OLD, &[], true),
            ("Sun, 06 Nov 1994 08:49:36 GMT", &[], false),
        ] {
            assert_eq!(
                found(&[("if-modified-since", condition)], stored),
                expected,
                "{condition} {stored:?}"
            );
        }
        assert!(!found(
            &[("if-modified-since", NEW), ("if-modified-since", NEW)],
            &modified(OLD)
        ));
        assert!(!found(&[], &modified(OLD)));
    }

    #[test]
    fn ranges_need_strong_validators() {
        let stored = [("etag", "\"a\""), ("last-modified", OLD), ("date", NEW)];
        for (condition, stored, expected) in [
            ("\"a\"", &stored[..], true),
            ("\"b\"", &stored, false),
            ("W/\"a\"", &stored, false),
            ("W/\"a\"", &[("etag", "W/\"a\"")], false),
            (OLD, &stored, true),
            (NEW, &stored, false),
            ("Sunday, 06-Nov-94 08:49:37 GMT", &stored, false),
            (OLD, &[("last-modified", OLD), ("date", OLD)], false),
            (OLD, &[("last-modified", OLD)], false),
            ("", &stored, false),
        ] {
            let condition = headers(&[("if-range", condition)]);
            assert_eq!(if_range_holds(&condition, &headers(stored)), expected, "{condition:?}");
        }
        assert!(if_range_holds(&headers(&[]), &headers(&[])));
    }
}

//! Revalidation of a stale stored response (RFC 9111, 3.2, 4.3.1, 4.3.3 and 4.3.4).

use std::time::SystemTime;

use http::HeaderMap;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};

use super::conditions::{entity_tag, is_weak, opaque};
use super::date;
use super::fields;

/// Makes a request ask whether the stored response is still right (4.3.1). `false` where the response has no validator.
pub(crate) fn add_conditions(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    let tag = entity_tag(stored).and_then(|_| stored.get(ETAG));
    let modified = stored.get(LAST_MODIFIED);
    for (name, value) in [(IF_NONE_MATCH, tag), (IF_MODIFIED_SINCE, modified)] {
        if let Some(value) = value {
            request.insert(name, value.clone());
        }
    }
    tag.is_some() || modified.is_some()
}

/// Whether a 304 is about the stored response (4.3.4).
pub(crate) fn is_about(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    match (entity_tag(not_modified), entity_tag(stored)) {
        (Some(newer), Some(older)) if is_weak(newer) => opaque(newer) == opaque(older),
        (Some(newer), older) => Some(newer) == older,
        // No tag tells the responses that it could be about from one another.
        (None, _) => match (not_modified.get(LAST_MODIFIED), stored.get(LAST_MODIFIED)) {
            (Some(newer), Some(older)) => newer == older,
            _ => true,
        },
    }
}

/// The stored fields with those of a 304 in their place (3.2).
///
/// The fields that describe the stored bytes stay as they are. The RFC lets all of them but `Content-Length` be
/// replaced, but the new ones would describe bytes that no client has.
pub(crate) fn updated(stored: &HeaderMap, not_modified: &HeaderMap, now: SystemTime) -> HeaderMap {
    const OF_THE_BYTES: [HeaderName; 6] = [
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        HeaderName::from_static("content-md5"),
        CONTENT_RANGE,
        HeaderName::from_static("content-digest"),
        ETAG,
    ];
    let mut newer = not_modified.clone();
    fields::strip_connection_fields(&mut newer);
    for name in &OF_THE_BYTES {
        newer.remove(name);
    }
    let mut updated = stored.clone();
    // The response is as old as the 304 now.
    updated.remove(AGE);
    for name in newer.keys() {
        updated.remove(name);
    }
    for (name, value) in &newer {
        updated.append(name, value.clone());
    }
    if !newer.contains_key(DATE)
        && let Some(date) = date::field_value(now)
    {
        updated.insert(DATE, date);
    }
    updated
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::headers;
    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn request_asks_by_what_there_is() {
        for (stored, expected) in [
            (&[][..], &[][..]),
            (&[("etag", "\"a\"")], &[("if-none-match", "\"a\"")]),
            (&[("etag", "W/\"a\"")], &[("if-none-match", "W/\"a\"")]),
            (&[("etag", "a")], &[]),
            (&[("last-modified", OLD)], &[("if-modified-since", OLD)]),
            (
                &[("etag", "\"a\""), ("last-modified", OLD)],
                &[("if-none-match", "\"a\""), ("if-modified-since", OLD)],
            ),
        ] {
            let mut request = HeaderMap::new();
            let asks = add_conditions(&mut request, &headers(stored));
            assert_eq!(request, headers(expected), "{stored:?}");
            assert_eq!(asks, !expected.is_empty(), "{stored:?}");
        }
    }

    #[test]
    fn answer_is_about_the_same_validator() {
        let (tag, modified) = (|tag| ("etag", tag), |date| ("last-modified", date));
        for (newer, stored, expected) in [
            (&[][..], &[tag("\"a\"")][..], true),
            (&[tag("\"a\"")], &[tag("\"a\"")], true),
            (&[tag("\"b\"")], &[tag("\"a\"")], false),
            (&[tag("W/\"a\"")], &[tag("\"a\"")], true),
            (&[tag("W/\"b\"")], &[tag("\"a\"")], false),
            (&[tag("\"a\"")], &[tag("W/\"a\"")], false),
            (&[tag("\"a\"")], &[modified(OLD)], false),
            (&[modified(OLD)], &[modified(OLD)], true),
            (&[modified(NEW)], &[modified(OLD)], false),
            (&[modified(OLD)], &[tag("\"a\"")], true),
        ] {
            assert_eq!(
                is_about(&headers(newer), &headers(stored)),
                expected,
                "{newer:?} {stored:?}"
            );
        }
    }

    #[test]
    fn fields_are_replaced_but_not_those_of_the_bytes() {
        let stored = headers(&[
            ("x-two", "1"),
            ("x-two", "2"),
            ("x-kept", "1"),
            ("age", "50"),
            ("content-length", "5"),
            ("content-encoding", "br"),
            ("content-type", "text/plain"),
            ("etag", "\"a\""),
        ]);
        let newer = headers(&[
            ("x-two", "3"),
            ("x-new", "1"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("content-length", "0"),
            ("content-encoding", "gzip"),
            ("content-type", "text/html"),
            ("etag", "W/\"a\""),
        ]);

        let found = updated(&stored, &newer, UNIX_EPOCH);

        let expected = headers(&[
            ("x-two", "3"),
            ("x-kept", "1"),
            ("x-new", "1"),
            ("content-length", "5"),
            ("content-encoding", "br"),
            ("content-type", "text/html"),
            ("etag", "\"a\""),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ]);
        assert_eq!(found, expected);
        let dated = updated(&stored, &headers(&[("date", OLD)]), UNIX_EPOCH);
        assert_eq!(dated["date"], OLD);
    }
}

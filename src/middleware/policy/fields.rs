//! Header fields that are about one connection, not about the response; and how large they all are.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use super::common_values;
use super::ending::content_length;
use super::syntax::members;
use super::targeted::is_targeted;

/// Removes fields that must not be stored or sent to another client (RFC 9111, 3.1; RFC 9110, 7.6.1): `Connection` and
/// whatever it lists, the fields of that kind that need no listing, and those that authenticate towards a proxy.
///
/// `Trailer` stays, unless listed: over HTTP/1.1 a response that does not announce its trailers is sent without them. A
/// field that is meant for all recipients stays even if listed, which RFC 9110, 7.6.1 forbids: without `Cache-Control`,
/// `Vary` or `Set-Cookie` no recipient could tell which clients the response is for. `Content-Length` goes where
/// `Transfer-Encoding` overrides it (RFC 9112, 6.3), and is told once where it is repeated (RFC 9110, 8.6).
pub(crate) fn strip_connection_fields(headers: &mut HeaderMap) {
    const ALWAYS: [HeaderName; 9] = [
        CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        TRANSFER_ENCODING,
        TE,
        UPGRADE,
        PROXY_AUTHENTICATE,
        HeaderName::from_static("proxy-authentication-info"),
        PROXY_AUTHORIZATION,
    ];
    let listed: Vec<_> = members(headers, &CONNECTION)
        .filter_map(|member| HeaderName::from_bytes(member).ok())
        .filter(|name| !is_for_all(name))
        .collect();
    match content_length(headers) {
        Some(Ok(length)) => set(headers, CONTENT_LENGTH, length.into()),
        // A wrong length is found out at the end of the response.
        Some(Err(_)) => {}
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
    for name in ALWAYS.iter().chain(&listed) {
        headers.remove(name);
    }
}

/// Does what [`HeaderMap::insert`] does, which would be compiled into each part of the crate that calls it.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.insert(name, value);
}

/// Whether a field tells the recipient of a response what it is, for which clients and for how long.
fn is_for_all(name: &HeaderName) -> bool {
    let text = name.as_str();
    let known = [
        "age",
        "cache-control",
        "cache-groups",
        "cache-group-invalidation",
        "date",
        "etag",
        "expires",
        "last-modified",
        "location",
        "pragma",
        "set-cookie",
        "set-cookie2",
        "vary",
    ];
    known.contains(&text) || text.starts_with("content-") || text.starts_with("grpc-") || is_targeted(name)
}

/// The same fields in memory of their own, and in no more than they need: a value that came over a connection is a
/// slice of the read buffer, and keeps all of that buffer alive.
pub(crate) fn compact(headers: &HeaderMap) -> HeaderMap {
    let lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name, value, common_values::of(name, value)))
        .collect();
    let others = lines.iter().filter(|(.., common)| common.is_none());
    let others: Vec<_> = others.map(|(_, value, _)| value.as_bytes()).collect();
    let mut rest = Bytes::from(others.concat());
    let mut compact = HeaderMap::with_capacity(headers.keys_len());
    for (name, value, common) in lines {
        let own = common.unwrap_or_else(|| {
            // These bytes were a valid value before.
            let own = HeaderValue::from_maybe_shared(rest.split_to(value.len()));
            let mut own = own.unwrap_or_else(|_| value.clone());
            own.set_sensitive(value.is_sensitive());
            own
        });
        compact.append(name.clone(), own);
    }
    compact
}

/// How much memory they take, in a map that [`compact`] has made.
pub(crate) fn weight(headers: &HeaderMap) -> usize {
    let repeated = headers.len() - headers.keys_len();
    size(headers) as usize + room(headers.keys_len()) + repeated * PER_REPEATED + headers.keys_len() * PER_NAME
}

/// How much memory a map takes that was made for this many names.
pub(crate) fn room(names: usize) -> usize {
    if names == 0 {
        return 0;
    }
    let places = (names + names / 3).next_power_of_two();
    places * size_of::<u32>() + (places - places / 4) * PER_SLOT
}

/// What [`HeaderMap`] has of each field that it has room for: hash, name, value and links.
const PER_SLOT: usize = size_of::<(u64, HeaderName, HeaderValue, Option<[usize; 2]>)>();

/// The same of a value that is not the first of its name, in a vector that doubles.
const PER_REPEATED: usize = 2 * size_of::<(HeaderValue, [[usize; 2]; 2])>();

/// What a name takes besides its letters where it is no well-known one: two allocations, and the counter of those that hold
/// it.
const PER_NAME: usize = 56;

/// How many bytes the names and values have.
pub(crate) fn size(headers: &HeaderMap) -> u64 {
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    headers.iter().map(bytes).sum::<usize>() as u64
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    #[test]
    fn only_fields_of_the_response_stay() {
        let mut found = headers(&[
            ("connection", "close, X-Listed"),
            ("connection", "b@d,,keep-alive"),
            ("x-listed", "1"),
            ("x-listed", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "x"),
            ("proxy-authorization", "x"),
            ("trailer", "grpc-status"),
            ("content-type", "text/plain"),
            ("link", "a"),
            ("link", "b"),
        ]);

        strip_connection_fields(&mut found);

        let expected = headers(&[
            ("trailer", "grpc-status"),
            ("content-type", "text/plain"),
            ("link", "a"),
            ("link", "b"),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_for_all_recipients_stays_even_if_it_is_listed() {
        for name in [
            "cache-control",
            "cdn-cache-control",
            "surrogate-control",
            "vary",
            "set-cookie",
            "expires",
            "age",
            "etag",
            "content-length",
            "cache-groups",
            "grpc-status",
        ] {
            let kept = headers(&[(name, "1")]);
            let mut found = headers(&[("connection", "close"), (name, "1")]);
            found.append(CONNECTION, name.parse().unwrap());
            strip_connection_fields(&mut found);
            assert_eq!(found, kept, "{name}");
        }
    }

    #[test]
    fn compact_fields_are_the_same_ones() {
        let mut found = headers(&[
            ("link", "a"),
            ("x-empty", ""),
            ("link", "b"),
            ("link", ""),
            ("vary", "c, d"),
        ]);
        let mut secret = HeaderValue::from_bytes(b"\xe4 \t\xff").unwrap();
        secret.set_sensitive(true);
        found.insert("x-secret", secret);
        let own = compact(&found);
        assert_eq!(own, found);
        assert!(own["x-secret"].is_sensitive() && !own["vary"].is_sensitive());
        let links: Vec<_> = own.get_all("link").iter().collect();
        assert_eq!(links, ["a", "b", ""]);
        assert_eq!(compact(&HeaderMap::new()), HeaderMap::new());
    }

    #[test]
    fn lengths_are_those_of_the_content() {
        let length = |value| ("content-length", value);
        for (lines, expected) in [
            (&[length("5")][..], &["5"][..]),
            (&[length("5, 5")], &["5"]),
            (&[length("5"), length("5")], &["5"]),
            (&[length("5"), ("transfer-encoding", "chunked")], &[]),
            (&[("transfer-encoding", "x"), length("5"), length("6")], &[]),
            (&[length("5, 6")], &["5, 6"]),
        ] {
            let mut found = headers(lines);
            strip_connection_fields(&mut found);
            let found: Vec<_> = found.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(found, expected, "{lines:?}");
        }
    }
    #[test]
    fn a_map_has_room_for_what_it_was_made_for() {
        assert_eq!(room(0), 0);
        for names in 1..200 {
            assert!(room(names) >= names * PER_SLOT, "{names}");
            assert!(
                HeaderMap::<HeaderValue>::with_capacity(names).capacity() * PER_SLOT <= room(names),
                "{names}"
            );
        }
        let one = headers(&[("etag", "1")]);
        assert!(weight(&one) > PER_SLOT);
    }
}

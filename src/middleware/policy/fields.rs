//! Header fields that are about one connection, not about the response; and how large they all are.

use http::HeaderMap;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

use super::ending::content_length;
use super::targeted::is_targeted;

/// Removes what must not be stored or sent to another client (RFC 9111, 3.1; RFC 9110, 7.6.1): `Connection` and
/// whatever it lists, the fields of that kind that need no listing, and those that authenticate towards a proxy.
///
/// `Trailer` stays, unless listed: over HTTP/1.1 a response that does not announce its trailers is sent without them.
/// What is meant for all recipients stays even if listed, which RFC 9110, 7.6.1 forbids: without `Cache-Control`, `Vary`
/// or `Set-Cookie` nobody further on could tell whose the response is.
/// `Content-Length` goes where `Transfer-Encoding` overrides it (RFC 9112, 6.3), and is told once where it is repeated
/// (RFC 9110, 8.6).
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
    let listed: Vec<_> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|member| HeaderName::from_bytes(member.trim_ascii()).ok())
        .filter(|name| !is_for_all(name))
        .collect();
    match content_length(headers) {
        Some(Ok(length)) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        // What is wrong with it, the end of the response tells.
        Some(Err(_)) => {}
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
    for name in ALWAYS.iter().chain(&listed) {
        headers.remove(name);
    }
}

/// Whether a field says to whoever gets the response what it is, for whom and for how long.
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

/// How many bytes the names and values have.
pub(crate) fn size(headers: &HeaderMap) -> u64 {
    let bytes = |(name, value): (&HeaderName, &http::HeaderValue)| name.as_str().len() + value.len();
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
}

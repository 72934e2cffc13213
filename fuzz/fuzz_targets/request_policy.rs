//! Deciding about a request's head ends without a panic; what forbids sharing forbids it whatever stands beside it; and
//! requests for different targets have different keys.
//!
//! The input is two requests, with a line `--` between them: a line with the URI, then header fields.

#![no_main]

mod support;

use http::uri::PathAndQuery;
use http::{Request, Uri};
use libfuzzer_sys::fuzz_target;
use support::{headers, parts};
use tower_memolock::Key;
use tower_memolock::middleware::{HeadKey, KeyExtractor, UriKey, fuzzing};

fuzz_target!(|data: &[u8]| {
    let [one, two] = parts(data);
    let (Some(one), Some(two)) = (request(one), request(two)) else {
        return;
    };
    for forbidden in [
        "authorization: x",
        "cookie: x",
        "range: x",
        "if-none-match: x",
        "cache-control: no-store",
    ] {
        let mut fields = one.headers().clone();
        fields.extend(headers(forbidden.as_bytes()));
        assert!(!fuzzing::may_collapse(&fields), "{forbidden} with {:?}", one.headers());
    }
    if let (Some(first), Some(second)) = (key(&one), key(&two))
        && first == second
    {
        assert_eq!(target(&one), target(&two));
    }
});

/// The path and the query as they are sent: an empty path is `/`, as `http://host` and `http://host/` are one target.
fn target(request: &Request<()>) -> Option<&str> {
    request.uri().path_and_query().map(PathAndQuery::as_str)
}

fn key(request: &Request<()>) -> Option<Key> {
    match UriKey::new().head_key(request) {
        HeadKey::Key(key) => Some(key),
        _ => None,
    }
}

fn request(text: &[u8]) -> Option<Request<()>> {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let mut request = Request::new(());
    *request.uri_mut() = Uri::try_from(&text[..end]).ok()?;
    *request.headers_mut() = headers(&text[end..]);
    Some(request)
}

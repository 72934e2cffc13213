//! Which requests may share a response, which responses may be shared or stored, and for how long.
//!
//! Pure functions over heads and trailers, after RFC 9111 for a shared cache, and stricter where the RFC allows it: no
//! heuristic freshness, nothing with credentials, nothing that sets a cookie, and nothing that cannot be parsed.
//!
//! [`request::may_collapse`] is asked before a request waits for another; [`response::at_head`] when the head of a
//! response is there, so that those who wait can be sent away at once where it is private; [`ending::at_end`] when
//! all of it is there, which is before it is stored.

pub(super) mod age;
pub(super) mod cache_control;
pub(super) mod ending;
pub(super) mod fields;
pub(super) mod request;
pub(super) mod response;
pub(super) mod vary;

#[cfg(test)]
fn headers(lines: &[(&'static str, &str)]) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    for (name, value) in lines {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(*name, value);
    }
    headers
}

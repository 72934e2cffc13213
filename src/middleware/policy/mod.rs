//! Which requests may share a response, which responses may be shared or stored, and for how long.
//!
//! Pure functions over heads and trailers, after RFC 9111 for a shared cache, and stricter where the RFC allows it:
//! there is no heuristic freshness; a response goes to requests with credentials only if it says so; a response that
//! sets a cookie is not shared unless told otherwise ([`cookies`]); and neither is one that cannot be parsed.
//!
//! | question | answer | standard |
//! |---|---|---|
//! | What may a request have? | [`request::access`] | RFC 9110, 9.2 and 13; RFC 9111, 3.5 and 5.2.1 |
//! | May its response be shared, as its head is there? | [`response::at_head`] | RFC 9111, 3 and 5.2.2 |
//! | For how long? | [`freshness`], [`age`] | RFC 9111, 4.2; RFC 5861 |
//! | By which directives? | [`cache_control`], [`targeted`] | RFC 9111, 5.2; RFC 9213; RFC 9651 ([`structured`]) |
//! | For which requests? | [`vary`], [`accept_encoding`], [`permission`] | RFC 9111, 4.1 and 3.5; RFC 9110, 12.5.3 |
//! | Is it whole, as its end is there? | [`ending::at_end`] | RFC 9111, 3.3 |
//! | Of gRPC, is it one message, and what is its status? | [`grpc::at_end`] | gRPC over HTTP/2 |
//! | What of it is stored? | [`fields`] | RFC 9111, 3.1 |
//! | What does a request with a condition or a range get? | [`conditions`], [`range`] | RFC 9110, 13 and 14; RFC 9111, 4.3.2 |
//! | How is a stale one revalidated? | [`revalidation`] | RFC 9111, 3.2, 4.3.1 and 4.3.4 |
//! | What became of a request, and why? | [`decision`](cache_status::decision), [`reason`], [`cache_status`] | RFC 9211 |
//! | What does an unsafe request make out of date? | [`invalidation`], [`groups`] | RFC 9111, 4.4; RFC 9875 |

mod accept_encoding;
pub(super) mod age;
pub(super) mod cache_control;
pub(crate) mod cache_status;
mod common_values;
pub(super) mod conditions;
pub(crate) mod control;
pub(super) mod cookies;
pub(super) mod credential;
pub(super) mod credentials;
pub(super) mod date;
pub(super) mod early;
pub(super) mod ending;
pub(super) mod error_mapper;
pub(super) mod fields;
pub(super) mod freshness;
pub(super) mod groups;
pub(super) mod grpc;
pub(super) mod invalidation;
pub(crate) mod meta;
pub(crate) mod origin;
pub(crate) mod overrides;
pub(super) mod permission;
pub(super) mod range;
pub(super) mod reason;
pub(super) mod recency;
pub(super) mod request;
pub(super) mod response;
pub(super) mod response_rules;
pub(super) mod revalidation;
pub(super) mod sharing;
pub(super) mod stream_followers;
pub(super) mod structured;
pub(super) mod syntax;
pub(super) mod targeted;
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

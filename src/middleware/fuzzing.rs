//! What the fuzzers reach and users do not: there is no such module but under `--cfg fuzzing`.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode};

use super::policy::ending::{Ended, at_end};
use super::policy::request::{self, RequestRules};
use super::policy::response::{ResponseRules, Sharing, at_head};
use super::policy::vary::{self, Vary};
use super::policy::{age, fields};

/// A day in 2033: the decisions are to be the same whenever an input is tried again.
const NOW: Duration = Duration::from_secs(2_000_000_000);

/// Who may have a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// Nobody but the one who asked, or it is not whole.
    No,
    /// Those who wait.
    Waiting,
    /// Those who ask within this time, too.
    For(Duration),
}

/// Decides about a response with `body_len` bytes to a GET.
#[must_use]
pub fn shared(status: StatusCode, headers: &HeaderMap, trailers: Option<&HeaderMap>, body_len: u64) -> Shared {
    let rules = ResponseRules {
        ttl: Some(Duration::from_secs(1)),
        ..ResponseRules::default()
    };
    let at_head = at_head(&Method::GET, status, headers, &rules, SystemTime::UNIX_EPOCH + NOW);
    let ended = Ended {
        method: &Method::GET,
        status,
        headers,
        trailers,
        body_len,
    };
    match at_end(at_head, &ended) {
        Ok(Sharing::Store { fresh_for }) => Shared::For(fresh_for),
        Ok(Sharing::Share) => Shared::Waiting,
        Ok(Sharing::Pass(_)) | Err(_) => Shared::No,
    }
}

/// Whether a GET with these fields may share a response.
#[must_use]
pub fn may_collapse(headers: &HeaderMap) -> bool {
    request::may_collapse(&Method::GET, headers, false, &RequestRules::default()).is_ok()
}

/// How old a response is when it arrives.
#[must_use]
pub fn age(headers: &HeaderMap) -> Duration {
    age::on_arrival(headers, SystemTime::UNIX_EPOCH + NOW)
}

/// What of `request` selected `response`. `None` where no other request does.
#[must_use]
pub fn variant(response: &HeaderMap, request: &HeaderMap) -> Option<[u8; 16]> {
    match vary::names(response) {
        Vary::None => Some([0; 16]),
        Vary::Any => None,
        Vary::Names(names) => Some(vary::fingerprint(&names, request)),
    }
}

/// Removes the fields that are about one connection.
pub fn strip_connection_fields(headers: &mut HeaderMap) {
    fields::strip_connection_fields(headers);
}

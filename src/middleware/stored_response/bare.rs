//! A message without a frame, in which another program resolves a promise.
//!
//! The message and the store say what a frame would: a field names the address, the sections have their lengths, and
//! the store's expiry says how long to keep it. No node has judged the response, so it is judged here.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, VARY};
use http::{Method, StatusCode};

use super::error::StoredResponseError;
use super::message::{self, KNOWN_LENGTH_RESPONSE};
use super::response::StoredResponse;
use crate::key::Address;
use crate::middleware::MemoControl;
use crate::middleware::policy::cookies::SetCookie;
use crate::middleware::policy::ending::{Ended, at_end};
use crate::middleware::policy::freshness::Terms;
use crate::middleware::policy::meta::Meta;
use crate::middleware::policy::response::{Head, at_head};
use crate::middleware::policy::response_rules::ResponseRules;
use crate::middleware::policy::sharing::Sharing;
use crate::middleware::policy::{age, fields, groups};
use crate::system;

/// Names the address, where an entry has it in its frame.
const ADDRESS: HeaderName = HeaderName::from_static("memolock-address");

/// The program that puts a response into the store says with its expiry how long it is to be kept, like a handler with a ttl.
static CONTROL: LazyLock<MemoControl> = LazyLock::new(|| MemoControl::new().ttl(Duration::from_secs(1)));

/// What the fields of the message may forbid, read in two ways: as by a layer that heeds `CDN-Cache-Control`, and as by
/// a layer that does not.
static RULES: LazyLock<[ResponseRules; 2]> = LazyLock::new(|| {
    let unbounded = ResponseRules {
        max_body: u64::MAX,
        max_headers: u64::MAX,
        ..ResponseRules::default()
    };
    let untargeted = ResponseRules {
        targets: [].into(),
        ..unbounded.clone()
    };
    [unbounded, untargeted]
});

/// Whether these bytes are a message, if they are anything.
pub(super) fn is_message(bytes: &[u8]) -> bool {
    bytes.first() == Some(&KNOWN_LENGTH_RESPONSE)
}

/// The response in `bytes`, which must be one message that names `address`, and that may be shared.
pub(super) fn decode(address: &Address, bytes: &Bytes) -> Result<StoredResponse, StoredResponseError> {
    let message = message::decode(bytes, bytes, Meta::default())?;
    let status = message.status();
    let (mut headers, content, trailers) = message.into_content();
    let mut named = headers.get_all(ADDRESS).iter();
    if named.next().map(|name| name.as_bytes()) != Some(address.as_str().as_bytes()) || named.next().is_some() {
        return Err(StoredResponseError::Address);
    }
    headers.remove(ADDRESS);
    let trailers = trailers.map(|trailers| *trailers);
    given(
        StoredResponse::new(status, headers, content, trailers, Meta::default()),
        Duration::ZERO,
    )
}

/// A response that another program than a node gives, if it may be shared. `fresh_for` is zero where only the store
/// knows.
pub(crate) fn given(response: StoredResponse, fresh_for: Duration) -> Result<StoredResponse, StoredResponseError> {
    let status = response.status();
    let (mut headers, content, trailers) = response.into_content();
    let now = now();
    let trailers = trailers.map(|trailers| *trailers);
    let terms = judge(status, &headers, trailers.as_ref(), content.len(), now)?;
    fields::strip_connection_fields(&mut headers);
    let meta = Meta {
        stored_at: now,
        fresh_for,
        age: age::on_arrival(&headers, now).unwrap_or_default(),
        must_revalidate: terms.must_revalidate,
        for_authorized: terms.for_authorized,
        for_cookies: terms.for_cookies,
        ..Meta::default()
    };
    Ok(StoredResponse::new(status, headers, content, trailers, meta))
}

/// On which terms the response may be shared, if it may.
fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body_len: usize,
    now: SystemTime,
) -> Result<Terms, StoredResponseError> {
    // Only a node that has the request could tell the variant; and a response in a group could not be invalidated by
    // the group.
    if headers.contains_key(VARY) || !groups::groups(headers).is_empty() {
        return Err(StoredResponseError::NotShared);
    }
    let method = &Method::GET;
    // A response that must have no content would be sent with the length of the content that it has (RFC 9110, 8.6).
    let is_empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    if is_empty && body_len > 0 {
        return Err(StoredResponseError::NotShared);
    }
    let head = Head {
        method,
        status,
        headers,
        control: &CONTROL,
    };
    let ended = Ended {
        method,
        status,
        headers,
        trailers,
        body_len: body_len as u64,
        set_cookie: SetCookie::Refuse,
    };
    let [Sharing::Store(terms), Sharing::Store(_)] = RULES.each_ref().map(|rules| at_head(&head, rules, now)) else {
        return Err(StoredResponseError::NotShared);
    };
    match at_end(Sharing::Store(terms), &ended) {
        Ok(Sharing::Store(_) | Sharing::Share) => Ok(terms),
        Ok(Sharing::Pass(_)) => Err(StoredResponseError::NotShared),
        Err(_) => Err(StoredResponseError::Incomplete),
    }
}

/// The time as an entry can tell it.
fn now() -> SystemTime {
    let since = system::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis() as u64;
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

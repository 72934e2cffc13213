//! How a stored response goes to a client.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, TRAILER,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use super::body::ReplyBody;
use super::told_key;
use crate::key::Address;
use crate::middleware::policy::cache_status::{self, CACHE_STATUS};
use crate::middleware::policy::conditions::not_modified;
use crate::middleware::policy::fields;
use crate::middleware::policy::range::{Selection, select};
use crate::middleware::policy::reason::Reason;
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::stored_response::{Form, PartedBody, StoredResponse};
use crate::store::Peeked;

/// The response to a follower: as it was, with the date that it lacked.
pub(crate) fn followed(stored: Arc<StoredResponse>) -> Response<ReplyBody> {
    let status = stored.status();
    let date = stored.missing_date();
    if let Some(underway) = stored.underway_body() {
        let mut response = Response::new(ReplyBody::read_from(underway.follow()));
        *response.status_mut() = status;
        response.headers_mut().clone_from(stored.headers());
        tell_date(response.headers_mut(), date);
        return response;
    }
    let parted = stored.parted_body();
    let (headers, content, trailers) = match alone(stored) {
        Ok(own) => own.into_content(),
        Err(shared) => (
            shared.headers().clone(),
            shared.body().clone(),
            shared.trailers().cloned().map(Box::new),
        ),
    };
    let mut response = response(status, headers, body(parted, content, trailers));
    tell_date(response.headers_mut(), date);
    response
}

fn tell_date(headers: &mut HeaderMap, missing: Option<HeaderValue>) {
    if let Some(date) = missing {
        fields::set(headers, DATE, date);
    }
}

/// A hit in this process on its way to its request. It becomes a response only when it is sent: until then there is
/// little to move.
pub(crate) struct HitReply {
    pub(crate) stored: Peeked<Form>,
    pub(crate) now: Instant,
    pub(crate) cache_status: bool,
    /// Whether it was on a copy of a response that is stored elsewhere.
    pub(crate) is_near: bool,
    /// Where the response is to tell its key.
    pub(crate) key: Option<Box<Address>>,
}

impl HitReply {
    /// With the body that `of` makes of it: a response is moved less often than it is made.
    #[inline]
    pub(crate) fn send<B>(self, of: impl FnOnce(ReplyBody) -> B) -> Response<B> {
        let mut response = match self.stored.is_grpc() {
            true => reply(Arc::clone(&self.stored), self.now, self.cache_status).map(of),
            false => shared_hit(&self.stored, self.now, self.cache_status, of),
        };
        if self.cache_status && self.is_near {
            cache_status::tell_near(response.headers_mut());
        }
        if let Some(address) = self.key {
            told_key::tell(&address, response.headers_mut());
        }
        response
    }
}

/// The response to a later request: with its age (RFC 9111, section 5.1).
pub(crate) fn hit(stored: Arc<StoredResponse>, now: Instant, cache_status: bool) -> Response<ReplyBody> {
    if stored.is_grpc() {
        return reply(stored, now, cache_status);
    }
    // A response from a store elsewhere is this request's alone, and can be taken apart.
    let own = match alone(stored) {
        Ok(own) => own,
        Err(shared) => return shared_hit(&shared, now, cache_status, |body| body),
    };
    let (status, parted, date) = (own.status(), own.parted_body(), own.missing_date());
    let told = HitFields::of(&own, now, cache_status);
    let (mut headers, content, trailers) = own.into_content();
    tell_date(&mut headers, date);
    told.put(&mut headers);
    response(status, headers, body(parted, content, trailers))
}

/// The same, of a response that others have as well.
#[inline]
fn shared_hit<B>(
    stored: &StoredResponse,
    now: Instant,
    cache_status: bool,
    of: impl FnOnce(ReplyBody) -> B,
) -> Response<B> {
    let mut headers = stored.aged_headers(cache_status);
    HitFields::of(stored, now, cache_status).put(&mut headers);
    let trailers = stored.trailers().cloned().map(Box::new);
    let body = body(stored.parted_body(), stored.body().clone(), trailers);
    response(stored.status(), headers, of(body))
}

/// The response, if it has no other owner. Looks at the count first, which costs less where there are other owners.
fn alone(stored: Arc<StoredResponse>) -> Result<StoredResponse, Arc<StoredResponse>> {
    match Arc::strong_count(&stored) {
        1 => Arc::try_unwrap(stored),
        _ => Err(stored),
    }
}

/// The fields that a hit has of its own.
struct HitFields {
    age: HeaderValue,
    cache_status: Option<HeaderValue>,
}

impl HitFields {
    #[inline]
    fn of(stored: &StoredResponse, now: Instant, cache_status: bool) -> Self {
        Self {
            age: decimal(stored.age_at(now).as_secs()),
            cache_status: cache_status.then(|| cache_status::hit(stored.fresh_at(now).unwrap_or_default().as_secs())),
        }
    }

    #[inline]
    fn put(self, headers: &mut HeaderMap) {
        match headers.iter_mut().next() {
            Some((&AGE, value)) => *value = self.age,
            _ => fields::set(headers, AGE, self.age),
        }
        if let Some(told) = self.cache_status {
            match headers.get_mut(CACHE_STATUS) {
                Some(value) if value.is_empty() => *value = told,
                _ => drop(headers.append(CACHE_STATUS, told)),
            }
        }
    }
}

/// The same of gRPC: as it was, because a client would take an age for metadata.
fn reply(stored: Arc<StoredResponse>, now: Instant, cache_status: bool) -> Response<ReplyBody> {
    let told = cache_status.then(|| cache_status::hit(stored.fresh_at(now).unwrap_or_default().as_secs()));
    let mut response = followed(stored);
    if let Some(told) = told {
        response.headers_mut().append(CACHE_STATUS, told);
    }
    response
}

/// The response to a request that is not to wait for another, or for which there is none. Says why where there is a
/// reason.
pub(crate) fn stale(stored: Arc<StoredResponse>, now: Instant, says: Option<Reason>) -> Response<ReplyBody> {
    let overdue = stored.stale_at(now).as_secs();
    let mut response = hit(stored, now, false);
    if let Some(reason) = says {
        let member = cache_status::stale_hit(overdue, reason);
        response.headers_mut().append(CACHE_STATUS, member);
    }
    response
}

/// The part of the body that an answer takes.
pub(crate) enum Wanted {
    Nothing,
    Part(Range<usize>),
    Whole,
}

/// What the answer to a request with these fields takes of the body.
pub(crate) fn wanted(stored: &StoredResponse, constraints: RequestConstraints, request: &HeaderMap) -> Wanted {
    if constraints.head || is_unmodified(stored, constraints, request) {
        return Wanted::Nothing;
    }
    match selection(stored, constraints, request) {
        Selection::Whole => Wanted::Whole,
        Selection::Part(part) => Wanted::Part(part),
        Selection::Unsatisfiable => Wanted::Nothing,
    }
}

fn is_unmodified(stored: &StoredResponse, constraints: RequestConstraints, request: &HeaderMap) -> bool {
    let is_ok = stored.status() == StatusCode::OK;
    is_ok && constraints.conditional && not_modified(request, stored.headers(), stored.meta().stored_at)
}

fn selection(stored: &StoredResponse, constraints: RequestConstraints, request: &HeaderMap) -> Selection {
    match stored.status() == StatusCode::OK && constraints.range && !constraints.head {
        true => select(request, stored.headers(), stored.body_len()),
        false => Selection::Whole,
    }
}

/// The same for a request with these fields that may not get all of the response. `portion` is the part that it wants
/// of a body that was not read, unless it wants all of it. `reason` is why it gets a stale response.
pub(crate) fn narrowed(
    stored: Arc<StoredResponse>,
    portion: Portion,
    constraints: RequestConstraints,
    request: &HeaderMap,
    now: Instant,
    cache_status: bool,
    reason: Reason,
) -> Response<ReplyBody> {
    let (has_trailers, len) = (stored.has_trailers(), stored.body_len());
    let content = stored.body().clone();
    let unmodified = is_unmodified(&stored, constraints, request);
    let selection = selection(&stored, constraints, request);
    let mut whole = match stored.is_fresh_at(now) {
        true => hit(stored, now, cache_status),
        false => stale(stored, now, cache_status.then_some(reason)),
    };
    let headers = whole.headers_mut();
    if unmodified {
        return without_content(whole);
    }
    if constraints.head {
        if !has_trailers && !headers.contains_key(CONTENT_LENGTH) && whole.status() != StatusCode::NO_CONTENT {
            fields::set(whole.headers_mut(), CONTENT_LENGTH, len.into());
        }
        return whole.map(|_| ReplyBody::empty());
    }
    let (status, range, part_len, body) = match selection {
        Selection::Whole => {
            return match portion {
                Portion::InParts(parted) => whole.map(|_| ReplyBody::read_from(parted)),
                Portion::None | Portion::Read(_) => whole,
            };
        }
        Selection::Part(range) => {
            let shown = format!("bytes {}-{}/{len}", range.start, range.end - 1);
            let (len, body) = (range.len(), portion.body(|| content.slice(range)));
            (StatusCode::PARTIAL_CONTENT, shown, len, body)
        }
        Selection::Unsatisfiable => {
            let shown = format!("bytes */{len}");
            (StatusCode::RANGE_NOT_SATISFIABLE, shown, 0, ReplyBody::empty())
        }
    };
    headers.remove(TRAILER);
    fields::set(headers, CONTENT_LENGTH, part_len.into());
    if let Ok(range) = HeaderValue::try_from(range) {
        fields::set(headers, CONTENT_RANGE, range);
    }
    *whole.status_mut() = status;
    whole.map(|_| body)
}

/// 304, with nothing that describes content that is not sent (RFC 9110, 15.4.5).
fn without_content(mut whole: Response<ReplyBody>) -> Response<ReplyBody> {
    for name in [
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        TRAILER,
    ] {
        whole.headers_mut().remove(name);
    }
    *whole.status_mut() = StatusCode::NOT_MODIFIED;
    whole.map(|_| ReplyBody::empty())
}

/// The part that was read of a body that was left in the store.
pub(crate) enum Portion {
    /// Nothing was read, or the body was not left there.
    None,
    Read(Bytes),
    /// To be read as the client reads.
    InParts(PartedBody),
}

impl Portion {
    fn body(self, slice: impl FnOnce() -> Bytes) -> ReplyBody {
        match self {
            Self::None => ReplyBody::replay(slice(), None),
            Self::Read(part) => ReplyBody::replay(part, None),
            Self::InParts(parted) => ReplyBody::read_from(parted),
        }
    }
}

#[inline(always)]
fn body(parted: Option<PartedBody>, content: Bytes, trailers: Option<Box<HeaderMap>>) -> ReplyBody {
    match parted {
        Some(parted) => ReplyBody::read_from(parted),
        None => ReplyBody::replay(content, trailers),
    }
}

/// Inlined, because a response is moved a few times otherwise.
#[inline(always)]
fn response<B>(status: StatusCode, headers: HeaderMap, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // An empty map holds nothing, and takes fifty instructions to drop.
    std::mem::forget(std::mem::replace(response.headers_mut(), headers));
    response
}

/// The number as a field value. Up to 99 it takes no memory.
#[inline]
fn decimal(number: u64) -> HeaderValue {
    const PAIRS: &str = "00010203040506070809101112131415161718192021222324252627282930313233343536373839\
                         40414243444546474849505152535455565758596061626364656667686970717273747576777879\
                         8081828384858687888990919293949596979899";
    match usize::try_from(number) {
        Ok(n) if n < 10 => HeaderValue::from_static(&PAIRS[2 * n + 1..2 * n + 2]),
        Ok(n) if n < 100 => HeaderValue::from_static(&PAIRS[2 * n..2 * n + 2]),
        _ => HeaderValue::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in (0..200).chain([1 << 31, u64::MAX]) {
            assert_eq!(decimal(number), number.to_string());
        }
    }
}

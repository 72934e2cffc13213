//! [`StoredResponse`]: a response that can be replayed.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AGE, DATE, HeaderMap, HeaderValue};
use http::status::StatusCode;
use tokio::time::Instant;

use super::digest::Digest;
use super::error::StoredResponseError;
use super::parted::PartedBody;
use super::{bare, frame, message};
use crate::key::Address;
use crate::middleware::policy::cache_status::CACHE_STATUS;
use crate::middleware::policy::ending::is_grpc;
use crate::middleware::policy::fields;
use crate::middleware::policy::meta::Meta;
use crate::middleware::recording::underway::Underway;

/// A complete response, ready to be replayed any number of times.
///
/// What it holds is shared: cloning fields or body copies no content.
#[derive(Clone)]
pub struct StoredResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Boxed like the next: most responses have none, and are moved a few times on their way.
    trailers: Option<Box<HeaderMap>>,
    meta: Meta,
    is_grpc: bool,
    clock: OnceLock<AgeClock>,
    aged: OnceLock<Box<Aged>>,
    /// The body, where it is still coming and `body` has nothing of it.
    underway: Option<Arc<Underway>>,
    /// The body, where it was left in the store and `body` has nothing of it.
    apart: Option<Arc<Apart>>,
    /// The same, where it is read as the client reads.
    in_parts: Option<Arc<PartedBody>>,
}

/// What was not read of a stored response.
#[derive(Clone, Debug)]
pub(crate) struct Apart {
    pub(super) digest: Digest,
    /// What is behind the content: the trailer section, in one byte where it is empty.
    pub(super) end: Range<usize>,
    /// Of the entry, and as far as its content.
    pub(super) checksum: u32,
    pub(super) front: crc32fast::Hasher,
    /// How many bytes are in front of the entry.
    pub(super) offset: usize,
}

/// How many fields a hit adds at most.
const ADDED: usize = 3;

/// The header fields with room for what a hit adds to them.
#[derive(Clone)]
struct Aged {
    headers: HeaderMap,
    cache_status: bool,
}

/// How old the response was at some moment. Counting from there saves a look at the calendar.
#[derive(Clone, Copy)]
struct AgeClock {
    age: Duration,
    at: Instant,
}

impl StoredResponse {
    /// Puts a response together. Trailers without a field count as none.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, body: Bytes, trailers: Option<HeaderMap>, meta: Meta) -> Self {
        Self {
            status,
            is_grpc: is_grpc(&headers),
            headers,
            body,
            trailers: trailers.filter(|trailers| !trailers.is_empty()).map(Box::new),
            meta,
            clock: OnceLock::new(),
            aged: OnceLock::new(),
            underway: None,
            apart: None,
            in_parts: None,
        }
    }

    /// No response, but a marker that what belongs in its place is not one to share. The same bytes every time.
    pub(crate) fn marker() -> Self {
        let meta = Meta {
            is_marker: true,
            ..Meta::default()
        };
        Self::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, meta)
    }

    /// The same, with the moment that [`Meta::stored_at`] names on this process's own clock.
    pub(crate) fn stored(self, at: Instant) -> Self {
        let age = self.meta.age;
        // The age has not been asked for yet.
        let _ = self.clock.set(AgeClock { age, at });
        self
    }

    /// The same head, with a body that is still coming: for those who wait, and never to be stored.
    pub(crate) fn underway(self, body: Underway) -> Self {
        let underway = Some(Arc::new(body));
        Self { underway, ..self }
    }

    /// The body that is still coming, if it is.
    pub(crate) fn underway_body(&self) -> Option<&Underway> {
        self.underway.as_deref()
    }

    /// Whether its body was coming, and never will.
    pub(crate) fn has_broken_off(&self) -> bool {
        self.underway_body().is_some_and(Underway::has_broken_off)
    }

    /// The same head, with a body that was not read: for those who want no more, and never to be stored.
    pub(super) fn apart(self, body: Apart) -> Self {
        let apart = Some(Arc::new(body));
        Self { apart, ..self }
    }

    /// The body that was not read, if it was not.
    pub(crate) fn apart_body(&self) -> Option<&Arc<Apart>> {
        self.apart.as_ref()
    }

    /// The same, with a body that is read as the client reads.
    pub(crate) fn in_parts(self, body: PartedBody) -> Self {
        let in_parts = Some(Arc::new(body));
        Self { in_parts, ..self }
    }

    /// The body that is read as the client reads, from its beginning.
    pub(crate) fn parted_body(&self) -> Option<PartedBody> {
        self.in_parts.as_deref().map(PartedBody::again)
    }

    /// How long the body is, read or not.
    pub(crate) fn body_len(&self) -> usize {
        self.apart.as_ref().map_or(self.body.len(), |apart| apart.digest.len())
    }

    /// Whether there are trailer fields, read or not.
    pub(crate) fn has_trailers(&self) -> bool {
        self.apart
            .as_ref()
            .map_or_else(|| self.trailers.is_some(), |apart| apart.has_trailers())
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The content. A clone shares it.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The trailer fields; `None` rather than an empty map.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// What is known about the response besides its content.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether it is a reply of gRPC, whose clients get nothing but what the method has sent.
    pub(crate) fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// The bytes to store at `address`, as the [module](super) documents them.
    ///
    /// Times lose what is below a millisecond, spans what exceeds 2³¹ seconds, field values the blanks at their ends.
    ///
    /// # Errors
    ///
    /// A [`StoredResponseError`] where the status is not within 200 to 599, the time of storing not within the years
    /// 1970 to 9999, a section has more than 4096 fields, or the whole is longer than 2³¹ − 1 bytes.
    pub fn encode(&self, address: &Address) -> Result<Bytes, StoredResponseError> {
        if self.underway.is_some() || self.apart.is_some() {
            return Err(StoredResponseError::Truncated);
        }
        frame::encode(address, self).map(Bytes::from)
    }

    /// Reads what [`encode`](Self::encode) wrote for the same address, or a message that names it.
    ///
    /// Fields and content are slices of `bytes`, which lives as long as any of them.
    ///
    /// # Errors
    ///
    /// A [`StoredResponseError`] where the bytes are anything but a whole, valid entry of this address, or a whole, valid
    /// message that is one to share.
    pub fn decode(address: &Address, bytes: impl Into<Bytes>) -> Result<Self, StoredResponseError> {
        let bytes = bytes.into();
        match bare::is_message(&bytes) {
            true => bare::decode(address, &bytes),
            false => frame::decode(address, &bytes),
        }
    }

    /// Reads the head of an entry of this address, which begins with `bytes`, behind `offset` others.
    ///
    /// # Errors
    ///
    /// A [`StoredResponseError`] where `bytes` are no such beginning, the head is longer, or the entry has nothing to check
    /// its parts with.
    pub(crate) fn decode_head(address: &Address, bytes: &Bytes, offset: usize) -> Result<Self, StoredResponseError> {
        frame::decode_head(address, bytes, offset)
    }

    /// How old the response is (RFC 9111, section 4.2.3).
    pub(crate) fn age_at(&self, now: Instant) -> Duration {
        let clock = self.clock.get_or_init(|| AgeClock {
            age: self.meta.age_now(),
            at: now,
        });
        clock.age.saturating_add(now.saturating_duration_since(clock.at))
    }

    /// How long the response stays fresh; `None` once it is stale.
    pub(crate) fn fresh_at(&self, now: Instant) -> Option<Duration> {
        let lifetime = self.meta.age.saturating_add(self.meta.fresh_for);
        let left = lifetime.saturating_sub(self.age_at(now));
        (!left.is_zero() || self.ends_with_its_freshness()).then_some(left)
    }

    /// Whether the response is fresh.
    pub(crate) fn is_fresh_at(&self, now: Instant) -> bool {
        self.ends_with_its_freshness() || self.fresh_at(now).is_some()
    }

    /// What is not kept any longer than it is fresh, the store forgets in time: no clock but its own counts.
    fn ends_with_its_freshness(&self) -> bool {
        self.meta.kept().is_zero() && !self.meta.is_marker
    }

    /// How long the response has been stale: zero where it is fresh.
    pub(crate) fn stale_at(&self, now: Instant) -> Duration {
        let lifetime = self.meta.age.saturating_add(self.meta.fresh_for);
        match self.fresh_at(now) {
            Some(_) => Duration::ZERO,
            None => self.age_at(now).saturating_sub(lifetime),
        }
    }

    /// Whether it may be replayed while a new one is computed (RFC 5861, section 3).
    pub(crate) fn serves_meanwhile(&self, now: Instant) -> bool {
        self.stale_at(now) < self.meta.stale_while_revalidate
    }

    /// Whether it may be replayed where computing a new one fails (RFC 5861, section 4).
    pub(crate) fn serves_on_error(&self, now: Instant) -> bool {
        self.stale_at(now) < self.meta.stale_if_error
    }

    /// The header fields with an `Age`, and, if there is to be one, an empty `Cache-Status` where there is none. Made for
    /// the first hit: those that follow only change the values, which saves them the growth of the map.
    pub(crate) fn aged_headers(&self, cache_status: bool) -> HeaderMap {
        let aged = self.aged.get_or_init(|| {
            let mut headers = HeaderMap::with_capacity(self.headers.keys_len() + ADDED);
            headers.extend(self.headers.clone());
            headers.insert(AGE, HeaderValue::from_static("0"));
            headers.extend(self.missing_date().map(|date| (DATE, date)));
            if cache_status && !headers.contains_key(CACHE_STATUS) {
                headers.insert(CACHE_STATUS, HeaderValue::from_static(""));
            }
            Box::new(Aged { headers, cache_status })
        });
        // Layers with different settings may share a store.
        if aged.cache_status == cache_status {
            return aged.headers.clone();
        }
        let mut headers = self.headers.clone();
        headers.extend(self.missing_date().map(|date| (DATE, date)));
        headers
    }

    /// When it was received, as the `Date` that a response must have which came without one (RFC 9110, section 6.6.1).
    ///
    /// `None` for gRPC, whose clients would take it for metadata, and where it is not known.
    pub(crate) fn missing_date(&self) -> Option<HeaderValue> {
        const YEAR_10000: u64 = 253_402_300_800;
        if self.is_grpc || self.headers.contains_key(DATE) {
            return None;
        }
        let since = self.meta.stored_at.duration_since(UNIX_EPOCH).ok()?;
        if !(1..YEAR_10000).contains(&since.as_secs()) {
            return None;
        }
        HeaderValue::try_from(httpdate::fmt_http_date(self.meta.stored_at)).ok()
    }

    /// The header fields, the content and the trailer fields.
    pub(crate) fn into_content(self) -> (HeaderMap, Bytes, Option<Box<HeaderMap>>) {
        (self.headers, self.body, self.trailers)
    }

    /// About how many bytes of memory this takes.
    pub(super) fn weight(&self) -> usize {
        let sections = [Some(&self.headers), self.trailers()].into_iter().flatten();
        let groups = self.meta.groups.iter().map(|group| size_of_val(group) + group.len());
        // The first hit makes a second map, whose texts are the first one's.
        let aged = size_of::<Aged>() + fields::room(self.headers.keys_len() + ADDED);
        size_of::<Self>() + aged + self.body.len() + sections.map(fields::weight).sum::<usize>() + groups.sum::<usize>()
    }
}

impl Apart {
    /// The stored bytes to read for this part of the body.
    pub(crate) fn blocks(&self, part: &Range<usize>) -> Range<usize> {
        let blocks = self.digest.blocks(part);
        self.offset + blocks.start..self.offset + blocks.end
    }

    /// This part of the body, if these bytes are those of the entry.
    pub(crate) fn part(&self, part: &Range<usize>, blocks: &Bytes) -> Option<Bytes> {
        self.digest.part(part, blocks)
    }

    /// How long the body is.
    pub(crate) fn len(&self) -> usize {
        self.digest.len()
    }

    /// Where a part ends that begins at `at`, is a whole number of blocks, and about as long as `part`.
    pub(crate) fn end_of_part(&self, at: usize, part: usize) -> usize {
        self.digest.end_of_blocks(at, part)
    }

    /// Whether there are trailer fields.
    pub(crate) fn has_trailers(&self) -> bool {
        self.end.len() > 1
    }

    /// The stored bytes to read for the trailer fields.
    pub(crate) fn end(&self) -> Range<usize> {
        self.offset + self.end.start..self.offset + self.end.end
    }

    /// The checksum as far as the body, to go on with.
    pub(crate) fn front(&self) -> crc32fast::Hasher {
        self.front.clone()
    }

    /// The trailer fields in these bytes, if they are those of the entry. `sum` is of all that is in front of them.
    pub(crate) fn trailers(&self, mut sum: crc32fast::Hasher, end: &Bytes) -> Option<HeaderMap> {
        sum.update(end);
        let right = end.len() == self.end.len() && sum.finalize() == self.checksum;
        message::decode_end(end).ok().filter(|_| right)
    }
}

impl PartialEq for StoredResponse {
    fn eq(&self, other: &Self) -> bool {
        self.status == other.status
            && self.headers == other.headers
            && self.body == other.body
            && self.trailers == other.trailers
            && self.meta == other.meta
    }
}

impl Eq for StoredResponse {}

/// Leaves out what may be private: the fields and the content.
impl fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredResponse")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body", &self.body.len())
            .field("trailers", &self.trailers().map(HeaderMap::len))
            .field("meta", &self.meta)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn debug_output_shows_no_content() {
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-secret"), HeaderValue::from_static("hush"))]);
        let body = Bytes::from_static(b"hush");
        let trailers = Some(headers.clone());
        let response = StoredResponse::new(StatusCode::OK, headers, body, trailers, Meta::default());
        let shown = format!("{response:?}");
        assert!(shown.contains("200") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn weight_follows_content_and_fields() {
        let weight = |headers, body| StoredResponse::new(StatusCode::OK, headers, body, None, Meta::default()).weight();
        let empty = weight(HeaderMap::new(), Bytes::new());
        let body = weight(HeaderMap::new(), Bytes::from(vec![0; 1000]));
        assert_eq!(body, empty + 1000);
        let mut headers = HeaderMap::new();
        headers.insert("x-long", HeaderValue::from_bytes(&[b'a'; 500]).unwrap());
        assert!(weight(headers, Bytes::new()) > empty + 500);
    }
}

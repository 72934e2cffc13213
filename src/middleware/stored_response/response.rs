//! [`StoredResponse`]: a response that can be replayed.

mod age;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::HeaderMap;
use http::status::StatusCode;

use self::age::{ADDED, AgeClock, Aged};
use super::apart::Apart;
use super::error::StoredResponseError;
use super::parted::PartedBody;
use super::{bare, frame, streamed};
use crate::key::Address;
use crate::middleware::policy::ending::is_grpc;
use crate::middleware::policy::fields;
use crate::middleware::policy::meta::Meta;
use crate::middleware::recording::underway::Underway;

/// A complete response, ready to be replayed any number of times.
///
/// Clones share the fields and the body: cloning copies no content.
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
    /// Since when it is softly invalidated, if it is.
    soft_since: Option<SystemTime>,
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
            soft_since: None,
        }
    }

    /// A marker, and no response: the response that belongs in its place is not to be shared. It has the same bytes
    /// every time.
    pub(crate) fn marker() -> Self {
        let meta = Meta {
            is_marker: true,
            ..Meta::default()
        };
        Self::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, meta)
    }

    /// The same head, with a body that is still coming: for the followers, and never to be stored.
    pub(crate) fn underway(self, body: Underway) -> Self {
        let underway = Some(Arc::new(body));
        Self { underway, ..self }
    }

    /// The same response for its followers, to which it is not stale, however short its life.
    pub(crate) fn for_followers_only(mut self) -> Self {
        self.meta.kept_for = Duration::ZERO;
        self.meta.stale_while_revalidate = Duration::ZERO;
        self.meta.stale_if_error = Duration::ZERO;
        self
    }

    /// The body that is still coming, if it is.
    pub(crate) fn underway_body(&self) -> Option<&Underway> {
        self.underway.as_deref()
    }

    /// Whether its body was coming, and never will.
    pub(crate) fn has_broken_off(&self) -> bool {
        self.underway_body().is_some_and(Underway::has_broken_off)
    }

    /// The same head, with a body that was not read: for requests that want no more, and never to be stored.
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

    /// How long the body is, [read](Self::decode_head) or not.
    #[must_use]
    pub fn body_len(&self) -> usize {
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

    /// Whether it is a reply of gRPC, whose clients get only what the method has sent.
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
            false if streamed::is_entry(&bytes) => streamed::decode(address, &bytes),
            false => frame::decode(address, &bytes),
        }
    }

    /// Reads the head of an entry of this address that begins with `bytes`, which stand behind `offset` others in the store.
    ///
    /// The [body](Self::body) is empty then, [`body_len`](Self::body_len) says how long it is, and there are no trailers.
    /// Such a response cannot be encoded.
    ///
    /// # Errors
    ///
    /// A [`StoredResponseError`] where `bytes` are no such beginning, the head is longer, or the entry has nothing to check
    /// its [parts](super#parts) with.
    pub fn decode_head(address: &Address, bytes: &Bytes, offset: usize) -> Result<Self, StoredResponseError> {
        frame::decode_head(address, bytes, offset)
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

/// Leaves out the fields and the content, which may be private.
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
    use http::{HeaderName, HeaderValue};

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

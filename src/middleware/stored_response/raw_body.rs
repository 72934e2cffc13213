//! [`RawBody`]: the body alone, as the other members of the memolock family read and write it.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use http::status::StatusCode;

use super::error::StoredResponseError;
use super::response::StoredResponse;
use super::{frame, streamed};
use crate::middleware::policy::fields;
use crate::middleware::policy::meta::Meta;

/// Stores only the body of each response.
///
/// All else is made up when the body is replayed. So a response that differs from that in anything that its clients
/// would miss cannot be stored in this form.
#[derive(Debug, Clone)]
pub(crate) struct RawBody {
    content_type: HeaderValue,
}

impl RawBody {
    pub(super) fn new(content_type: HeaderValue) -> Self {
        Self { content_type }
    }

    /// The body, where it stands for the whole response.
    pub(super) fn encode(&self, response: &StoredResponse) -> Result<Bytes, StoredResponseError> {
        let headers = response.headers();
        let mut content_types = headers.get_all(CONTENT_TYPE).iter();
        let is_of_the_type = match (content_types.next(), content_types.next()) {
            (None, None) => true,
            (Some(only), None) => self.is(only),
            _ => false,
        };
        let meta = response.meta();
        let fits = response.status() == StatusCode::OK
            && is_of_the_type
            && response.trailers().is_none()
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(VARY)
            && meta.variant.is_none()
            && meta.groups.is_empty()
            && !meta.is_marker
            && !frame::is_entry(response.body())
            && !streamed::is_entry(response.body());
        match fits {
            true => Ok(response.body().clone()),
            false => Err(StoredResponseError::NotRaw),
        }
    }

    /// A response with this body. Any bytes are a body, except an entry that a layer which stores whole responses has
    /// left.
    pub(super) fn decode(&self, bytes: Bytes) -> Result<StoredResponse, StoredResponseError> {
        if frame::is_entry(&bytes) || streamed::is_entry(&bytes) {
            return Err(StoredResponseError::NotRaw);
        }
        let mut headers = HeaderMap::with_capacity(1);
        fields::set(&mut headers, CONTENT_TYPE, self.content_type.clone());
        // Without a time or a span it is fresh for as long as it is stored.
        Ok(StoredResponse::new(
            StatusCode::OK,
            headers,
            bytes,
            None,
            Meta::default(),
        ))
    }

    /// Whether this is the same media type, parameters and their order included. Case does not matter, which is right
    /// for all but the values of few parameters.
    fn is(&self, other: &HeaderValue) -> bool {
        let strip = |value: &HeaderValue| -> Vec<u8> {
            let bytes = value.as_bytes().iter();
            bytes.filter(|byte| !byte.is_ascii_whitespace()).copied().collect()
        };
        self.content_type == *other || strip(&self.content_type).eq_ignore_ascii_case(&strip(other))
    }
}

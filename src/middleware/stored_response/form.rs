//! [`Form`]: how a layer stores its responses.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;

use super::binary_http::BinaryHttp;
use super::copies::Copies;
use super::raw_body::RawBody;
use super::recent::RecentEntries;
use super::response::StoredResponse;
use crate::codec::Codec;
use crate::error::BoxError;
use crate::key::Address;

/// The codec of a layer: one type, so that neither form costs the other anything.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// Binary HTTP where there is none.
    raw: Option<RawBody>,
    copies: Copies,
    recent: RecentEntries,
}

impl Form {
    /// The whole response, as binary HTTP.
    pub(crate) fn binary() -> Self {
        Self {
            raw: None,
            copies: Copies::default(),
            recent: RecentEntries::default(),
        }
    }

    /// The body alone, of responses with this content type.
    pub(crate) fn raw(content_type: HeaderValue) -> Self {
        Self {
            raw: Some(RawBody::new(content_type)),
            ..Self::binary()
        }
    }

    /// How many bytes of large responses are in memory that came from a store elsewhere.
    pub(crate) fn held(&self) -> usize {
        self.copies.bytes()
    }

    /// Whether only the store says how long a response is kept, because nothing but the body is stored.
    pub(crate) fn is_raw(&self) -> bool {
        self.raw.is_some()
    }
}

impl Codec for Form {
    type Value = Arc<StoredResponse>;

    fn encode(&self, address: &Address, value: &Self::Value) -> Result<Bytes, BoxError> {
        match &self.raw {
            None => BinaryHttp.encode(address, value),
            Some(raw) => raw.encode(value).map_err(Into::into),
        }
    }

    fn decode(&self, address: &Address, bytes: Bytes) -> Result<Self::Value, BoxError> {
        let bytes = self.copies.one(address, bytes);
        match &self.raw {
            None => Ok(self.recent.decode(address, bytes)?),
            Some(raw) => Ok(Arc::new(raw.decode(bytes)?)),
        }
    }

    fn known(&self, address: &Address, bytes: &Bytes) -> Option<Self::Value> {
        match &self.raw {
            None => self.recent.known(address, bytes),
            Some(_) => None,
        }
    }

    fn is_fresh(&self, value: &Self::Value) -> bool {
        BinaryHttp.is_fresh(value)
    }

    fn is_marker(&self, value: &Self::Value) -> bool {
        BinaryHttp.is_marker(value)
    }

    fn began(&self, value: &Self::Value) -> Option<u64> {
        BinaryHttp.began(value)
    }

    fn soften(&self, value: Self::Value, since: SystemTime) -> Option<Self::Value> {
        BinaryHttp.soften(value, since)
    }

    fn answers_meanwhile(&self, value: &Self::Value) -> bool {
        BinaryHttp.answers_meanwhile(value)
    }

    fn weight(&self, value: &Self::Value) -> usize {
        BinaryHttp.weight(value)
    }
}

//! [`BinaryHttp`]: the codec of stored responses.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::time::Instant;

use super::response::StoredResponse;
use crate::codec::Codec;
use crate::error::BoxError;
use crate::key::Address;

/// Stores responses as binary HTTP (RFC 9292) behind a frame of metadata.
///
/// The bytes are documented in the [module](super).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BinaryHttp;

impl Codec for BinaryHttp {
    type Value = Arc<StoredResponse>;

    fn encode(&self, address: &Address, value: &Self::Value) -> Result<Bytes, BoxError> {
        Ok(value.encode(address)?)
    }

    fn decode(&self, address: &Address, bytes: Bytes) -> Result<Self::Value, BoxError> {
        Ok(Arc::new(StoredResponse::decode(address, bytes)?))
    }

    fn is_fresh(&self, value: &Self::Value) -> bool {
        value.is_fresh_at(Instant::now())
    }

    fn is_marker(&self, value: &Self::Value) -> bool {
        value.meta().is_marker
    }

    fn began(&self, value: &Self::Value) -> Option<u64> {
        value.meta().began
    }

    fn soften(&self, value: Self::Value, since: SystemTime) -> Option<Self::Value> {
        value.softened(since).map(Arc::new)
    }

    fn answers_meanwhile(&self, value: &Self::Value) -> bool {
        value.serves_meanwhile(Instant::now())
    }

    fn weight(&self, value: &Self::Value) -> usize {
        value.weight()
    }
}

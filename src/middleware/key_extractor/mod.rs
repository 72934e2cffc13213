//! The identity of a request: [`KeyExtractor`] and the extractors that come with the crate.

mod body_key;
mod buffered_body;
mod digest;
mod extractor;
mod grpc_key;
mod key_fn;
mod query;
mod uri_key;
mod when;

pub use self::body_key::BodyKey;
pub use self::buffered_body::BufferedBody;
pub(super) use self::digest::digest_of_fields;
pub use self::extractor::{HeadKey, KeyExtractor};
pub use self::grpc_key::GrpcKey;
pub use self::key_fn::{IntoHeadKey, KeyFn, RequestHead};
pub use self::uri_key::UriKey;
pub use self::when::When;

//! The identity of a request: [`KeyExtractor`] and the extractors that come with the crate.

mod body_key;
mod buffered_body;
mod extractor;
mod overrides;
mod uri_key;
mod when;

pub use self::body_key::BodyKey;
pub use self::buffered_body::BufferedBody;
pub use self::extractor::{HeadKey, KeyExtractor};
pub use self::uri_key::UriKey;
pub use self::when::When;

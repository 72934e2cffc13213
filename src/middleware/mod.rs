//! The tower layer.

mod key_extractor;
mod policy;
mod stored_response;

pub use self::key_extractor::{BodyKey, BufferedBody, HeadKey, KeyExtractor, UriKey, When};

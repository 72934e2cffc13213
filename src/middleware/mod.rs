//! The tower layer.

mod key_extractor;
mod policy;
pub mod stored_response;

//! The tower layer.

mod key_extractor;
mod policy;
mod stored_response;

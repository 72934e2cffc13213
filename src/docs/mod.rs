//! Pages about the crate as a whole.

#[doc = include_str!("wire.md")]
pub mod wire {}

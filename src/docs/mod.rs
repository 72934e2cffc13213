//! Pages about the crate as a whole.

#[cfg(all(feature = "http", feature = "memory", feature = "redis"))]
pub mod guide;

#[doc = include_str!("wire.md")]
pub mod wire {}

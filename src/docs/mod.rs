//! Pages about the crate as a whole.

#[cfg(all(feature = "http", feature = "memory", feature = "redis"))]
pub mod guide;

#[cfg(all(feature = "http", feature = "redis"))]
#[doc = include_str!("wire.md")]
pub mod wire {}

#[cfg(all(test, feature = "http", feature = "memory", feature = "redis"))]
mod tests;

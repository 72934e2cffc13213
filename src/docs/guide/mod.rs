//! The guide: one page for each thing that a user of the crate has to decide.
//!
//! 1. [Start in five minutes](self::start)
//! 2. [Keys](self::keys): what makes two requests the same, and who is asking
//! 3. [Freshness and privacy](self::freshness): what is stored, for whom and for how long
//! 4. [Invalidation](self::invalidation): by key, by tag, by unsafe requests
//! 5. [axum recipes](self::axum): which layer goes above, which beneath, and why
//! 6. [gRPC with tonic](self::grpc)
//! 7. [Outbound clients](self::outbound)
//! 8. [Typed memoization](self::memoize): the core, without HTTP
//! 9. [Somebody else computes](self::deferred): workers behind a queue, in any language
//! 10. [Operating](self::operating): Redis, permissions, shutdown, outages, limits, metrics, alerts
//! 11. [Why is it not cached?](self::why_not_cached)
//! 12. [Testing a service that uses it](self::testing)
//! 13. [What does not survive a replay](self::replay)
//! 14. [Compared with others](self::compared)

#[doc = include_str!("start.md")]
pub mod start {}

#[doc = include_str!("keys.md")]
pub mod keys {}

#[doc = include_str!("freshness.md")]
pub mod freshness {}

#[doc = include_str!("invalidation.md")]
pub mod invalidation {}

#[doc = include_str!("axum.md")]
pub mod axum {}

#[doc = include_str!("grpc.md")]
pub mod grpc {}

#[doc = include_str!("outbound.md")]
pub mod outbound {}

#[doc = include_str!("memoize.md")]
pub mod memoize {}

#[doc = include_str!("deferred.md")]
pub mod deferred {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("why_not_cached.md")]
pub mod why_not_cached {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("replay.md")]
pub mod replay {}

#[doc = include_str!("compared.md")]
pub mod compared {}

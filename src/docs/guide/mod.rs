//! The guide: one page for each thing that a user of the crate has to decide.
//!
#![doc = include_str!("pages.md")]

#[doc = include_str!("start.md")]
pub mod start {}

#[doc = include_str!("keys.md")]
pub mod keys {}

#[doc = include_str!("freshness.md")]
pub mod freshness {}

#[doc = include_str!("invalidation.md")]
pub mod invalidation {}

#[doc = include_str!("near.md")]
pub mod near {}

#[doc = include_str!("streaming.md")]
pub mod streaming {}

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

#[doc = include_str!("admin.md")]
#[cfg_attr(
    feature = "admin",
    doc = "",
    doc = "[`Admin`]: crate::Admin",
    doc = "[`Admin::layer_behind`]: crate::Admin::layer_behind"
)]
#[cfg_attr(
    not(feature = "admin"),
    doc = "",
    doc = "[`Admin`]: https://docs.rs/tower-memolock/latest/tower_memolock/admin/struct.Admin.html",
    doc = "[`Admin::layer_behind`]: https://docs.rs/tower-memolock/latest/tower_memolock/admin/struct.Admin.html#method.layer_behind"
)]
pub mod admin {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("tracing.md")]
pub mod tracing {}

#[doc = include_str!("scale.md")]
pub mod scale {}

#[doc = include_str!("why_not_cached.md")]
pub mod why_not_cached {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("replay.md")]
pub mod replay {}

#[doc = include_str!("compared.md")]
pub mod compared {}

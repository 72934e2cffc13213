//! Which span computed a value, as tracing systems name spans, and the spans of this crate.

mod bridge;
mod context;
mod spans;

pub use self::bridge::{TraceBridge, set_trace_bridge};
pub use self::context::TraceContext;
#[cfg(feature = "admin")]
pub(crate) use self::spans::verifying;
#[cfg(feature = "http")]
pub(crate) use self::spans::{REQUESTS, hit, locate};
pub(crate) use self::spans::{computed_by, computing_as, detached, lookup, outcome, refreshing, waited};

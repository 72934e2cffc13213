//! Who computed a value, as tracing systems name it.

mod context;

pub use self::context::TraceContext;

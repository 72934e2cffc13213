//! [`TraceBridge`]: how spans of `tracing` and those of a tracing system know each other.

use std::sync::OnceLock;

use tracing::Span;

use super::context::TraceContext;

static BRIDGE: OnceLock<Box<dyn TraceBridge>> = OnceLock::new();

/// What a tracing system knows of the spans of `tracing`: OpenTelemetry by `tracing-opentelemetry`, say.
///
/// Without a bridge, the `traceparent` of its request names a computation, and links are fields of the spans of lookups
/// (`docs::guide::tracing`). With a bridge, links are those of the tracing system, and lead to the span that the system
/// itself has for the computation.
///
/// ```
/// use tower_memolock::{TraceBridge, TraceContext};
/// use tracing::Span;
///
/// # struct SpanContext([u8; 16], [u8; 8]);
/// # trait OpenTelemetrySpanExt { fn ids(&self) -> Option<SpanContext>; fn add_link(&self, _: SpanContext); }
/// # impl OpenTelemetrySpanExt for Span {
/// #     fn ids(&self) -> Option<SpanContext> { None }
/// #     fn add_link(&self, _: SpanContext) {}
/// # }
/// struct Bridge;
///
/// impl TraceBridge for Bridge {
///     fn context(&self, span: &Span) -> Option<TraceContext> {
///         let SpanContext(trace_id, span_id) = span.ids()?;
///         TraceContext::new(trace_id, Some(span_id))
///     }
///
///     fn link(&self, span: &Span, to: TraceContext) {
///         if let Some(span_id) = to.span_id() {
///             span.add_link(SpanContext(to.trace_id(), span_id));
///         }
///     }
/// }
///
/// tower_memolock::set_trace_bridge(Bridge);
/// ```
pub trait TraceBridge: Send + Sync + 'static {
    /// The name that this span has in the tracing system, if it has one.
    fn context(&self, span: &Span) -> Option<TraceContext>;

    /// Links `span` to the computation of its response or value. Called once for each follower and each hit, with the
    /// span in which the lookup runs, which may be one of the program's own.
    fn link(&self, span: &Span, to: TraceContext);
}

/// Has all layers and all [`MemoLock`](crate::MemoLock)s of the process use this bridge, as they all use one subscriber.
///
/// Returns whether it is the first: a process has one bridge, and drops later ones.
pub fn set_trace_bridge(bridge: impl TraceBridge) -> bool {
    BRIDGE.set(Box::new(bridge)).is_ok()
}

pub(super) fn bridge() -> Option<&'static dyn TraceBridge> {
    BRIDGE.get().map(|bridge| &**bridge)
}

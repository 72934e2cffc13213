//! [`Bridge`]: what OpenTelemetry and the spans of the layer know of each other.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tower_memolock::{TraceBridge, TraceContext};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Names computations, and links to them, as OpenTelemetry does.
pub(crate) struct Bridge;

impl TraceBridge for Bridge {
    fn context(&self, span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let span = context.span();
        let ids = span.span_context();
        TraceContext::new(ids.trace_id().to_bytes(), Some(ids.span_id().to_bytes()))
    }

    fn link(&self, span: &Span, to: TraceContext) {
        let Some(span_id) = to.span_id() else { return };
        let (trace_id, span_id) = (TraceId::from_bytes(to.trace_id()), SpanId::from_bytes(span_id));
        let (flags, is_remote) = (TraceFlags::default(), true);
        span.add_link(SpanContext::new(trace_id, span_id, flags, is_remote, TraceState::NONE));
    }
}

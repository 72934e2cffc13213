//! OpenTelemetry: the spans of `tracing` go to a collector, and those of requests belong to their callers' traces.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower::BoxError;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::bridge::Bridge;
use super::options::Options;

/// Sends all spans to the collector, those of lookups included, until what is returned is shut down.
pub(crate) fn export(options: &Options) -> Result<SdkTracerProvider, BoxError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("{}/v1/traces", options.collector.trim_end_matches('/')))
        .build()?;
    let resource = Resource::builder().with_service_name(options.node.clone()).build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let wanted = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("tower_memolock::requests", LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("otel"));
    tracing_subscriber::registry()
        .with(layer.with_filter(wanted))
        .try_init()?;
    tower_memolock::set_trace_bridge(Bridge);
    Ok(provider)
}

/// Answers a request in a span of its own, as a part of the trace that its `traceparent` names.
pub(crate) async fn in_a_span(request: Request, next: Next) -> Response {
    let span = info_span!("request", path = request.uri().path());
    join_trace(&span, request.headers());
    next.run(request).instrument(span).await
}

fn join_trace(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&Fields(headers));
    // One that is filtered out has no parent.
    let _ = span.set_parent(parent);
}

/// Where a propagator finds the context.
struct Fields<'a>(&'a HeaderMap);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

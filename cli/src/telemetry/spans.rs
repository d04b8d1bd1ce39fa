//! Spans of calls, made into those of OpenTelemetry and put into a bounded queue: who serves a call never waits for who exports it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use streamkit_server_core::{CallerTrace, SPANS_DROPPED, continue_traces};
use tokio::sync::mpsc::Sender;
use tracing::{Level, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::terminal::events::trace_ids_from;

/// So do the names of spans begin that are exported: one a call, its operation, its commit. Never one an entry.
const NAMES: &str = "streamkit.";

/// Takes spans that have ended.
#[derive(Debug)]
struct IntoQueue(Sender<SpanData>);

impl SpanProcessor for IntoQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            SPANS_DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Puts spans that have ended into `queue`, and lets calls go on in their callers' traces.
pub(super) fn layer<S>(queue: Sender<SpanData>, resource: Resource) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let provider = SdkTracerProvider::builder()
        .with_span_processor(IntoQueue(queue))
        .with_resource(resource)
        .build();
    continue_traces(make_child);
    trace_ids_from(current_trace);
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("streamkit"))
        .with_context_activation(false)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(
            filter_fn(|metadata| metadata.is_span() && metadata.name().starts_with(NAMES))
                .with_max_level_hint(LevelFilter::from_level(Level::DEBUG)),
        )
}

fn make_child(span: &tracing::Span, caller: &CallerTrace) {
    let state = caller
        .state
        .as_deref()
        .and_then(|state| state.parse::<TraceState>().ok());
    let parent = SpanContext::new(
        TraceId::from(caller.trace_id),
        SpanId::from(caller.span_id),
        TraceFlags::new(caller.flags),
        true,
        state.unwrap_or_default(),
    );
    // A span that is not exported has no parent either.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

fn current_trace() -> Option<u128> {
    let context = tracing::Span::current().context();
    let id = context.span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| u128::from_be_bytes(id.to_bytes()))
}

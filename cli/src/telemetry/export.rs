//! The thread that sends spans and metrics. It has a runtime of its own: nothing of what it waits for keeps a server's threads.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource as ResourceProto;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use streamkit_server_core::SPANS_DROPPED;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::coop::unconstrained;
use tokio_util::sync::CancellationToken;
use tracing::Subscriber;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::collector::{Collector, NotTaken};
use super::settings::Settings;
use super::{metrics, spans, watched};

/// How long a program that ends waits for a collector to take what is left.
const LAST: Duration = Duration::from_secs(3);

/// Sends until it is finished.
pub(super) struct Exporter {
    queue: Mutex<Option<Sender<SpanData>>>,
    resource: Resource,
    ending: CancellationToken,
    ended: std_mpsc::Receiver<()>,
}

/// What the thread has.
struct Sending {
    settings: Settings,
    resource: Resource,
    ending: CancellationToken,
}

impl Exporter {
    /// Starts the thread.
    pub(super) fn start(settings: Settings) -> io::Result<Self> {
        let resource = resource();
        let (queue, spans) = mpsc::channel(settings.queue);
        let (end, ended) = std_mpsc::channel();
        let ending = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let exports_traces = settings.traces.is_some();
        let sending = Sending {
            settings,
            resource: resource.clone(),
            ending: ending.clone(),
        };
        std::thread::Builder::new()
            .name("sk-telemetry".to_owned())
            .spawn(move || {
                runtime.block_on(sending.run(spans));
                let _ = end.send(());
            })?;
        Ok(Self {
            queue: Mutex::new(exports_traces.then_some(queue)),
            resource,
            ending,
            ended,
        })
    }

    /// The layer that brings it spans. `None`: spans are not exported.
    pub(super) fn spans<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let queue = self.queue.lock().ok()?.take()?;
        Some(spans::layer(queue, self.resource.clone()))
    }

    /// Sends what is left, as long as that takes no longer than [`LAST`].
    pub(super) fn finish(self) {
        self.ending.cancel();
        if self.ended.recv_timeout(LAST).is_err() {
            tracing::warn!("the collector did not take the last spans and metrics within {LAST:?}");
        }
    }
}

/// What all of it is from: as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.iter().find(|(key, _)| key.as_str() == "service.name");
    let is_named = name.is_some_and(|(_, value)| !value.as_str().starts_with("unknown_service"));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    match is_named {
        true => resource.build(),
        false => resource.with_service_name("streamkit").build(),
    }
}

impl Sending {
    async fn run(self, spans: Receiver<SpanData>) {
        tokio::join!(self.send_spans(spans), self.send_metrics());
    }

    async fn send_spans(&self, mut spans: Receiver<SpanData>) {
        let Some(target) = &self.settings.traces else { return };
        let mut outage = Outage::of("spans");
        let collector = match Collector::new(target) {
            Ok(collector) => collector,
            Err(error) => return outage.note(Err(error)),
        };
        let resource = ResourceAttributesWithSchema::from(&self.resource);
        let most = self.settings.batch;
        loop {
            let mut batch = Vec::new();
            let gathered = async {
                if spans.recv_many(&mut batch, most).await > 0 {
                    let more = async {
                        let mut room = most - batch.len();
                        while room > 0 && spans.recv_many(&mut batch, room).await > 0 {
                            room = most - batch.len();
                        }
                    };
                    let _ = tokio::time::timeout(self.settings.delay, more).await;
                }
            };
            let is_ending = self.ending.run_until_cancelled(gathered).await.is_none();
            while is_ending
                && batch.len() < most
                && let Some(Some(span)) = unconstrained(spans.recv()).now_or_never()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let count = batch.len() as u64;
            let resource_spans = group_spans_by_resource_and_scope(batch, &resource);
            let sent = collector.send(&ExportTraceServiceRequest { resource_spans }).await;
            if sent.is_err() {
                SPANS_DROPPED.fetch_add(count, Ordering::Relaxed);
            }
            outage.note(sent);
        }
    }

    async fn send_metrics(&self) {
        let Some(target) = &self.settings.metrics else { return };
        let mut outage = Outage::of("metrics");
        let collector = match Collector::new(target) {
            Ok(collector) => collector,
            Err(error) => return outage.note(Err(error)),
        };
        let start = SystemTime::now();
        let resource = ResourceProto::from(&self.resource);
        loop {
            let next = tokio::time::sleep(self.settings.interval);
            let is_ending = self.ending.run_until_cancelled(next).await.is_none();
            let server = watched().clone();
            if let Some(server) = server {
                let times = metrics::Times::since(start);
                let request = metrics::request(&server.metrics_text(), resource.clone(), times);
                outage.note(collector.send(&request).await);
            }
            if is_ending {
                return;
            }
        }
    }
}

/// Whether a collector takes something: told when that changes.
struct Outage {
    what: &'static str,
    lasts: bool,
}

impl Outage {
    fn of(what: &'static str) -> Self {
        Self { what, lasts: false }
    }

    fn note(&mut self, sent: Result<(), NotTaken>) {
        let was = std::mem::replace(&mut self.lasts, sent.is_err());
        match sent {
            Err(error) if !was => tracing::warn!(%error, "the collector does not take {}", self.what),
            Ok(()) if was => tracing::info!("the collector takes {} again", self.what),
            _ => {}
        }
    }
}

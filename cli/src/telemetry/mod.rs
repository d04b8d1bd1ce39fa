//! What the program tells those who watch it: its log, and spans and metrics to a collector that speaks OTLP over HTTP. What goes to a
//! collector goes by a thread of its own: a collector that hangs, refuses or answers nonsense costs spans, which are counted, and
//! nothing else. [Why so](../../../docs/decisions/2026-11-28-telemetry.md).
//!
//! ```text
//! settings.rs  the variables OTEL_…          openmetrics.rs  the text of /metrics, read
//! unusable.rs  those that mean nothing
//! spans.rs     spans into a bounded queue    metrics.rs      the same as OTLP
//! export.rs    the thread                    collector.rs    the way to a collector
//! ```

mod collector;
mod export;
mod metrics;
mod openmetrics;
mod settings;
mod spans;
mod unusable;

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use streamkit_server_core::Server;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::arguments::log::LogOptions;
use crate::terminal::events::JsonEvents;
use crate::terminal::lines::{self, LogFormat};
use crate::terminal::{filter, log};

/// The server whose metrics are told.
static WATCHED: Mutex<Option<Server>> = Mutex::new(None);

/// Ends with [`Telemetry::finish`].
#[must_use]
pub(crate) struct Telemetry(Option<export::Exporter>);

/// Lets the program log from now on, and a server tell a collector of its calls, if the environment names one.
pub(crate) fn start(options: &LogOptions, is_server: bool) -> Telemetry {
    let is_text = options.log_format == LogFormat::Text;
    let has_styles =
        is_text && std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    lines::set_format(options.log_format, has_styles);
    let filter = filter::parse(&options.log).or_else(|_| filter::parse(filter::DEFAULT));
    let filter = filter::changeable(filter.unwrap_or_default());
    let log = tracing_subscriber::fmt::layer()
        .with_writer(|| log::Log)
        // It would panic where standard error is gone.
        .log_internal_errors(false)
        .with_ansi(has_styles);
    let log = match options.log_format {
        LogFormat::Text => log.with_filter(filter).boxed(),
        LogFormat::Json => log.event_format(JsonEvents).with_filter(filter).boxed(),
    };
    let settings = is_server.then(settings::Settings::of_environment).flatten();
    let unusable = settings.as_ref().map(|_| unusable::told(settings::variable));
    let exporter = settings.map(export::Exporter::start);
    let (exporter, failed) = match exporter {
        Some(Ok(exporter)) => (Some(exporter), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let spans = exporter.as_ref().and_then(export::Exporter::spans);
    tracing_subscriber::registry().with(log).with(spans).init();
    for told in unusable.into_iter().flatten() {
        tracing::warn!("{told}");
    }
    if let Some(error) = failed {
        tracing::error!(%error, "no traces and metrics are exported");
    }
    Telemetry(exporter)
}

/// From now on the metrics are those of this server.
pub(crate) fn watch(server: Server) {
    *watched() = Some(server);
}

fn watched() -> std::sync::MutexGuard<'static, Option<Server>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Telemetry {
    /// Sends what is left, but waits no longer than some seconds for a collector to take it.
    pub(crate) fn finish(self) {
        if let Some(exporter) = self.0 {
            exporter.finish();
        }
        watched().take();
    }
}

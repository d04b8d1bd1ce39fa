//! What of this process's log and traces was lost. A process has one log, so whoever keeps it counts here, beside all servers.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Lines of this process's log that were dropped, as nobody read it in time. Whoever keeps the log counts them here; `GET /metrics`
/// tells.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// Spans of this process that were dropped, as nobody took them in time. Whoever exports them counts them here.
pub static SPANS_DROPPED: AtomicU64 = AtomicU64::new(0);

pub(super) struct LogCounters {
    lines_dropped: Counter,
    spans_dropped: Counter,
}

impl LogCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (lines_dropped, spans_dropped) = (Counter::default(), Counter::default());
        let help = "Lines of the log that were dropped because nobody read it in time";
        registry.register("log_lines_dropped", help, lines_dropped.clone());
        let help = "Spans that were dropped because the collector did not take them";
        registry.register("spans_dropped", help, spans_dropped.clone());
        Self {
            lines_dropped,
            spans_dropped,
        }
    }

    /// Takes over what was counted meanwhile.
    pub(super) fn take(&self) {
        for (counter, counted) in [
            (&self.lines_dropped, &LOG_LINES_DROPPED),
            (&self.spans_dropped, &SPANS_DROPPED),
        ] {
            counter
                .inner()
                .fetch_max(counted.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

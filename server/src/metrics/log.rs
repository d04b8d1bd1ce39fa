//! What of this process's log was lost. A process has one log, so whoever keeps it counts here, beside all servers.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Lines of this process's log that were dropped, as nobody read it in time. Whoever keeps the log counts them here; `GET /metrics`
/// tells.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

pub(super) struct LogCounters {
    lines_dropped: Counter,
}

impl LogCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let lines_dropped = Counter::default();
        let help = "Lines of the log that were dropped because nobody read it in time";
        registry.register("log_lines_dropped", help, lines_dropped.clone());
        Self { lines_dropped }
    }

    /// Takes over what was counted meanwhile.
    pub(super) fn take(&self) {
        let dropped = LOG_LINES_DROPPED.load(Ordering::Relaxed);
        self.lines_dropped.inner().fetch_max(dropped, Ordering::Relaxed);
    }
}

//! What a server counts, for `GET /metrics`: [OpenMetrics text](https://prometheus.io/docs/specs/om/open_metrics_spec/), which
//! Prometheus reads. Nothing in it names a store, space or segment, so it needs no token; `/readyz` and the log name the store
//! that a failure is of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use streamkit_engine::{AppendError, ReadError, Rejection, StorageError};

use crate::budgets::Held;

/// The media type of what [`Metrics::text`] returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// Lines of this process's log that were dropped, as nobody read it in time. Whoever keeps the log counts them here; `GET /metrics`
/// tells.
pub static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Of {
    budget: &'static str,
}

/// Why a connection in its handshake had to give way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GaveWay {
    /// There were too many.
    Total,
    /// There were too many of its address.
    Address,
}

/// Why a peer had to give way to others.
#[derive(Clone, Copy)]
pub(crate) enum PeerGaveWay {
    /// It took too little of what waited for it.
    Receiving,
    /// It sent too little of a large frame.
    Sending,
}

/// What is so at the moment it is asked for.
pub(crate) struct Moment {
    pub(crate) ready: bool,
    pub(crate) connections: usize,
    /// How far the clock is behind the last commit.
    pub(crate) clock_behind: Duration,
    /// Bytes queued for the disk.
    pub(crate) queued_bytes: usize,
    pub(crate) budgets: [Held; 4],
}

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    ready: Gauge,
    connections: Gauge,
    queued_bytes: Gauge,
    transactions: Counter,
    entries: Counter,
    appends_failed: Family<Why, Counter>,
    reads_failed: Family<Why, Counter>,
    opens_failed: Counter,
    records_early: Counter,
    records_late: Counter,
    handshakes_gave_way: Family<Why, Counter>,
    peers_gave_way: Family<Why, Counter>,
    budget_held_bytes: Family<Of, Gauge>,
    budget_waiting: Family<Of, Gauge>,
    log_lines_dropped: Counter,
    clock_behind_seconds: Gauge<f64, AtomicU64>,
    subscriptions: Gauge,
    statuses_coalesced: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("streamkit");
        let (ready, connections) = (Gauge::default(), Gauge::default());
        registry.register(
            "ready",
            "1 while every open store takes writes, as /readyz says",
            ready.clone(),
        );
        registry.register("connections", "Open connections", connections.clone());
        let queued_bytes = Gauge::default();
        let help = "Bytes of transactions that wait for the disk or are under way to it, of all stores";
        registry.register("queued_bytes", help, queued_bytes.clone());
        let (transactions, entries) = (Counter::default(), Counter::default());
        registry.register(
            "transactions",
            "Transactions acknowledged as durable",
            transactions.clone(),
        );
        registry.register("entries", "Entries acknowledged as durable", entries.clone());
        let (appends_failed, reads_failed) = (Family::default(), Family::default());
        let help = "Transactions not committed, or of unknown outcome, by reason";
        registry.register("appends_failed", help, appends_failed.clone());
        registry.register(
            "reads_failed",
            "Reads that ended early, by reason",
            reads_failed.clone(),
        );
        let opens_failed = Counter::default();
        registry.register("store_opens_failed", "Stores that did not open", opens_failed.clone());
        let handshakes_gave_way = beginning_with(["all", "address"]);
        let help = "Connections closed in their handshake because a newer one came, by what there were too many of";
        registry.register("handshakes_gave_way", help, handshakes_gave_way.clone());
        let peers_gave_way = beginning_with(["receiving", "sending"]);
        let help = "Connections closed because others waited for what they held, by what they did too slowly";
        registry.register("peers_gave_way", help, peers_gave_way.clone());
        let (budget_held_bytes, budget_waiting) = (Family::default(), Family::default());
        let help = "What all connections hold of a budget that they share";
        registry.register("budget_held_bytes", help, budget_held_bytes.clone());
        let help = "How many wait for a share of it";
        registry.register("budget_waiting", help, budget_waiting.clone());
        let (records_early, records_late) = (Counter::default(), Counter::default());
        let help = "Records that came before one of a lower sequence, and waited for it";
        registry.register("records_early", help, records_early.clone());
        let help = "Records that came after their produce was answered as complete: not stored, and refused";
        registry.register("records_late", help, records_late.clone());
        let clock_behind_seconds = Gauge::default();
        let help = "How far the clock is behind the last commit of the store where that is most; 0 within a second";
        registry.register("clock_behind_seconds", help, clock_behind_seconds.clone());
        let log_lines_dropped = Counter::default();
        let help = "Lines of the log that were dropped because nobody read it in time";
        registry.register("log_lines_dropped", help, log_lines_dropped.clone());
        let (subscriptions, statuses_coalesced) = (Gauge::default(), Counter::default());
        registry.register(
            "subscriptions",
            "Segments and spaces that are followed",
            subscriptions.clone(),
        );
        let help = "Statuses that a follower was not told because a newer one of the same segment came first";
        registry.register("statuses_coalesced", help, statuses_coalesced.clone());
        Self {
            registry,
            ready,
            connections,
            queued_bytes,
            transactions,
            entries,
            appends_failed,
            reads_failed,
            opens_failed,
            records_early,
            records_late,
            handshakes_gave_way,
            peers_gave_way,
            budget_held_bytes,
            budget_waiting,
            log_lines_dropped,
            clock_behind_seconds,
            subscriptions,
            statuses_coalesced,
        }
    }

    /// A transaction of so many records was committed.
    pub(crate) fn appended(&self, records: usize) {
        self.transactions.inc();
        self.entries.inc_by(records as u64);
    }

    /// So many more are followed, or less.
    pub(crate) fn subscriptions(&self, more: i64) {
        self.subscriptions.inc_by(more);
    }

    /// So many statuses gave way to newer ones.
    pub(crate) fn coalesced(&self, statuses: u64) {
        self.statuses_coalesced.inc_by(statuses);
    }

    pub(crate) fn append_failed(&self, error: &AppendError) {
        let reason = match error {
            AppendError::Indeterminate(_) => "unknown",
            AppendError::Rejected(Rejection::Conflict { .. }) => "conflict",
            AppendError::Rejected(Rejection::DiskFull) => "disk_full",
            AppendError::Rejected(Rejection::NotReady(_)) => "not_ready",
            AppendError::Rejected(Rejection::QueueFull { .. }) => "overloaded",
            AppendError::Rejected(Rejection::Storage(StorageError::Halted { .. } | StorageError::Gone(_))) => "halted",
            AppendError::Rejected(Rejection::Storage(_)) => "storage",
            _ => "invalid",
        };
        self.appends_failed.get_or_create(&Why { reason }).inc();
    }

    pub(crate) fn read_failed(&self, error: &ReadError) {
        let reason = match error {
            ReadError::Storage(StorageError::Corrupt { .. }) => "damage",
            ReadError::Storage(StorageError::Deleted(_)) => "deleted",
            _ => "storage",
        };
        self.reads_failed.get_or_create(&Why { reason }).inc();
    }

    pub(crate) fn open_failed(&self) {
        self.opens_failed.inc();
    }

    pub(crate) fn handshake_gave_way(&self, why: GaveWay) {
        let reason = match why {
            GaveWay::Total => "all",
            GaveWay::Address => "address",
        };
        self.handshakes_gave_way.get_or_create(&Why { reason }).inc();
    }

    pub(crate) fn peer_gave_way(&self, why: PeerGaveWay) {
        let reason = match why {
            PeerGaveWay::Receiving => "receiving",
            PeerGaveWay::Sending => "sending",
        };
        self.peers_gave_way.get_or_create(&Why { reason }).inc();
    }

    /// A record waits for one before it.
    pub(crate) fn record_came_early(&self) {
        self.records_early.inc();
    }

    /// A record came behind the answer to its produce.
    pub(crate) fn record_came_late(&self) {
        self.records_late.inc();
    }

    /// Everything as text, with what is true now.
    pub(crate) fn text(&self, now: Moment) -> String {
        let gauge = |value: usize| value.try_into().unwrap_or(i64::MAX);
        for Held { budget, bytes, waiting } in now.budgets {
            let of = Of { budget };
            self.budget_held_bytes.get_or_create(&of).set(gauge(bytes));
            self.budget_waiting.get_or_create(&of).set(gauge(waiting));
        }
        self.queued_bytes.set(gauge(now.queued_bytes));
        self.clock_behind_seconds.set(now.clock_behind.as_secs_f64());
        self.ready.set(i64::from(now.ready));
        self.connections.set(gauge(now.connections));
        let dropped = LOG_LINES_DROPPED.load(Ordering::Relaxed);
        self.log_lines_dropped.inner().fetch_max(dropped, Ordering::Relaxed);
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// A counter that is there with these reasons before anything is counted.
fn beginning_with(reasons: [&'static str; 2]) -> Family<Why, Counter> {
    let family = Family::<Why, Counter>::default();
    for reason in reasons {
        family.get_or_create(&Why { reason }).inc_by(0);
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let metrics = Metrics::new();
        let reason = Why { reason: "x" };
        // One of a failure is there from the first time on.
        for family in [&metrics.appends_failed, &metrics.reads_failed] {
            family.get_or_create(&reason).inc();
        }
        let budgets = crate::budgets::Budgets::new(&crate::Limits::default());
        let text = metrics.text(Moment {
            ready: true,
            connections: 0,
            clock_behind: Duration::ZERO,
            queued_bytes: 0,
            budgets: budgets.held(),
        });
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), 18 + 2 * budgets.held().len(), "{text}");
        let documented = include_str!("../../docs/COMMANDS.md");
        for sample in samples {
            let name = sample.split([' ', '{']).next().unwrap();
            let label = ["reason", "budget"]
                .into_iter()
                .find(|label| sample.contains(&format!("{{{label}=")));
            let spelled = label.map_or(format!("`{name}`"), |label| format!("`{name}{{{label}}}`"));
            assert!(documented.contains(&spelled), "{spelled} is not documented");
        }
    }
}

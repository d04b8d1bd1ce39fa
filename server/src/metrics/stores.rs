//! What became of transactions, reads and openings.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use streamkit_engine::{AppendError, ReadError, Rejection, StorageError};

use super::families::{ByReason, beginning_with, count};

/// Why an append fails. All are there from the start: an alarm on what grows would miss the first of one that was not.
const APPEND_REASONS: &[&str] = &[
    "conflict",
    "disk_full",
    "halted",
    "invalid",
    "not_ready",
    "overloaded",
    "storage",
    "unknown",
];

/// The same of a read.
const READ_REASONS: &[&str] = &["damage", "deleted", "storage"];

#[derive(Default)]
pub(crate) struct StoreCounters {
    transactions: Counter,
    entries: Counter,
    appends_failed: ByReason,
    reads_failed: ByReason,
    opens_failed: Counter,
}

impl StoreCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counters = Self {
            appends_failed: beginning_with(APPEND_REASONS),
            reads_failed: beginning_with(READ_REASONS),
            ..Self::default()
        };
        let help = "Transactions acknowledged as durable";
        registry.register("transactions", help, counters.transactions.clone());
        let help = "Entries acknowledged as durable";
        registry.register("entries", help, counters.entries.clone());
        let help = "Transactions not committed, or of unknown outcome, by reason";
        registry.register("appends_failed", help, counters.appends_failed.clone());
        let help = "Reads that ended early, by reason";
        registry.register("reads_failed", help, counters.reads_failed.clone());
        let help = "Stores that did not open";
        registry.register("store_opens_failed", help, counters.opens_failed.clone());
        counters
    }

    /// A transaction of so many records was committed.
    pub(crate) fn appended(&self, records: usize) {
        self.transactions.inc();
        self.entries.inc_by(records as u64);
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
        count(&self.appends_failed, reason);
    }

    pub(crate) fn read_failed(&self, error: &ReadError) {
        let reason = match error {
            ReadError::Storage(StorageError::Corrupt { .. }) => "damage",
            ReadError::Storage(StorageError::Deleted(_)) => "deleted",
            _ => "storage",
        };
        count(&self.reads_failed, reason);
    }

    pub(crate) fn open_failed(&self) {
        self.opens_failed.inc();
    }
}

//! What became of transactions, reads and openings.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use streamkit_engine::{AppendError, ReadError, Rejection, StorageError};

use super::families::{ByReason, beginning_with, count, labels};

labels! {
    /// Why a transaction is not committed.
    AppendReason {
        /// Others were first.
        Conflict = "conflict",
        DiskFull = "disk_full",
        Halted = "halted",
        /// The transaction is none.
        Invalid = "invalid",
        NotReady = "not_ready",
        /// There is no room for it now.
        Overloaded = "overloaded",
        Storage = "storage",
        /// Whether it is committed nobody knows.
        Unknown = "unknown",
    }
}

labels! {
    /// Why a read ends early.
    ReadReason {
        Damage = "damage",
        Deleted = "deleted",
        /// Storage asks to wait.
        Overloaded = "overloaded",
        Storage = "storage",
    }
}

impl AppendReason {
    fn of(error: &AppendError) -> Self {
        match error {
            AppendError::Indeterminate(_) => Self::Unknown,
            AppendError::Rejected(rejection) => match rejection {
                Rejection::Conflict { .. }
                | Rejection::Conflicts(_)
                | Rejection::OtherRecords { .. }
                | Rejection::FencedOff(_) => Self::Conflict,
                Rejection::DiskFull => Self::DiskFull,
                Rejection::NotReady(_) => Self::NotReady,
                Rejection::QueueFull { .. } | Rejection::Busy(_) | Rejection::TooManyLeases => Self::Overloaded,
                Rejection::Storage(StorageError::Halted { .. } | StorageError::Gone(_)) => Self::Halted,
                Rejection::Invalid(_) | Rejection::InvalidLease(_) | Rejection::NoSuchSequence(_) => Self::Invalid,
                _ => Self::Storage,
            },
            _ => Self::Storage,
        }
    }
}

impl ReadReason {
    fn of(error: &ReadError) -> Self {
        match error {
            ReadError::Storage(StorageError::Corrupt { .. }) => Self::Damage,
            ReadError::Storage(StorageError::Deleted(_)) => Self::Deleted,
            ReadError::Busy(_) => Self::Overloaded,
            _ => Self::Storage,
        }
    }
}

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
            appends_failed: beginning_with(AppendReason::ALL.iter().map(|reason| reason.name())),
            reads_failed: beginning_with(ReadReason::ALL.iter().map(|reason| reason.name())),
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
        count(&self.appends_failed, AppendReason::of(error).name());
    }

    pub(crate) fn read_failed(&self, error: &ReadError) {
        count(&self.reads_failed, ReadReason::of(error).name());
    }

    pub(crate) fn open_failed(&self) {
        self.opens_failed.inc();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use streamkit_engine::Busy;

    use super::*;

    #[test]
    fn what_asks_to_wait_is_no_fault_of_who_asked() {
        let busy = Busy {
            why: "a medium".to_owned(),
            retry_after: Duration::from_secs(1),
        };
        assert_eq!(
            AppendReason::of(&Rejection::Busy(busy.clone()).into()),
            AppendReason::Overloaded
        );
        assert_eq!(ReadReason::of(&ReadError::Busy(busy)), ReadReason::Overloaded);
    }
}

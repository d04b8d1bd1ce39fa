//! What an engine counts as it commits, of all its stores together. Two readings of the clock and a few additions for a group, one
//! and two for a transaction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::boundary::figures::{Figures, Histogram};
use crate::error::StorageError;

/// The counts.
#[derive(Debug)]
pub(crate) struct CommitCounts {
    groups: Histogram,
    syncs: Histogram,
    commits: Histogram,
    sync_errors: AtomicU64,
    written_bytes: AtomicU64,
}

impl Default for CommitCounts {
    fn default() -> Self {
        Self {
            groups: Histogram::new(Histogram::NUMBERS),
            syncs: Histogram::new(Histogram::TIMES),
            commits: Histogram::new(Histogram::TIMES),
            sync_errors: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
        }
    }
}

impl CommitCounts {
    /// The write of a group of so many transactions and bytes has ended after so long, and was confirmed or not.
    pub(crate) fn group(&self, confirmed: &Result<(), StorageError>, transactions: u64, bytes: usize, time: Duration) {
        self.syncs.count_time(time);
        match confirmed {
            Ok(()) => {
                self.groups.count(transactions);
                self.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            // It stands behind one whose write failed, which was counted, or its files are gone.
            Err(StorageError::Halted { .. } | StorageError::Gone(_)) => {}
            Err(_) => {
                self.sync_errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A transaction is acknowledged after so long.
    pub(crate) fn commit(&self, time: Duration) {
        self.commits.count_time(time);
    }

    /// What it counted; the rest is left as it is without a count.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            group_transactions: self.groups.now(),
            sync_nanos: self.syncs.now(),
            commit_nanos: self.commits.now(),
            sync_errors: self.sync_errors.load(Ordering::Relaxed),
            written_bytes: self.written_bytes.load(Ordering::Relaxed),
            ..Figures::default()
        }
    }
}

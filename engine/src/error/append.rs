//! Why an append failed, and why a read ended early.

use std::fmt;
use std::time::Duration;

use super::{Busy, StorageError};
use streamkit_record::{Fence, InvalidLease, InvalidTransaction, SegmentPath, Sequence};

/// Why an append was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Nothing was or will be written. Change the request, or retry as the reason says.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The transaction may or may not become durable. Read the head, or retry with the same transaction id.
    #[error("the outcome is unknown: {0}")]
    Indeterminate(StorageError),
}

/// The queue that had no room for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FullQueue {
    /// The store's own queue, with its size in bytes: [`EngineConfig::queue_bytes`](crate::EngineConfig::queue_bytes),
    /// or half of [`EngineConfig::queues_bytes`](crate::EngineConfig::queues_bytes) if that is less.
    #[error("its queue of {0} bytes")]
    OfStore(usize),
    /// The queues of all stores, with their size in bytes together:
    /// [`EngineConfig::queues_bytes`](crate::EngineConfig::queues_bytes).
    #[error("the queues of all stores, {0} bytes together,")]
    OfAll(usize),
}

/// A segment that is not as a transaction demands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The segment.
    pub path: SegmentPath,
    /// Its durable head; 0: it has no entries.
    pub head: Sequence,
    /// The first sequence the transaction had; `None` if it is a condition that does not hold.
    pub got: Option<Sequence>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the head of {} is {}", self.path, self.head)
    }
}

fn listed(conflicts: &[Conflict]) -> String {
    const TOLD_MAX: usize = 3;
    let told = conflicts.iter().take(TOLD_MAX).map(Conflict::to_string);
    let more = conflicts.len().saturating_sub(TOLD_MAX);
    let more = (more > 0).then(|| format!("and {more} more"));
    told.chain(more).collect::<Vec<_>>().join(", ")
}

/// Why nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Another producer was first, or the sequence was never right. Read from the head.
    #[error("sequence conflict in {path}: the head is {head}, so {expected} comes next, not {got}", expected = head.next())]
    Conflict {
        /// The segment.
        path: SegmentPath,
        /// Its durable head.
        head: Sequence,
        /// The first sequence the transaction had.
        got: Sequence,
    },
    /// Several segments have not the sequences that the transaction continues, or a condition does not hold: all of them, each
    /// once, in the order of their names. Read them, and decide again.
    #[error("a condition does not hold: {}", listed(.0))]
    Conflicts(Vec<Conflict>),
    /// The transaction's id is stored with other records.
    #[error("the transaction's id is stored already, with other records, as number {number}")]
    OtherRecords {
        /// The number of the transaction that has it.
        number: u64,
    },
    /// The transaction breaks a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    /// The segment of a trim or delete is empty, or lacks that sequence.
    #[error("{0} holds no such sequence")]
    NoSuchSequence(SegmentPath),
    /// The transaction's lease was granted again or released since: its producer no longer holds it.
    #[error("the lease {:?} is not held under token {} any more: it was granted again, or released", .0.key.as_str(), .0.token)]
    FencedOff(Fence),
    /// A lease that can never be granted.
    #[error(transparent)]
    InvalidLease(#[from] InvalidLease),
    /// The store holds [`LEASES_MAX`](crate::limits::LEASES_MAX) leases, and none has run out. Transient.
    #[error("the store holds as many leases as it may; one that runs out makes room")]
    TooManyLeases,
    /// The disk is full, or has no more than the space to leave free
    /// ([`EngineConfig::keep_free_bytes`](crate::EngineConfig)). Transient: free some space and retry.
    #[error("the disk is full")]
    DiskFull,
    /// The store's queue, or the budget of all queues, had no room until the deadline: producers send more than the
    /// disk takes, or the disk hangs. Transient: retry the same request later, or send less at a time.
    #[error("the store is overloaded: {full} had no room for {waited:.1?}; nothing was written, try again later")]
    QueueFull {
        /// How long the producer waited.
        waited: Duration,
        /// The one without room.
        full: FullQueue,
    },
    /// The log could not be made ready: a file could not be created or allocated (too many open files, a limit of file
    /// sizes, a folder that is gone or not writable, a device that failed at that). Transient, unless the store
    /// accepts no writes from then on ([`Store::writable`](crate::Store::writable)).
    #[error("nothing was written, the log could not be made ready: {0}")]
    NotReady(StorageError),
    /// The medium asks to come back later. Transient.
    #[error(transparent)]
    Busy(Busy),
    /// The store accepts no writes.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for Rejection {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFetched(busy) => Self::Busy(busy),
            other => Self::Storage(other),
        }
    }
}

/// Why a read ended early. An end of stream is never an error, and an error never an end of stream.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The medium asks to come back later. Transient; the entries read before are incomplete.
    #[error(transparent)]
    Busy(Busy),
    /// The disk refused, or is damaged.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFetched(busy) => Self::Busy(busy),
            other => Self::Storage(other),
        }
    }
}

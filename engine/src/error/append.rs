//! Why something was not appended, and why a read ended early.

use std::time::Duration;

use super::{Busy, StorageError};
use crate::model::{Fence, InvalidLease, InvalidTransaction, SegmentPath, Sequence};

/// Why an append was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Nothing was or will be written. Change the request, or retry as the reason says.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// May or may not become durable. Read the head, or retry with the same transaction id.
    #[error("the outcome is unknown: {0}")]
    Indeterminate(StorageError),
}

/// What had no room for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FullQueue {
    /// The store's own queue, of so many bytes: [`EngineConfig::queue_bytes`](crate::EngineConfig::queue_bytes), or half of
    /// [`EngineConfig::queues_bytes`](crate::EngineConfig::queues_bytes) where that is less.
    #[error("its queue of {0} bytes")]
    OfStore(usize),
    /// The queues of all stores, of so many bytes together: [`EngineConfig::queues_bytes`](crate::EngineConfig::queues_bytes).
    #[error("the queues of all stores, {0} bytes together,")]
    OfAll(usize),
}

/// Why nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Another producer was first, or the sequence was never right. Read on from the head.
    #[error("sequence conflict in {path}: the head is {head}, so {expected} comes next, not {got}", expected = head.next())]
    Conflict {
        /// The segment.
        path: SegmentPath,
        /// Its durable head.
        head: Sequence,
        /// The first sequence the transaction had.
        got: Sequence,
    },
    /// Breaks a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    /// The segment named by a trim or delete holds nothing, or not that sequence.
    #[error("{0} holds no such sequence")]
    NoSuchSequence(SegmentPath),
    /// The lease that the transaction was to be appended under was granted anew since, or released: its producer holds it no more.
    #[error("the lease {:?} is not held under token {} any more: it was granted again, or released", .0.key.as_str(), .0.token)]
    FencedOff(Fence),
    /// A lease that can never be granted.
    #[error(transparent)]
    InvalidLease(#[from] InvalidLease),
    /// The store holds [`LEASES_MAX`](crate::limits::LEASES_MAX) leases, and none of them has run out. Transient.
    #[error("the store holds as many leases as it may; one that runs out makes room")]
    TooManyLeases,
    /// No room to go on, or none but what is to stay free ([`EngineConfig::keep_free_bytes`](crate::EngineConfig)). Transient:
    /// free some space and retry.
    #[error("the disk is full")]
    DiskFull,
    /// The store's queue, or those of all stores together, had no room until the deadline: the disk takes less than producers
    /// send, or hangs. Transient: retry the same request later, or send less at a time.
    #[error("the store is overloaded: {full} had no room for {waited:.1?}; nothing was written, try again later")]
    QueueFull {
        /// How long room was waited for.
        waited: Duration,
        /// Which of them had none.
        full: FullQueue,
    },
    /// The log could not be made ready to take it: a file could not be made, or has no room in it (too many open files, a file
    /// larger than this process may write, a folder that is gone or may not be written to, a device that failed at that).
    /// Transient, unless the store does not accept writes from then on ([`Store::writable`](crate::Store::writable)).
    #[error("nothing was written, the log could not be made ready: {0}")]
    NotReady(StorageError),
    /// The medium asks to come back later. Transient.
    #[error(transparent)]
    Busy(Busy),
    /// The store does not accept writes.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a read ended early. An end of stream is never an error, an error never an end of stream.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The medium asks to come back later. Transient; what was read before is not all.
    #[error(transparent)]
    Busy(Busy),
    /// The disk refused, or is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

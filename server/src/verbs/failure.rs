//! Why a verb did not do what was asked, in no words: those are of each version of the protocol.

use std::time::Duration;

use streamkit_engine::{AppendError, Entry, ReadError, Rejection, SegmentPath, Sequence, StorageError};

use crate::budgets::Ended;
use crate::live::{PresenceRefused, StoreLost};
use crate::metrics::{Limit, Metrics, Outcome};
use crate::stores::StoreUnavailable;

/// Why a verb did not finish.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The open chunk does not follow what is stored, and is not stored.
    Conflict { expected: Sequence, got: Sequence },
    /// Segments are not as a transaction demands, each with its head, and it is not stored.
    Conflicts(Vec<(SegmentPath, Sequence)>),
    /// The store has not come to the transaction that a read must include, but to this one.
    NotThereYet(u64),
    /// There is no such segment to delete.
    NoSuchSegment(SegmentPath),
    /// A transaction is not stored, or not for certain.
    NotWritten(AppendError),
    /// An entry fits in no message. What is before it was sent.
    DoesNotFit(SegmentPath, Sequence),
    /// A read has more entries than one may have. So many were sent.
    TooManyEntries(u64),
    /// Nothing more can be read.
    Read(ReadError),
    /// The name `*` stands for all segments of a space where it is followed.
    ReservedName,
    /// A worker is not taken in.
    Presence(PresenceRefused),
    /// Another worker of its id came.
    Replaced,
    /// A worker spoke for another.
    AnotherWorker,
    /// Nothing was heard of a worker for so long.
    NotHeardOf(Duration),
    /// The peer ended its side; it expects nothing more.
    PeerEnded,
    /// The session or the connection ends.
    Ending,
    /// The store does not open, or not now.
    StoreUnavailable,
    /// Others wait for the room of what its peer sent, which does not take what it is told; or there is no room for what the
    /// verb needs.
    Overloaded,
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure::Read(error)
    }
}

impl From<Ended> for Failure {
    fn from(_: Ended) -> Self {
        Failure::Ending
    }
}

impl From<StoreLost> for Failure {
    fn from(_: StoreLost) -> Self {
        Failure::StoreUnavailable
    }
}

impl Failure {
    /// Of `what`, a transaction.
    pub(super) fn of_write(what: &str, error: AppendError) -> Self {
        if let AppendError::Rejected(Rejection::Conflict { head, got, .. }) = error {
            let expected = head.next();
            return Failure::Conflict { expected, got };
        }
        if !is_logged_by_its_store(&error) {
            tracing::warn!(%error, "{what} failed");
        }
        Failure::NotWritten(error)
    }

    /// As it is counted.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Failure::Conflict { .. }
            | Failure::Conflicts(_)
            | Failure::NotThereYet(_)
            | Failure::NoSuchSegment(_)
            | Failure::NotWritten(AppendError::Rejected(
                Rejection::Conflict { .. }
                | Rejection::Conflicts(_)
                | Rejection::OtherRecords { .. }
                | Rejection::FencedOff { .. }
                | Rejection::NoSuchSequence(_),
            ))
            | Failure::Presence(_)
            | Failure::Replaced => Outcome::Conflict,
            Failure::NotWritten(AppendError::Rejected(
                Rejection::QueueFull { .. } | Rejection::Busy(_) | Rejection::TooManyLeases,
            ))
            | Failure::Read(ReadError::Busy(_))
            | Failure::Overloaded => Outcome::Overloaded,
            Failure::NotWritten(AppendError::Rejected(Rejection::Invalid(_) | Rejection::InvalidLease(_))) => {
                Outcome::Invalid
            }
            // A cursor of another store, or of before a restore: nothing is wrong with this one.
            Failure::Read(ReadError::Storage(StorageError::OtherLog)) => Outcome::Invalid,
            Failure::NotWritten(_) | Failure::DoesNotFit(..) | Failure::Read(_) => Outcome::Failed,
            Failure::ReservedName | Failure::AnotherWorker | Failure::TooManyEntries(_) => Outcome::Invalid,
            Failure::StoreUnavailable => Outcome::Unavailable,
            Failure::NotHeardOf(_) | Failure::PeerEnded | Failure::Ending => Outcome::Ended,
        }
    }

    /// Why a store is not to be had.
    pub(crate) fn not_open(error: StoreUnavailable) -> Self {
        match error {
            StoreUnavailable::OfStore(error) => Failure::Read(error.into()),
            StoreUnavailable::Open(_) | StoreUnavailable::CircuitOpen => Failure::StoreUnavailable,
        }
    }

    pub(super) fn does_not_fit(entry: &Entry) -> Self {
        Failure::DoesNotFit(entry.path.clone(), entry.sequence)
    }

    /// Logs and counts a read that failed.
    pub(super) fn count(&self, metrics: &Metrics) {
        if let Failure::TooManyEntries(_) = self {
            metrics.peers.limit_hit(Limit::ConsumeEntries);
        }
        if let Failure::Read(error) = self
            && !matches!(error, ReadError::Storage(StorageError::OtherLog))
        {
            tracing::warn!(%error, "a read failed");
            metrics.stores.read_failed(error);
        }
    }
}

/// What goes on until somebody does something about the disk: the store logs it once, however many producers meet it.
fn is_logged_by_its_store(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::Indeterminate(StorageError::Io { .. } | StorageError::Gone(_))
            | AppendError::Rejected(
                Rejection::DiskFull
                    | Rejection::NotReady(_)
                    | Rejection::Storage(StorageError::Halted { .. } | StorageError::Gone(_))
            )
    )
}

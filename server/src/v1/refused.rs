//! What goes wrong on a channel, with the texts by which deployed clients know it.

use streamkit_engine::limits::RECORD_BYTES_MAX;
use streamkit_engine::{NameError, Sequence};
use streamkit_protocol::limits::{MESSAGE_BYTES_MAX, PEER_MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX};
use streamkit_protocol::{EnvelopeError, LexKeyError, MessageError};

use crate::metrics::Outcome;
use crate::told;
use crate::verbs::Failure;

pub(super) const ACCESS_DENIED: &str = "access denied";
pub(super) const STORE_UNAVAILABLE: &str = "store unavailable";
pub(super) const OVERLOADED: &str = "stream receive buffer overloaded";
pub(super) const TOO_MANY_STREAMS: &str = "too many active streams";
pub(super) const TOO_LATE: &str = "a record came after its produce was answered, and is not stored";
pub(super) const OTHER_STORE: &str = "a frame of this channel names another store";
pub(super) const UNPROVEN: &str =
    "the end came, but nothing proves that it came last: what is not acknowledged is not stored";

/// Why a read ended before it was complete, as Go servers say it.
const CANCELLED: &str = "context canceled";

/// Why a channel ends with an error.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{ACCESS_DENIED}")]
    AccessDenied,
    #[error("{TOO_MANY_STREAMS}")]
    TooManyStreams,
    #[error("request too large: {0} bytes, at most {REQUEST_BYTES_MAX} are allowed")]
    RequestTooLarge(usize),
    #[error("{0}")]
    Request(EnvelopeError),
    /// A lease request that cannot be granted, whoever holds the lease. It is answered, and is no error of the channel.
    #[error("{0}")]
    Lease(String),
    #[error("invalid message of a worker: {0}")]
    Worker(EnvelopeError),
    #[error("invalid message of a worker: an inventory")]
    WorkerInventory,
    #[error("invalid produce args")]
    NothingToProduceTo,
    #[error("invalid produce args: {0}")]
    ProduceTo(NameError),
    #[error("invalid {0}: {1}")]
    Name(&'static str, NameError),
    #[error("invalid offset: {0}")]
    Offset(LexKeyError),
    #[error("invalid offset: {0}")]
    OffsetName(NameError),
    #[error("invalid offset: it belongs to space {of:?}, not to {given_for:?}")]
    OffsetOfOther { of: String, given_for: String },
    #[error("a segment's status needs its space")]
    StatusWithoutSpace,
    #[error("invalid record: {0}")]
    Record(MessageError),
    #[error("record too large: a message of {0} bytes, at most {PEER_MESSAGE_BYTES_MAX} are allowed")]
    MessageTooLarge(usize),
    #[error(
        "record too large: sequence {0} has {1} bytes of payload and metadata, at most {RECORD_BYTES_MAX} are allowed"
    )]
    RecordTooLarge(Sequence, usize),
    #[error("record too large: sequence {0} would be read as {1} bytes, at most {MESSAGE_BYTES_MAX} can be")]
    EntryTooLarge(Sequence, usize),
    /// The peer's own text.
    #[error("{0}")]
    Aborted(String),
    #[error("{}", text(.0))]
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Refused::Failed(failure)
    }
}

impl From<crate::budgets::Ended> for Refused {
    fn from(ended: crate::budgets::Ended) -> Self {
        Refused::Failed(ended.into())
    }
}

impl Refused {
    /// As it is counted.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Refused::AccessDenied => Outcome::Denied,
            Refused::TooManyStreams => Outcome::Overloaded,
            Refused::Aborted(_) => Outcome::Ended,
            Refused::Failed(failure) => failure.outcome(),
            _ => Outcome::Invalid,
        }
    }
}

fn text(failure: &Failure) -> String {
    match failure {
        Failure::Conflict { expected, got } => format!("sequence gap: expected {expected}, got {got}"),
        // What only v2 asks for.
        Failure::Conflicts(_) => "a condition does not hold".to_owned(),
        Failure::NotThereYet(newest) => format!("the store has come to transaction {newest}"),
        Failure::NoSuchSegment(path) => format!("{path}: no such segment"),
        Failure::NotWritten(error) => format!("failed to write transaction: {}", told::append(error)),
        Failure::DoesNotFit(path, sequence) => format!("entry {path}/{sequence} does not fit in a frame"),
        Failure::TooManyEntries(most) => format!("a read has at most {most} entries: read on behind the last one"),
        Failure::Read(error) => told::read(error),
        Failure::ReservedName => {
            "invalid produce args: a segment is not named `*`, which stands for all segments where a space is followed"
                .to_owned()
        }
        Failure::Presence(refused) => refused.to_string(),
        Failure::Replaced => "worker_id registered by another stream".to_owned(),
        Failure::AnotherWorker => "a presence of another worker_id than this stream's".to_owned(),
        Failure::NotHeardOf(ttl) => format!("no presence for {} s: the worker is taken for gone", ttl.as_secs()),
        // Never as if everything had been sent: a peer that only ended its own side would take it for the end.
        Failure::PeerEnded => CANCELLED.to_owned(),
        Failure::Ending => String::new(),
        Failure::StoreUnavailable => STORE_UNAVAILABLE.to_owned(),
        Failure::Overloaded => OVERLOADED.to_owned(),
    }
}

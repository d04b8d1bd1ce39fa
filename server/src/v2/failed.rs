//! What goes wrong with a call, as the codes of v2.

use streamkit_engine::{AppendError, ReadError, Rejection, SegmentPath, SegmentsHit, Sequence, StorageError};
use streamkit_protocol::v2::{CallError, Class, Code, Details, Malformed};

use crate::metrics::Outcome;
use crate::told;
use crate::verbs::Failure;

/// Why a call ends with an error.
#[derive(Debug)]
pub(super) enum Failed {
    AccessDenied,
    TooManyChannels,
    UnknownField(String),
    UnknownVerb(u8),
    Malformed(Malformed),
    /// The connection ends, for this.
    Ending(CallError),
    Verb(Failure),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Verb(failure)
    }
}

impl From<Malformed> for Failed {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl Failed {
    /// As it is counted.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::AccessDenied => Outcome::Denied,
            Self::TooManyChannels => Outcome::Overloaded,
            Self::Ending(_) => Outcome::Ended,
            Self::Verb(failure) => failure.outcome(),
            Self::UnknownField(_) | Self::UnknownVerb(_) | Self::Malformed(_) => Outcome::Invalid,
        }
    }

    /// As the peer is told.
    pub(super) fn told(&self) -> CallError {
        use Class::{Permanent, Transient};
        match self {
            Self::AccessDenied => CallError::new(Code::AccessDenied, Permanent, "access denied"),
            Self::TooManyChannels => CallError::new(Code::TooManyChannels, Transient, "too many active calls"),
            Self::UnknownField(name) => {
                let error = CallError::new(Code::UnknownField, Permanent, format!("unknown field {name}"));
                error.with(&Details::Name(name.clone()))
            }
            Self::UnknownVerb(verb) => {
                let error = CallError::new(Code::UnknownVerb, Permanent, format!("unknown verb {verb}"));
                error.with(&Details::Verb(*verb))
            }
            Self::Malformed(why) => CallError::new(Code::Invalid, Permanent, format!("invalid call: {why}")),
            Self::Ending(why) => why.clone(),
            Self::Verb(failure) => failed(failure),
        }
    }
}

fn failed(failure: &Failure) -> CallError {
    use Class::{Permanent, Transient};
    match failure {
        // The head is the one before what was expected, of the only segment there is.
        Failure::Conflict { expected, got } => {
            let text = format!("expected {expected}, got {got}");
            CallError::new(Code::Conflict, Permanent, text).with(&Details::Conflict(Vec::new()))
        }
        Failure::Conflicts(heads) => conflict(heads),
        Failure::NotThereYet(newest) => {
            let text = format!("the store has come to transaction {newest}");
            CallError::new(Code::NotThereYet, Transient, text).with(&Details::Position(*newest))
        }
        Failure::NoSuchSegment(path) => {
            let error = CallError::new(Code::Removed, Permanent, format!("{path}: no such segment"));
            error.with(&Details::Removed(path.clone()))
        }
        Failure::NotWritten(error) => not_written(error),
        Failure::DoesNotFit(path, sequence) => {
            let text = format!("entry {path}/{sequence} does not fit in a frame");
            CallError::new(Code::Invalid, Permanent, text)
        }
        Failure::TooManyEntries(most) => {
            let text = format!("a read has at most {most} entries: read on behind the last one");
            CallError::new(Code::TooManyEntries, Permanent, text).with(&Details::Most(*most))
        }
        Failure::Read(error) => not_read(error),
        Failure::ReservedName => CallError::new(Code::Invalid, Permanent, "a segment is not named `*`"),
        Failure::Presence(refused) => CallError::new(Code::Invalid, Permanent, refused.to_string()),
        Failure::Replaced => CallError::new(Code::Invalid, Permanent, "another worker of this id came"),
        Failure::AnotherWorker => CallError::new(Code::Invalid, Permanent, "a presence of another worker"),
        Failure::NotHeardOf(ttl) => {
            let text = format!("no presence for {} s", ttl.as_secs());
            CallError::new(Code::TooSlow, Transient, text)
        }
        Failure::PeerEnded => CallError::new(Code::Invalid, Permanent, "the call was cancelled"),
        Failure::Ending => CallError::new(Code::ShuttingDown, Transient, "the connection ends"),
        Failure::StoreUnavailable => CallError::new(Code::StoreUnavailable, Transient, "store unavailable"),
        Failure::Overloaded => CallError::new(Code::Overloaded, Transient, "there is no room for it now"),
    }
}

fn conflict(heads: &[(SegmentPath, Sequence)]) -> CallError {
    let text = match heads {
        [(path, head)] => format!("the head of {path} is {head}"),
        heads => format!("{} segments are not as demanded", heads.len()),
    };
    let details = Details::Conflict(heads.to_vec());
    CallError::new(Code::Conflict, Class::Permanent, text).with(&details)
}

fn not_written(error: &AppendError) -> CallError {
    let text = told::append(error);
    let of = |code, class| CallError::new(code, class, text);
    let AppendError::Rejected(why) = error else {
        return of(Code::UnknownOutcome, Class::Unknown);
    };
    match why {
        Rejection::Conflict { path, head, .. } => conflict(&[(path.clone(), *head)]),
        Rejection::OtherRecords { number } => {
            of(Code::OtherRecords, Class::Permanent).with(&Details::Position(*number))
        }
        Rejection::FencedOff(fence) => of(Code::FencedOff, Class::Permanent).with(&Details::Token(fence.token)),
        Rejection::NoSuchSequence(path) => of(Code::Removed, Class::Permanent).with(&Details::Removed(path.clone())),
        Rejection::QueueFull { .. } => of(Code::Overloaded, Class::Transient),
        Rejection::Busy(busy) => of(Code::Overloaded, Class::Transient).after(busy.retry_after),
        Rejection::TooManyLeases => of(Code::TooManyLeases, Class::Transient),
        Rejection::DiskFull => of(Code::DiskFull, Class::Transient),
        Rejection::Storage(StorageError::StoreDeleted(_)) => of(Code::StoreDeleted, Class::Permanent),
        Rejection::NotReady(_) | Rejection::Storage(_) => of(Code::NotWritable, Class::Transient),
        _ => of(Code::Invalid, Class::Permanent),
    }
}

fn not_read(error: &ReadError) -> CallError {
    let text = told::read(error);
    let of = |code, class| CallError::new(code, class, text);
    match error {
        ReadError::Busy(busy) => of(Code::Overloaded, Class::Transient).after(busy.retry_after),
        ReadError::Storage(StorageError::Corrupt { segments, .. }) => {
            let named = match segments {
                SegmentsHit::These { named, .. } => named.clone(),
                SegmentsHit::Unknown | SegmentsHit::InAccount | SegmentsHit::None => Vec::new(),
            };
            of(Code::Damaged, Class::Permanent).with(&Details::Damaged(named))
        }
        ReadError::Storage(StorageError::Deleted(path)) => {
            of(Code::Removed, Class::Permanent).with(&Details::Removed(path.clone()))
        }
        ReadError::Storage(StorageError::StoreDeleted(_)) => of(Code::StoreDeleted, Class::Permanent),
        ReadError::Storage(StorageError::OtherLog) => of(Code::OtherLog, Class::Permanent),
        _ => of(Code::StoreUnavailable, Class::Transient),
    }
}

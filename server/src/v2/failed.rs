//! What goes wrong with a call, as the codes of v2.

use streamkit_engine::{AppendError, ReadError, Rejection, StorageError};
use streamkit_protocol::v2::{CallError, Class, Code, Malformed};

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
    /// What this version of the server does not do.
    NotYet(&'static str),
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
            Self::UnknownField(_) | Self::UnknownVerb(_) | Self::Malformed(_) | Self::NotYet(_) => Outcome::Invalid,
        }
    }

    /// As the peer is told.
    pub(super) fn told(&self) -> CallError {
        use Class::{Permanent, Transient};
        match self {
            Self::AccessDenied => CallError::new(Code::AccessDenied, Permanent, "access denied"),
            Self::TooManyChannels => CallError::new(Code::TooManyChannels, Transient, "too many active calls"),
            Self::UnknownField(name) => CallError {
                details: name.clone().into(),
                ..CallError::new(Code::UnknownField, Permanent, format!("unknown field {name}"))
            },
            Self::UnknownVerb(verb) => CallError {
                details: vec![*verb].into(),
                ..CallError::new(Code::UnknownVerb, Permanent, format!("unknown verb {verb}"))
            },
            Self::Malformed(why) => CallError::new(Code::Invalid, Permanent, format!("invalid call: {why}")),
            Self::NotYet(what) => CallError::new(Code::Invalid, Permanent, *what),
            Self::Ending(why) => why.clone(),
            Self::Verb(failure) => failed(failure),
        }
    }
}

fn failed(failure: &Failure) -> CallError {
    use Class::{Permanent, Transient};
    match failure {
        Failure::Conflict { expected, got } => CallError {
            // The head is the one before what was expected.
            details: expected.0.saturating_sub(1).to_le_bytes().to_vec().into(),
            ..CallError::new(Code::Conflict, Permanent, format!("expected {expected}, got {got}"))
        },
        Failure::NoSuchSegment(path) => CallError::new(Code::Removed, Permanent, format!("{path}: no such segment")),
        Failure::NotWritten(error) => {
            let (code, class) = not_written(error);
            CallError::new(code, class, told::append(error))
        }
        Failure::DoesNotFit(path, sequence) => {
            let text = format!("entry {path}/{sequence} does not fit in a frame");
            CallError::new(Code::Invalid, Permanent, text)
        }
        Failure::TooManyEntries(most) => CallError {
            details: most.to_le_bytes().to_vec().into(),
            ..CallError::new(
                Code::TooManyEntries,
                Permanent,
                format!("a read has at most {most} entries"),
            )
        },
        Failure::Read(error) => {
            let code = match error {
                ReadError::Storage(StorageError::Corrupt { .. }) => (Code::Damaged, Permanent),
                ReadError::Storage(StorageError::Deleted(_)) => (Code::Removed, Permanent),
                _ => (Code::StoreUnavailable, Transient),
            };
            CallError::new(code.0, code.1, told::read(error))
        }
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

fn not_written(error: &AppendError) -> (Code, Class) {
    match error {
        AppendError::Indeterminate(_) => (Code::UnknownOutcome, Class::Unknown),
        AppendError::Rejected(why) => match why {
            Rejection::Conflict { .. } | Rejection::Conflicts(_) => (Code::Conflict, Class::Permanent),
            Rejection::OtherRecords { .. } => (Code::OtherRecords, Class::Permanent),
            Rejection::FencedOff { .. } => (Code::FencedOff, Class::Permanent),
            Rejection::QueueFull { .. } => (Code::Overloaded, Class::Transient),
            Rejection::DiskFull => (Code::DiskFull, Class::Transient),
            Rejection::NotReady(_) | Rejection::Storage(_) => (Code::NotWritable, Class::Transient),
            _ => (Code::Invalid, Class::Permanent),
        },
        _ => (Code::UnknownOutcome, Class::Unknown),
    }
}

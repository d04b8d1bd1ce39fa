//! How a call over one connection fails, by what its client may do next.

use std::time::Duration;

use streamkit_protocol::v2::{CallError, Class, Code, Details};

use crate::error::Error;
use crate::terminal::{NOT_COMMITTED, without_wait};

/// Why a call over one connection has no result.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The server has certainly begun nothing of it: another connection may take it.
    NotBegun(String),
    /// The connection was lost while the call was under way.
    Lost(String),
    /// The server said nothing for as long as the client waits.
    Silent(Error),
    /// The server said why.
    Failed(CallError),
    /// It can never be made.
    Invalid(String),
    /// The server broke the rules.
    Protocol(String),
}

impl Fault {
    /// What a server broke.
    pub(crate) fn protocol(why: impl std::fmt::Display) -> Self {
        Self::Protocol(why.to_string())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotBegun(why) => Self::NotBegun(why),
            Fault::Lost(why) => Self::ConnectionLost(why),
            Fault::Silent(error) => error,
            Fault::Failed(error) => told(error),
            Fault::Invalid(why) => Self::Invalid(why),
            Fault::Protocol(why) => Self::Protocol(why),
        }
    }
}

/// What a server's error means.
fn told(error: CallError) -> Error {
    match (error.code, error.details()) {
        (Code::AccessDenied, _) => Error::AccessDenied,
        (Code::TooManyChannels, _) => Error::NotBegun(error.text),
        (Code::StoreUnavailable, _) if error.text == "store unavailable" => Error::NotBegun(error.text),
        (Code::Conflict, Ok(Details::Conflict(heads))) => {
            let entries = Vec::new();
            Error::Conflicts { heads, entries }
        }
        (Code::OtherRecords, Ok(Details::Position(position))) => Error::OtherRecords { position },
        (Code::FencedOff, Ok(Details::Token(token))) => Error::FencedOff { token: token.0 },
        (Code::Damaged, Ok(Details::Damaged(segments))) => {
            let why = error.text;
            Error::Damaged { segments, why }
        }
        (Code::OtherLog, _) => Error::OtherLog,
        (Code::NotThereYet, Ok(Details::Position(position))) => Error::NotThereYet { position },
        (Code::TooManyEntries, Ok(Details::Most(most))) => Error::TooManyEntries { most },
        _ => by_class(error),
    }
}

/// What is known of one with a code of which no more is.
fn by_class(error: CallError) -> Error {
    let after = Duration::from_millis(error.retry_after.into());
    match error.class {
        Class::Unknown => {
            let why = error.text.strip_prefix("the outcome is unknown: ");
            Error::Unknown(why.map_or(error.text.clone(), str::to_owned))
        }
        Class::Transient if !after.is_zero() => {
            let why = without_wait(&error.text).to_owned();
            Error::TryLater { why, after }
        }
        Class::Transient => Error::Unavailable(error.text),
        Class::Permanent => Error::Refused(error.text),
    }
}

impl Fault {
    /// The same of an append, of which a transient error says that nothing is stored, and so does that it can never be made.
    pub(crate) fn of_append(self) -> Error {
        if let Self::Failed(error) = &self
            && (error.code, error.class) == (Code::Invalid, Class::Permanent)
        {
            return Error::Invalid(error.text.clone());
        }
        match Error::from(self) {
            Error::Unavailable(why) => Error::Unavailable(format!("{NOT_COMMITTED}{why}")),
            error => error,
        }
    }
}

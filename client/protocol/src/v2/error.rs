//! Errors as they go over the wire: a code with typed details, whether to try again, and a text for people.

use std::time::Duration;

use bytes::Bytes;
use streamkit_record::Cursor;

use super::details::Details;
use super::malformed::Malformed;
use super::parts::{put_text16, text16};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// What went wrong. docs/PROTOCOL-V2.md says what each has beside its text.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)+
            /// One that this version does not know: its class and its text tell.
            Unknown(u16),
        }

        impl Code {
            /// All that have a name.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            fn of(code: u16) -> Self {
                match code {
                    $($code => Code::$name,)+
                    other => Code::Unknown(other),
                }
            }

            /// Its number on the wire.
            pub fn number(self) -> u16 {
                match self {
                    $(Code::$name => $code,)+
                    Code::Unknown(code) => code,
                }
            }
        }
    };
}

codes! {
    /// A frame against the rules.
    Protocol = 1,
    /// A feature is required that the peer does not have.
    UnknownFeature = 2,
    /// The session is over.
    TokenExpired = 3,
    /// The server stops.
    ShuttingDown = 4,
    /// The peer took, or sent, too little while others waited.
    TooSlow = 5,
    /// The token does not open the store, or not for this.
    AccessDenied = 16,
    /// The store does not open, or not now.
    StoreUnavailable = 17,
    /// There is no room just now.
    Overloaded = 18,
    /// Too many calls at a time.
    TooManyChannels = 19,
    /// The call asks for what can never be.
    Invalid = 20,
    /// A field is required that the server does not know.
    UnknownField = 21,
    /// The server does not know the verb.
    UnknownVerb = 22,
    /// Somebody deleted the store, for all servers and for ever.
    StoreDeleted = 23,
    /// A condition does not hold.
    Conflict = 32,
    /// The id of the transaction is that of one with other records.
    OtherRecords = 33,
    /// The lease was granted to another since, or given back.
    FencedOff = 34,
    /// The disk is full.
    DiskFull = 35,
    /// The store takes no writes now.
    NotWritable = 36,
    /// Nobody knows whether it is stored; the id tells.
    UnknownOutcome = 37,
    /// Stored bytes are not those that were written.
    Damaged = 48,
    /// What is asked for was trimmed or deleted meanwhile.
    Removed = 49,
    /// The cursor is of another log.
    OtherLog = 50,
    /// The store has not come to that position.
    NotThereYet = 51,
    /// More than one read may have.
    TooManyEntries = 52,
    /// A store has only so many.
    TooManyLeases = 64,
}

/// Whether to try again, and what is known meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Class {
    /// The same call meets the same again. Nothing is stored.
    Permanent = 1,
    /// It passes by itself. Nothing is stored.
    Transient = 2,
    /// It may be stored or not.
    Unknown = 3,
}

impl Class {
    fn of(code: u8) -> Result<Self, Malformed> {
        match code {
            1 => Ok(Self::Permanent),
            2 => Ok(Self::Transient),
            3 => Ok(Self::Unknown),
            _ => Err(Malformed("an error of an unknown class")),
        }
    }
}

/// How a call, or a connection, fails.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct CallError {
    /// What went wrong.
    pub code: Code,
    /// Whether to try again.
    pub class: Class,
    /// Milliseconds after which to try again; 0: unsaid.
    pub retry_after: u32,
    /// For people.
    pub text: String,
    /// What the code has beside that.
    pub details: Bytes,
}

impl CallError {
    /// One without details.
    pub fn new(code: Code, class: Class, text: impl Into<String>) -> Self {
        Self {
            code,
            class,
            retry_after: 0,
            text: text.into(),
            details: Bytes::new(),
        }
    }

    /// The same with what its code has beside its text.
    #[must_use]
    pub fn with(self, details: &Details) -> Self {
        let details = details.bytes();
        Self { details, ..self }
    }

    /// The same to be tried again after so long.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let retry_after = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Self { retry_after, ..self }
    }

    /// What its code has beside its text.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn details(&self) -> Result<Details, Malformed> {
        Details::decode(self.code, &self.details)
    }

    /// Writes it, at the end of a body.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.number().to_le_bytes());
        out.push(self.class as u8);
        out.extend_from_slice(&self.retry_after.to_le_bytes());
        put_text16(out, &self.text);
        out.extend_from_slice(&self.details);
    }

    /// Reads what is left of a body.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &Bytes) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let (code, class) = (Code::of(from.u16()?), Class::of(from.u8()?)?);
        let retry_after = from.u32()?;
        let text = text16(&mut from)?.to_owned();
        Ok(Self {
            code,
            class,
            retry_after,
            text,
            details: body.slice(from.at()..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_another_number_and_comes_back() {
        let mut numbers: Vec<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        for (code, &number) in Code::ALL.iter().zip(&numbers) {
            assert_eq!(Code::of(number), *code);
        }
        numbers.dedup();
        assert_eq!(numbers.len(), Code::ALL.len());
        assert_eq!(Code::of(9999), Code::Unknown(9999));
    }

    #[test]
    fn an_error_comes_out_as_it_was_put_in_and_cut_is_malformed() {
        let error = CallError {
            retry_after: 250,
            details: Bytes::from_static(b"more"),
            ..CallError::new(Code::Conflict, Class::Permanent, "expected 1, it is 2")
        };
        let mut out = Vec::new();
        error.put(&mut out);
        let out = Bytes::from(out);
        assert_eq!(CallError::decode(&out), Ok(error));
        for end in 0..out.len() - b"more".len() {
            assert!(CallError::decode(&out.slice(..end)).is_err(), "{end}");
        }
    }
}

//! Errors as they come, held against the document's table of codes.

use super::bytes::{Read, Reader};

/// What a code has beside its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Has {
    /// Nothing.
    Nothing,
    /// A name.
    Name,
    /// A `u8`.
    Byte,
    /// A `u64`.
    Number,
    /// Segments, each with its head.
    Heads,
    /// Segments.
    Segments,
    /// One segment.
    Segment,
}

/// A row of the document's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// Its class.
    pub class: u8,
    /// What it has.
    pub has: Has,
}

macro_rules! codes {
    ($($name:ident = $number:literal $text:literal $class:literal $has:ident,)+) => {
        $(
            #[doc = concat!("The error `", $text, "`.")]
            pub const $name: Code = Code { number: $number, name: $text, class: $class, has: Has::$has };
        )+
        /// The whole table.
        pub const CODES: &[Code] = &[$($name,)+];
    };
}

codes! {
    PROTOCOL = 1 "protocol" 1 Nothing,
    UNKNOWN_FEATURE = 2 "unknown_feature" 1 Name,
    TOKEN_EXPIRED = 3 "token_expired" 2 Nothing,
    SHUTTING_DOWN = 4 "shutting_down" 2 Nothing,
    TOO_SLOW = 5 "too_slow" 2 Nothing,
    ACCESS_DENIED = 16 "access_denied" 1 Nothing,
    STORE_UNAVAILABLE = 17 "store_unavailable" 2 Nothing,
    OVERLOADED = 18 "overloaded" 2 Nothing,
    TOO_MANY_CHANNELS = 19 "too_many_channels" 2 Nothing,
    INVALID = 20 "invalid" 1 Nothing,
    UNKNOWN_FIELD = 21 "unknown_field" 1 Name,
    UNKNOWN_VERB = 22 "unknown_verb" 1 Byte,
    STORE_DELETED = 23 "store_deleted" 1 Nothing,
    CONFLICT = 32 "conflict" 1 Heads,
    OTHER_RECORDS = 33 "other_records" 1 Number,
    FENCED_OFF = 34 "fenced_off" 1 Number,
    DISK_FULL = 35 "disk_full" 2 Nothing,
    NOT_WRITABLE = 36 "not_writable" 2 Nothing,
    UNKNOWN_OUTCOME = 37 "unknown_outcome" 3 Nothing,
    DAMAGED = 48 "damaged" 1 Segments,
    REMOVED = 49 "removed" 1 Segment,
    OTHER_LOG = 50 "other_log" 1 Nothing,
    NOT_THERE_YET = 51 "not_there_yet" 2 Number,
    TOO_MANY_ENTRIES = 52 "too_many_entries" 1 Number,
    TOO_MANY_LEASES = 64 "too_many_leases" 2 Nothing,
}

/// An error that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Which.
    pub code: Code,
    /// For people.
    pub text: String,
    /// The name that it has, if it does.
    pub name: String,
    /// The number that it has, if it does.
    pub number: u64,
    /// The segments that it has, each with its head if it has heads.
    pub segments: Vec<(String, String, u64)>,
}

impl Refused {
    /// Reads one; it is exactly as the table says, or no error at all.
    pub fn decode(body: &[u8]) -> Read<Self> {
        Self::read(body).map_err(|why| format!("an error that is not as the table says: {why}"))
    }

    fn read(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        let (number, class, _again_after, text) = (from.u16()?, from.u8()?, from.u32()?, from.text()?);
        let code = CODES.iter().find(|code| code.number == number);
        let code = *code.ok_or_else(|| format!("the code {number} is not in it ({text})"))?;
        if class != code.class {
            return Err(format!("{} ({text}) has class {class}", code.name));
        }
        let mut refused = Self {
            code,
            text,
            name: String::new(),
            number: 0,
            segments: Vec::new(),
        };
        match code.has {
            Has::Nothing => {}
            Has::Name => refused.name = from.text()?,
            Has::Byte => refused.number = from.u8()?.into(),
            Has::Number => refused.number = from.u64()?,
            Has::Segment => refused.segments.push((from.name()?, from.name()?, 0)),
            Has::Heads | Has::Segments => {
                for _ in 0..from.u16()? {
                    let (space, segment) = (from.name()?, from.name()?);
                    let head = if code.has == Has::Heads { from.u64()? } else { 0 };
                    refused.segments.push((space, segment, head));
                }
            }
        }
        from.end()?;
        Ok(refused)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.code.name, self.text)
    }
}

//! LexKey: keys that sort as bytes like the values they encode. One zero byte joins the parts, without tags or
//! escapes. On this wire only the space offset travels, as lower-case hex: the place where a reader of a space
//! continues.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

/// An encoded key. Empty means "from the start".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LexKey(pub Vec<u8>);

/// Why a text or key is malformed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LexKeyError {
    /// Not an even number of hex digits.
    #[error("a key is an even number of hex digits")]
    NotHex,
    /// Not `DAT/SPACES/space/timestamp/segment/sequence`.
    #[error("the key is no space offset")]
    NotASpaceOffset,
}

impl LexKey {
    /// Reads hex, in either letter case.
    ///
    /// # Errors
    /// [`LexKeyError::NotHex`].
    pub fn from_hex(text: &str) -> Result<Self, LexKeyError> {
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) {
            return Err(LexKeyError::NotHex);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(LexKeyError::NotHex);
        digits
            .chunks_exact(2)
            .map(|pair| Ok((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for LexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for LexKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LexKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        LexKey::from_hex(&text).map_err(de::Error::custom)
    }
}

/// The place of an entry in its space; reading continues strictly after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpaceOffset {
    /// The space.
    pub space: String,
    /// The entry's commit time, Unix milliseconds.
    pub timestamp: i64,
    /// Its segment.
    pub segment: String,
    /// Its sequence.
    pub sequence: u64,
}

const SPACE_PREFIX: &[u8] = b"DAT\0SPACES\0";

impl SpaceOffset {
    /// Encodes it, as a Go client does from an entry.
    pub fn encode(&self) -> LexKey {
        let mut out = SPACE_PREFIX.to_vec();
        out.extend_from_slice(self.space.as_bytes());
        out.push(0);
        out.extend_from_slice(&(self.timestamp ^ i64::MIN).to_be_bytes());
        out.push(0);
        out.extend_from_slice(self.segment.as_bytes());
        out.push(0);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        LexKey(out)
    }

    /// Decodes a key. Names hold no zero byte and numbers have a fixed length, so there is only one way.
    ///
    /// # Errors
    /// [`LexKeyError::NotASpaceOffset`].
    pub fn decode(key: &LexKey) -> Result<Self, LexKeyError> {
        Self::split(&key.0).ok_or(LexKeyError::NotASpaceOffset)
    }

    fn split(key: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(SPACE_PREFIX)?;
        let space_length = rest.iter().position(|byte| *byte == 0)?;
        let (space, rest) = rest.split_at(space_length);
        let (timestamp, rest) = rest.strip_prefix(b"\0")?.split_first_chunk::<8>()?;
        let (segment, sequence) = rest.strip_prefix(b"\0")?.split_last_chunk::<8>()?;
        let segment = segment.strip_suffix(b"\0")?;
        if space.is_empty() || segment.is_empty() || segment.contains(&0) {
            return None;
        }
        Some(Self {
            space: String::from_utf8(space.to_vec()).ok()?,
            timestamp: i64::from_be_bytes(*timestamp) ^ i64::MIN,
            segment: String::from_utf8(segment.to_vec()).ok()?,
            sequence: u64::from_be_bytes(*sequence),
        })
    }
}

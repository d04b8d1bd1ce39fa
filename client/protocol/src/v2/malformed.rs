//! Bytes that are not what their place demands.

use streamkit_record::FormatError;

/// The bytes are not what their place demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

impl Malformed {
    /// A message that holds no frames, since it is a text.
    pub fn text() -> Self {
        Self("a text where frames should be")
    }

    /// A frame that comes too early, too late, or twice.
    pub fn order() -> Self {
        Self("a frame out of order")
    }

    /// A frame that only the other side sends.
    pub fn side() -> Self {
        Self("a frame of the other side")
    }

    /// A frame beyond what its receiver allowed.
    pub fn credit() -> Self {
        Self("a frame without credit")
    }

    /// A ping or a pong of another size than its eight bytes.
    pub fn ping() -> Self {
        Self("a ping or a pong without 8 bytes")
    }

    /// A client that takes less than the largest frame there is.
    pub fn frame_bytes() -> Self {
        Self("a client that takes no frames of 32 MiB")
    }

    /// A compressed frame, of a side that was not asked for any.
    pub fn compression() -> Self {
        Self("a compressed frame, though not both sides have zstd")
    }
}

impl From<FormatError> for Malformed {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Invalid(why) => Self(why),
            _ => Self("it ends too early"),
        }
    }
}

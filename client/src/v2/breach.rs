//! How a server breaks the rules of the protocol.

use std::fmt;

use streamkit_protocol::v2::{FRAME_BYTES_MAX, Malformed};

/// What a server did against the rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Breach(String);

impl Breach {
    /// A frame of so many bytes, more than we said that we take.
    pub(super) fn too_large(bytes: usize) -> Self {
        Self(format!(
            "a frame of {bytes} bytes, and at most {FRAME_BYTES_MAX} are taken"
        ))
    }

    /// A field that it requires to be known, and that is not.
    pub(super) fn field(name: &str) -> Self {
        Self(format!(
            "a frame that requires the field {name:?}, which this client does not know"
        ))
    }

    /// A ping or pong without its eight bytes.
    pub(super) fn ping() -> Self {
        Self("a ping or pong that has not 8 bytes".to_owned())
    }

    /// A hello that allows no call.
    pub(super) fn no_calls() -> Self {
        Self("a hello that allows no calls".to_owned())
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Malformed> for Breach {
    fn from(malformed: Malformed) -> Self {
        Self(malformed.to_string())
    }
}

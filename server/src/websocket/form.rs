//! What the messages of a connection are.

use crate::limits::{BINARY_FRAME_BYTES_MAX, FRAME_BYTES_MAX};

/// What the messages of a connection are, in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Texts; what comes may be binary all the same.
    Text,
    /// Binary alone.
    Binary,
}

impl Form {
    /// Largest one that a peer may send.
    pub(super) fn bytes_max(self) -> usize {
        match self {
            Form::Text => FRAME_BYTES_MAX,
            Form::Binary => BINARY_FRAME_BYTES_MAX,
        }
    }
}

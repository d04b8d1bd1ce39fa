//! The Streamkit wire protocol, version 2 (docs/PROTOCOL-V2.md): binary frames with flow control, and records as they stand in the log.
//!
//! ```text
//! WebSocket binary message = frames, one after another     frame.rs    head, fields.rs, body
//!   of the connection: hello, ping, credit, goaway         connection.rs
//!   of a channel: a call                                   call.rs     verb, store, what the verb asks
//!   its messages, its result, or an error                  error.rs
//! ```
//!
//! Any input may come from a stranger: decoding returns [`Malformed`] and never panics.

mod append;
mod batch;
mod call;
mod connection;
mod error;
#[cfg(test)]
mod examples_tests;
mod fields;
mod frame;
mod parts;
mod read;

pub use append::{Append, Appended, Condition, Durability, Expected};
pub use batch::{Batches, put_excerpt, put_whole};
pub use call::{Call, Lease, LeaseChange, Leased, Segments, Subscribe, Within, put_status, statuses};
pub use connection::{Credit, GoAway, Hello};
pub use error::{CallError, Class, Code};
pub use fields::{Field, Fields, TRACE, Trace};
pub use frame::{FRAME_BYTES_MAX, Frame, HEAD_BYTES, Kind, frame};

pub use read::{Filter, Follow, Followed, LogCursor, Read, Source};
use streamkit_record::FormatError;

/// The subprotocol of the WebSocket.
pub const SUBPROTOCOL: &str = "streamkit.v2";

/// The bytes are not what their place demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

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

    /// A feature that is required and not known.
    pub fn feature() -> Self {
        Self("a required feature that is not known")
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

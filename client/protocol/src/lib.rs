//! The Streamkit wire protocol, version 1: mux frames, their messages, and LexKey. Bytes in, values out, and back: no
//! sockets, no clock, no tasks. docs/PROTOCOL.md describes the conversations; this crate defines each message.
//!
//! ```text
//! WebSocket text frame = one mux frame        frame.rs     {"ControlType","store_id","channel_id","payload"}
//!   payload of a data frame = one message
//!     the first of a channel: a request       request.rs   {"$type","content"}      envelope.rs
//!     then bare messages                      record.rs, entry.rs, status.rs, lease.rs
//!     the last: a terminal                    terminal.rs  {"type":"mux::close"[,"err"]}
//! ```
//!
//! Any input may come from a stranger: decoding returns errors and never panics.

mod base64;
mod entry;
mod envelope;
mod frame;
mod lease;
mod lexkey;
pub mod limits;
mod object;
mod record;
mod request;
mod status;
mod terminal;
pub mod v2;
mod workers;

pub use base64::Payload;
pub use entry::{Entry, EntryRef, Trx};
pub use envelope::{EnvelopeError, encode_envelope};
pub use frame::{Control, Frame, FrameError, FrameHead, TraceContext};
pub use lease::LeaseResult;
pub use lexkey::{LexKey, LexKeyError, SpaceOffset};
pub use record::{Metadata, Record, RecordRef};
pub use request::{
    Consume, ConsumeSegment, ConsumeSpace, Delete, GetSegments, GetSpaces, GetStatus, LeaseAcquire, LeaseRelease, Peek,
    Produce, Request, SubscribeToSegmentStatus, SubscribeWorkers, Trim,
};
pub use status::{SegmentStatus, Status};
pub use terminal::Terminal;
pub use workers::{Presence, Worker, WorkerInventory, WorkerMessage};

/// The header with which a peer declares its frames [`FRAMES_IN_ORDER`]: an addition. A server that does so also ends each channel that it
/// has begun before it says that the connection ends, so that it has begun nothing of one without an end.
pub const FRAMES_HEADER: &str = "streamkit-frames";

/// No frame overtakes another. The server then waits for nothing that an end, or a record, could have overtaken.
pub const FRAMES_IN_ORDER: &str = "in-order";

/// The bytes are not the expected message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MessageError(pub(crate) String);

impl From<serde_json::Error> for MessageError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

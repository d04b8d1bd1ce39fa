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
mod compression;
mod connection;
mod details;
mod error;
#[cfg(test)]
mod examples_tests;
mod fields;
mod frame;
mod malformed;
mod parts;
mod read;
mod told;
mod totals;
mod workers;

pub use append::{Append, Appended, Durability};
pub use batch::{Batches, put_excerpt, put_whole};
pub use call::{Call, Lease, LeaseChange, Leased, Segments, Subscribe, Within, names, put_name, put_status, statuses};
pub use compression::ZSTD;
pub use connection::{Credit, GoAway, Hello};
pub use details::Details;
pub use error::{CallError, Class, Code};
pub use fields::{Field, Fields, TRACE, Trace};
pub use frame::{FRAME_BYTES_MAX, Frame, HEAD_BYTES, Kind, frame, pack_frame};
pub use malformed::Malformed;
pub use read::{Follow, PARTS_MAX, Read};
pub use told::{ReadBatch, ReadDone, Told};
pub use totals::Totals;
pub use workers::{OwnWorker, SignOfLife, Worker, Workers, WorkersTold};

/// The subprotocol of the WebSocket.
pub const SUBPROTOCOL: &str = "streamkit.v2";

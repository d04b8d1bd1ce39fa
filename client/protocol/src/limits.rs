//! The protocol's numbers, each with one name. They come from the deployed Go implementation, which enforces them on
//! its side.

use std::time::Duration;

/// Largest WebSocket frame a Go peer accepts.
pub const PEER_FRAME_BYTES_MAX: usize = 8 << 20;

/// Largest message (decoded payload) a Go peer accepts.
pub const PEER_MESSAGE_BYTES_MAX: usize = 6 << 20;

/// Largest frame we accept: enough for any frame of a Go sender, with its trace context.
pub const FRAME_BYTES_MAX: usize = 9 << 20;

/// Bytes of a data frame around its base64 payload, without trace context.
pub const FRAME_OVERHEAD_BYTES: usize = 137;

/// Largest message we send: its frame still fits [`PEER_FRAME_BYTES_MAX`].
pub const MESSAGE_BYTES_MAX: usize = (PEER_FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES) / 4 * 3;

/// Largest request a server takes: offsets of some thousand spaces fit. Records and entries have limits of their own.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Records after which a produce is committed without waiting for more: one commit, one status.
pub const CHUNK_RECORDS_MAX: usize = 10_000;

/// Records a producer may be ahead of the last status. A server may hold back its status until it has seen one record
/// more than [`CHUNK_RECORDS_MAX`]; a Go server overflows at about 16 000.
pub const PRODUCE_WINDOW_RECORDS: u64 = 15_000;

/// Earliest time between two mux pings.
pub const PING_PERIOD_MIN: Duration = Duration::from_secs(25);

/// Latest time between two mux pings.
pub const PING_PERIOD_MAX: Duration = Duration::from_secs(30);

/// Silence after which a link is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(90);

const _: () = assert!(MESSAGE_BYTES_MAX <= PEER_MESSAGE_BYTES_MAX);
const _: () = assert!(PRODUCE_WINDOW_RECORDS > CHUNK_RECORDS_MAX as u64);
const _: () = assert!(PEER_MESSAGE_BYTES_MAX / 3 * 4 + FRAME_OVERHEAD_BYTES < FRAME_BYTES_MAX);

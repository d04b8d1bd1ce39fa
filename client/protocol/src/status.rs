//! How far a segment, a space or a store is.

use serde::Serialize;

use crate::MessageError;
use crate::object::object;

/// A segment's range: what a produce is acknowledged with, and what a subscription sends.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct SegmentStatus {
    /// The space.
    pub space: String,
    /// The segment.
    pub segment: String,
    /// First sequence.
    pub first_sequence: u64,
    /// When the first entry was committed, Unix milliseconds.
    pub first_timestamp: i64,
    /// The head.
    pub last_sequence: u64,
    /// When the head was committed, Unix milliseconds.
    pub last_timestamp: i64,
    /// No news, only a sign of life.
    pub heartbeat: bool,
}

object!(SegmentStatus {
    "space" => space,
    "segment" => segment,
    "first_sequence" => first_sequence,
    "first_timestamp" => first_timestamp,
    "last_sequence" => last_sequence,
    "last_timestamp" => last_timestamp,
    "heartbeat" => heartbeat,
});

impl SegmentStatus {
    /// Reads one.
    ///
    /// # Errors
    /// [`MessageError`]: not an object, or a field of the wrong type.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        Ok(serde_json::from_slice(message)?)
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The answer to `get_status`, an addition to what Go servers know: counts of a store, a space or a segment.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Status {
    /// The space asked for; empty for the whole store.
    pub space: String,
    /// The segment asked for; empty for all.
    pub segment: String,
    /// Spaces counted.
    pub space_count: u64,
    /// Segments counted.
    pub segment_count: u64,
    /// Readable entries counted.
    pub entry_count: u64,
    /// First readable sequence, of one segment only.
    pub first_sequence: u64,
    /// When that was committed.
    pub first_timestamp: i64,
    /// The head, of one segment only.
    pub last_sequence: u64,
    /// When the newest entry was committed.
    pub last_timestamp: i64,
}

object!(Status {
    "space" => space,
    "segment" => segment,
    "space_count" => space_count,
    "segment_count" => segment_count,
    "entry_count" => entry_count,
    "first_sequence" => first_sequence,
    "first_timestamp" => first_timestamp,
    "last_sequence" => last_sequence,
    "last_timestamp" => last_timestamp,
});

impl Status {
    /// Reads one.
    ///
    /// # Errors
    /// [`MessageError`]: not an object, or a field of the wrong type.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        Ok(serde_json::from_slice(message)?)
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

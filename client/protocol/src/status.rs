//! The status of a segment, a space or a store.

use serde::Serialize;

use crate::MessageError;
use crate::object::object;

/// A segment's range. It acknowledges a produce, and a subscription sends it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct SegmentStatus {
    /// The space.
    pub space: String,
    /// The segment.
    pub segment: String,
    /// First sequence.
    pub first_sequence: u64,
    /// Commit time of the first entry, Unix milliseconds.
    pub first_timestamp: i64,
    /// The head.
    pub last_sequence: u64,
    /// Commit time of the head, Unix milliseconds.
    pub last_timestamp: i64,
    /// Only a sign of life, without news.
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

/// The answer to `get_status`, an addition that Go servers do not know: counts of a store, a space or a segment.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Status {
    /// The requested space; empty for the whole store.
    pub space: String,
    /// The requested segment; empty for all.
    pub segment: String,
    /// Spaces counted.
    pub space_count: u64,
    /// Segments counted.
    pub segment_count: u64,
    /// Readable entries counted.
    pub entry_count: u64,
    /// First readable sequence, only for a segment.
    pub first_sequence: u64,
    /// Its commit time.
    pub first_timestamp: i64,
    /// The head, only for a segment.
    pub last_sequence: u64,
    /// Commit time of the newest entry.
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

//! The words of the domain as types: names, numbers, records and entries. Nothing here knows bytes on disk or on a wire.

mod lease;
mod metadata;
mod names;
mod transaction;

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

pub use lease::{Fence, FencingToken, InvalidLease, Lease};
pub use metadata::Metadata;
pub use names::{Name, NameError, SegmentPath};
pub use transaction::{InvalidTransaction, Record, SegmentAppend, Transaction};

/// A store's identity: one tenant's unit of isolation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StoreId(pub Uuid);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 1-based dense number of an entry in its segment. Zero stands for "before the first", as a head: an empty segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence of a segment's first entry.
    pub const FIRST: Sequence = Sequence(1);

    /// The sequence after this one. Saturates at `u64::MAX`, which no segment reaches.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Unix time in milliseconds. Given to a transaction at commit; never goes backwards within a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp(pub i64);

/// Where something stands in a store's log. Ordered as the log is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct LogPosition {
    /// Number of the extent, from 1.
    pub extent: u64,
    /// Byte in that extent.
    pub byte: u32,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extent {} byte {}", self.extent, self.byte)
    }
}

/// How far a store's durable tail has come. It only grows; what it counts is the medium's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct TailMark(u128);

impl TailMark {
    /// For whoever implements a store.
    pub fn new(mark: u128) -> Self {
        Self(mark)
    }
}

impl From<LogPosition> for TailMark {
    fn from(position: LogPosition) -> Self {
        Self(u128::from(position.extent) << 32 | u128::from(position.byte))
    }
}

impl LogPosition {
    /// Of a mark that a store on a local disk gave.
    pub fn of_local(mark: TailMark) -> Self {
        Self {
            extent: (mark.0 >> 32) as u64,
            byte: mark.0 as u32,
        }
    }
}

/// What a transaction is known by: all its entries carry it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trx {
    /// The producer's id.
    pub id: Uuid,
    /// The node that committed it; nil in a store of one host.
    pub node: Uuid,
    /// Strictly increasing within the store, from 1.
    pub number: u64,
}

/// What a reader gets back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The segment it stands in.
    pub path: SegmentPath,
    /// Its number there.
    pub sequence: Sequence,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// The transaction it came with.
    pub trx: Trx,
    /// The event.
    pub payload: Bytes,
    /// Text by text.
    pub metadata: Metadata,
}

/// The readable range of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentStatus {
    /// The segment.
    pub path: SegmentPath,
    /// First readable sequence: 1 unless trimmed.
    pub first_sequence: Sequence,
    /// When the first readable entry was committed.
    pub first_timestamp: Timestamp,
    /// The head.
    pub last_sequence: Sequence,
    /// When the head was committed.
    pub last_timestamp: Timestamp,
}

/// What a commit says of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The transaction's identity.
    pub trx: Trx,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// The segments right after it, in the transaction's order. The `last_sequence` of each is the last record of this
    /// transaction, whatever was committed since.
    pub segments: Vec<SegmentStatus>,
}

/// How much a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStatus {
    /// Spaces with at least one segment.
    pub space_count: u64,
    /// Segments.
    pub segment_count: u64,
    /// Readable entries.
    pub entry_count: u64,
    /// When the newest transaction was committed; 0 in an empty store.
    pub last_timestamp: Timestamp,
}

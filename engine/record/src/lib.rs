//! What the engine and everything that speaks with it have in common: names, numbers, records and entries, and how a transaction stands in
//! the log (docs/FORMAT.md), which is also how it goes over the wire. Bytes in, values out, and back: no I/O, no clock, no tasks.
//! Decoders take any bytes, never panic, and never allocate past their input.

mod condition;
mod cursor;
mod filter;
mod lease;
pub mod limits;
mod log_cursor;
mod metadata;
mod names;
mod record;
mod source;
pub mod transaction;

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

pub use condition::{Condition, Expected};
pub use cursor::{Cursor, FormatError};
pub use filter::Filter;
pub use lease::{Fence, FencingToken, InvalidLease, Lease};
pub use log_cursor::LogCursor;
pub use metadata::Metadata;
pub use names::{Name, NameError, SegmentPath};
pub use record::{InvalidTransaction, Record, SegmentAppend, Transaction};
pub use source::{ReadSource, Wanted};

/// A store's identity: one tenant's unit of isolation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StoreId(pub Uuid);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an entry in its segment: 1, 2, 3 … without holes. As a head, 0 means an empty segment.
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

/// Unix time in milliseconds. A transaction gets its time at commit; times never go backwards in a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp(pub i64);

/// A place in a store's log. Positions order like the log.
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

/// How far a store's durable tail has come. It only grows; the medium defines its unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct TailMark(u128);

impl TailMark {
    /// For implementers of a store.
    pub fn new(mark: u128) -> Self {
        Self(mark)
    }

    /// The number that it was made of. Only hosts of one store have the same of the same.
    pub fn get(self) -> u128 {
        self.0
    }
}

impl From<LogPosition> for TailMark {
    fn from(position: LogPosition) -> Self {
        Self(u128::from(position.extent) << 32 | u128::from(position.byte))
    }
}

impl LogPosition {
    /// The position of a mark from a store on a local disk.
    pub fn of_local(mark: TailMark) -> Self {
        Self {
            extent: (mark.0 >> 32) as u64,
            byte: mark.0 as u32,
        }
    }
}

/// The identity of a transaction; all its entries carry it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trx {
    /// The producer's id.
    pub id: Uuid,
    /// The node that committed it; nil in a store of one host.
    pub node: Uuid,
    /// Strictly increasing within the store, from 1.
    pub number: u64,
}

/// A stored record, as a reader gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its segment.
    pub path: SegmentPath,
    /// Its number in the segment.
    pub sequence: Sequence,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// Its transaction.
    pub trx: Trx,
    /// The event.
    pub payload: Bytes,
    /// The producer's metadata.
    pub metadata: Metadata,
}

/// The readable range of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentStatus {
    /// The segment.
    pub path: SegmentPath,
    /// First readable sequence: 1 unless trimmed.
    pub first_sequence: Sequence,
    /// The commit time of the first readable entry.
    pub first_timestamp: Timestamp,
    /// The head.
    pub last_sequence: Sequence,
    /// The commit time of the head.
    pub last_timestamp: Timestamp,
}

/// The result of a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The transaction's identity.
    pub trx: Trx,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// The segments right after the commit, in the transaction's order. The `last_sequence` of each is the last record
    /// of this transaction, even if more was committed since; its first stands as many before as the transaction has.
    pub segments: Vec<SegmentStatus>,
    /// It was stored before: this answers its repetition.
    pub was_there: bool,
}

/// Counts of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStatus {
    /// Spaces with at least one segment.
    pub space_count: u64,
    /// Segments.
    pub segment_count: u64,
    /// Readable entries.
    pub entry_count: u64,
    /// The commit time of the newest transaction; 0 in an empty store.
    pub last_timestamp: Timestamp,
}

//! Streamkit's engine: ordered event streams in an append-only log, durable before they are acknowledged.
//!
//! A **store** holds **spaces**, a space holds **segments**, a segment holds **entries** numbered 1, 2, 3 … A producer
//! appends a **transaction**, which becomes durable and visible as a whole, or not at all. A store is one log for all
//! its segments: a row of **extents**, each with an index file beside it once it is sealed.
//!
//! ```text
//!  append ─▶ queue ────────▶ select ───────▶ group ───────▶ durable write ─▶ catalog ─▶ acknowledge
//!  store/    commit/queue    commit/select   commit/group   disk/            index/     commit/group
//!
//!  read ───▶ catalog and indexes (where) ─▶ window (read, check) ─▶ entries
//!  store/    log/locate, index/             log/window              read/
//!
//!  open ───▶ checkpoint ───────▶ walk the groups after it ─▶ verdict (end, cut, refuse)
//!  engine/   index/checkpoint    log/replay, log/walk        log/verdict
//! ```
//!
//! **Write path.** [`Store::append`] checks the limits, encodes the transaction on the caller's thread and queues it.
//! One committer per store at a time takes the queue, checks each transaction's sequences against the heads, and
//! writes those that fit as one group, with one durable write. Then it makes the group visible and answers its
//! producers. Transactions queued meanwhile form the next groups; a few groups may be under way at a time. A producer
//! that loses a conflict learns a head only once that head is durable. The committer is an I/O thread that keeps
//! writes of many stores under way, a commit thread, or the caller of [`LocalStore::append_blocking`] itself. Where a log
//! elsewhere orders the transactions, a [`Replica`] lands them as they are.
//!
//! **Read path.** A reader looks up runs (the places of a segment's or space's sections), reads them in large pieces
//! where they stand close together, checks each transaction's checksum, and hands out entries that share the bytes
//! read. While somebody follows the durable tail, the latest commits stay in memory.
//!
//! **Opening** compares headers, index files and the last checkpoint, and reads the log from the header of the
//! checkpoint's extent on. If the files contradict each other, the engine refuses the store. The first group that is
//! not whole is either damage, and the engine refuses the store, or a write torn before it was acknowledged, and the
//! engine cuts it.
//!
//! The engine knows no network, protocol or environment variable, and touches files only in [`disk`].
//!
//! ```
//! use streamkit_engine::*;
//! # let runtime = tokio::runtime::Runtime::new().unwrap();
//! # let dir = tempfile::tempdir().unwrap();
//! # runtime.block_on(async {
//! let engine = Engine::open(EngineConfig::new(dir.path()))?;
//! let store = engine.store(StoreId(uuid::Uuid::from_u128(1))).await?;
//! let order = SegmentPath::new("orders", "order-1")?;
//! store.append(Transaction::single(order.clone(), Sequence::FIRST, vec![Record::new("placed")])).await?;
//! let last = store.peek(&order).await?.expect("just appended");
//! assert_eq!(last.payload, "placed");
//! engine.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

/// Sealed files of stores that stand in an archive, and are on the disk as a cache.
pub mod archive {
    pub use crate::directory::archived::{Archive, ArchivedDisk, FetchError};
    pub use crate::format::archive::{ArchivedExtent, ArchivedFile, FilePart, Snapshot};
}
pub mod backup;
pub mod boundary;
/// Facts that tools of other crates read from a checkpoint's bytes.
pub mod checkpoint {
    pub use crate::index::checkpoint::{last_transaction, position};
}
pub mod clock;
mod commit;
mod config;
mod directory;
pub mod disk;
pub mod doctor;
mod engine;
mod error;
pub mod format;
mod index;
pub mod limits;
mod log;
mod offline;
mod read;
mod runtime;
#[cfg(all(test, feature = "schedules"))]
mod schedules;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod store;
#[cfg(test)]
mod tests;

pub use boundary::pieces::{Excerpt, Piece, PieceBatch, PieceReader, PiecesRead};
pub use boundary::{Changes, EntryReader, SegmentRead, SpaceCursor, SpacesRead, Store, Stores, TimeRange};

pub use config::{CommitMethod, EngineConfig, QUEUE_DEADLINE_MAX, QUEUE_DEADLINE_MIN};
pub use engine::Engine;
pub use error::{
    AppendError, Busy, Conflict, DamagedPlace, FullQueue, Gone, OpenError, ReadError, Rejection, SegmentsHit,
    StorageError,
};
pub use offline::at_least::{AtLeast, Missing, verify_at_least_on};
pub use offline::hex::HexLine;
pub use offline::inspect::{
    InspectQuery, InspectedExtent, InspectedGroup, InspectedSection, InspectedSegment, InspectedTransaction,
    Inspection, inspect_hex_on, inspect_on, stores_on,
};
pub use offline::repair::{Keep, RepairOptions, RepairReport, StoreRepair, repair_on};
pub use offline::verify::{StoreReport, VerifyReport, verify, verify_on};
pub use offline::{Damage, OfflineProgress, SequenceRange};
pub use runtime::dice::Dice;
pub use runtime::stepper::Stepper;
pub use store::LocalStore;
pub use store::admission::{Admission, Landed, Plan};
pub use store::proposal::Proposal;
pub use store::replica::{LastTransaction, Replica};
pub use streamkit_record::{
    Committed, Condition, Entry, Expected, Fence, FencingToken, Filter, InvalidLease, InvalidTransaction, Lease,
    LogCursor, LogPosition, Metadata, Name, NameError, ReadSource, Record, SegmentAppend, SegmentPath, SegmentStatus,
    Sequence, StoreId, StoreStatus, TailMark, Timestamp, Transaction, Trx, Wanted,
};

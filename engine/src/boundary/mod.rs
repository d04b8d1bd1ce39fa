//! The boundary between a store and its server: everything the server asks of storage, and nothing about files.
//! [`crate::LocalStore`] implements it on a local disk; a store on another medium may do so too. The crate
//! `engine/conformance` tests any implementation against these traits.

pub mod backup;
pub mod figures;
pub mod pieces;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use self::pieces::{PieceReader, PiecesRead};
use crate::error::{AppendError, OpenError, ReadError, Rejection};
use streamkit_record::{
    Committed, Entry, Lease, LogCursor, Name, Record, SegmentPath, SegmentStatus, Sequence, StoreId, StoreStatus,
    TailMark, Timestamp, Transaction,
};

/// A read of one segment, in sequence order.
#[derive(Clone, Debug)]
pub struct SegmentRead {
    /// The segment.
    pub path: SegmentPath,
    /// First sequence, inclusive; below the first readable one it means that one.
    pub from: Sequence,
    /// Last sequence, inclusive.
    pub to: Sequence,
    /// Which commit times pass.
    pub time: TimeRange,
    /// Most entries to return.
    pub limit: u64,
}

impl SegmentRead {
    /// The whole segment.
    pub fn all(path: SegmentPath) -> Self {
        Self {
            path,
            from: Sequence::FIRST,
            to: Sequence(u64::MAX),
            time: TimeRange::ALL,
            limit: u64::MAX,
        }
    }
}

/// Commit times strictly after `after` and up to `until`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeRange {
    /// Exclusive lower bound.
    pub after: Timestamp,
    /// Inclusive upper bound.
    pub until: Timestamp,
}

impl TimeRange {
    /// Every time.
    pub const ALL: TimeRange = TimeRange {
        after: Timestamp(i64::MIN),
        until: Timestamp(i64::MAX),
    };

    /// Whether a commit time passes.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.after < time && time <= self.until
    }
}

/// The last entry that a reader of a space has seen. Reading continues strictly after it in log order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpaceCursor {
    /// That entry's commit time.
    pub timestamp: Timestamp,
    /// Its segment.
    pub segment: Name,
    /// Its sequence.
    pub sequence: Sequence,
}

/// A read of some spaces, in log order.
#[derive(Clone, Debug)]
pub struct SpacesRead {
    /// The spaces, each with the cursor to continue from (`None`: the start).
    pub spaces: BTreeMap<Name, Option<SpaceCursor>>,
    /// Which commit times pass.
    pub time: TimeRange,
    /// Most entries to return, over all spaces.
    pub limit: u64,
}

/// A running read of a snapshot. It ends at the head (for spaces, the tail) of one moment between when it was made and its first batch.
#[async_trait]
pub trait EntryReader: Send {
    /// The next entries in order, never an empty batch; `None` at the end. A batch holds about 256 KiB, or one
    /// transaction if a record is larger, so a slow reader holds no more than that.
    ///
    /// # Errors
    /// [`ReadError`]; every later call fails too.
    ///
    /// # Cancel safety
    /// Dropping the future may lose a batch; every later call then fails with [`crate::StorageError::Interrupted`].
    async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError>;
}

/// What changed in a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// Everything before it is told. To ask from here on misses nothing.
    pub until: TailMark,
    /// The segments that were extended, in no order. `None`: too many, or too long ago to tell; any may be.
    pub segments: Option<Vec<SegmentStatus>>,
}

/// One tenant's ordered streams.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Its identity.
    fn id(&self) -> StoreId;

    /// Commits a transaction.
    ///
    /// # Durability
    /// When it returns `Ok`, all of the transaction survives power loss (docs/DURABILITY.md) and every later read sees it.
    ///
    /// # Errors
    /// [`AppendError::Rejected`]: nothing was written; [`AppendError::Indeterminate`]: unknown.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the transaction back.
    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError>;

    /// Commits records after the current head of a segment, as one transaction. After a conflict it tries again at the
    /// new head. Whenever one producer loses, another has won, so each gets its turn.
    ///
    /// # Durability, errors, cancel safety
    /// As [`Store::append`], but never [`crate::Rejection::Conflict`].
    async fn publish(&self, path: &SegmentPath, records: Vec<Record>) -> Result<Committed, AppendError> {
        // Where the head cannot be read, the conflict with sequence 1 tells it.
        let status = self.segment_status(path).await.ok().flatten();
        let mut first = status.map_or(Sequence::FIRST, |status| status.last_sequence.next());
        loop {
            let transaction = Transaction::single(path.clone(), first, records.clone());
            match self.append(transaction).await {
                Err(AppendError::Rejected(Rejection::Conflict { head, .. })) => first = head.next(),
                done => return done,
            }
        }
    }

    /// Raises the first readable sequence of a segment; the head always stays readable. Durable like an append.
    ///
    /// # Errors
    /// As [`Store::append`]; [`crate::Rejection::NoSuchSequence`] if `first` is beyond the head. A trim below an
    /// earlier one changes nothing and succeeds.
    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError>;

    /// Deletes a segment with all its entries. A later append starts again at sequence 1. Durable like an append.
    ///
    /// # Errors
    /// As [`Store::append`]; [`crate::Rejection::NoSuchSequence`] if there is no such segment.
    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError>;

    /// Grants a lease for `ttl` under a fencing token larger than all before. If the same holder asks while the lease
    /// lasts, renews it under the same token. `None`: another holds it. A lease ends when it is released or not
    /// renewed for `ttl`. The store counts from the moment the grant or renewal is durable, and anew from each
    /// restart, so a lease never ends early. A holder should count from before it asked.
    ///
    /// # Durability, cancel safety
    /// As [`Store::append`]. If the outcome is unknown, asking again as the same holder tells.
    ///
    /// # Errors
    /// As [`Store::append`]; [`Rejection::InvalidLease`], [`Rejection::TooManyLeases`].
    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError>;

    /// Renews a lease for `ttl` from now. `None`: this holder does not hold it, or it has run out.
    ///
    /// # Durability, errors, cancel safety
    /// As [`Store::acquire_lease`].
    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError>;

    /// Ends a lease, even one that has run out, and returns it. `None`: it does not belong to this holder.
    ///
    /// # Durability, errors, cancel safety
    /// As [`Store::acquire_lease`].
    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError>;

    /// The lease of a key, if somebody holds it now.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn lease(&self, key: &Name) -> Result<Option<Lease>, ReadError>;

    /// The last entry of a segment; `None` if there is no such segment.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn peek(&self, path: &SegmentPath) -> Result<Option<Entry>, ReadError>;

    /// Reads a segment in sequence order.
    fn read_segment(&self, read: SegmentRead) -> Box<dyn EntryReader>;

    /// Reads spaces in log order, which is the order in which entries became visible.
    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader>;

    /// Reads a segment, or any mix of segments and spaces in log order, as the bytes of transactions.
    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader>;

    /// The place behind all that is durable now, for a read of what is committed from here on; empty where nothing ever was.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn tail_cursor(&self) -> Result<LogCursor, ReadError>;

    /// The number of the newest durable transaction, 0 before there is one. A read that begins now sees it and all before it. It is
    /// there before [`Store::durable_tail`] tells of that transaction. Waits for nothing.
    fn position(&self) -> u64;

    /// Waits until all is here that was durable when this was called, by whichever process. A store of one process alone has it at all times.
    ///
    /// # Errors
    /// [`ReadError`]: it may not be.
    async fn catch_up(&self) -> Result<(), ReadError> {
        Ok(())
    }

    /// The spaces with at least one segment, sorted by bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn spaces(&self) -> Result<Vec<Name>, ReadError>;

    /// A page of a space's segments, sorted by bytes: those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn segments(&self, space: &Name, after: Bound<Name>, limit: usize) -> Result<Vec<SegmentStatus>, ReadError>;

    /// One segment's readable range; `None` if there is no such segment.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn segment_status(&self, path: &SegmentPath) -> Result<Option<SegmentStatus>, ReadError>;

    /// Counts of the store.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn status(&self) -> Result<StoreStatus, ReadError>;

    /// Follows the durable tail: the value changes whenever a commit becomes visible. To follow it keeps no store open. One that was
    /// closed at rest goes on with the same tail when it is opened again, by whomever; one that does not open any more, or turns out
    /// to be another, ends it.
    fn durable_tail(&self) -> watch::Receiver<TailMark>;

    /// Which segments commits have extended since the durable tail stood at `mark`, each with its status now. A segment that was
    /// deleted since is not among them.
    ///
    /// A store may answer that it does not know, which is what this default does.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn changed_since(&self, _mark: TailMark) -> Result<Changes, ReadError> {
        Ok(Changes {
            until: *self.durable_tail().borrow(),
            segments: None,
        })
    }

    /// `Ok` while the store accepts writes.
    ///
    /// # Errors
    /// The reason why it does not.
    fn writable(&self) -> Result<(), crate::StorageError>;

    /// How this store's commits reach the medium; [`Stores::commit_method`] tells the same of all stores.
    fn commit_method(&self) -> Option<&'static str> {
        None
    }
}

/// Many stores.
#[async_trait]
pub trait Stores: Send + Sync + 'static {
    /// Opens a store, or returns the open one. A store that was never written to reads as empty and takes no disk
    /// space until its first append.
    ///
    /// # Errors
    /// [`OpenError`].
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError>;

    /// Opens a store for reading only. A store that was never written to then costs nothing and is not kept: the
    /// returned one stays empty and takes no writes.
    ///
    /// # Errors
    /// [`OpenError`].
    async fn store_to_read(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        self.store(id).await
    }

    /// How commits reach the medium, in a word for people, if there is more than one way; `status` and `/readyz` show
    /// it. `None`: nothing to tell.
    fn commit_method(&self) -> Option<&'static str> {
        None
    }

    /// The source of a backup while the stores are in use. `None`: this storage has none.
    fn backup(&self) -> Option<Arc<dyn self::backup::Source>> {
        None
    }

    /// Bytes of transactions that wait for the medium or are under way to it, in all stores. `None`: this storage has
    /// no queue.
    fn queued_bytes(&self) -> Option<usize> {
        None
    }

    /// What was counted since storage was opened, and what is so now; `/metrics` shows it. Waits for nothing. `None`: this
    /// storage counts nothing.
    fn figures(&self) -> Option<self::figures::Figures> {
        None
    }

    /// The open store whose last commit is furthest ahead of the clock, and by how much, if by more than a second.
    /// Until the clock has caught up, all commits to that store get one commit time.
    fn clock_behind(&self) -> Option<(StoreId, std::time::Duration)> {
        None
    }

    /// `Ok` while storage is usable; `/readyz` shows this.
    ///
    /// # Errors
    /// The reason why not; of several stores, that of the first by id.
    fn ready(&self) -> Result<(), crate::StorageError>;

    /// Finishes queued requests, writes checkpoints and releases the directory. Stores refuse writes afterwards.
    async fn close(&self);
}

//! The boundary between a store and whatever serves it: everything the server asks of storage, and nothing about files.
//! A store on a local disk ([`crate::LocalStore`]) implements it; so may one on another medium. `tests/suite` holds the
//! conformance suite, written against these two traits alone.

pub mod backup;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::{AppendError, OpenError, ReadError, Rejection};
use crate::model::{
    Committed, Entry, Lease, Name, Record, SegmentPath, SegmentStatus, Sequence, StoreId, StoreStatus, TailMark,
    Timestamp, Transaction,
};

/// Which entries of one segment to read, in sequence order.
#[derive(Clone, Debug)]
pub struct SegmentRead {
    /// The segment.
    pub path: SegmentPath,
    /// First sequence, inclusive; anything below the first readable one means that one.
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

/// The last entry a reader of a space has seen: reading goes on strictly after it in log order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpaceCursor {
    /// That entry's commit time.
    pub timestamp: Timestamp,
    /// Its segment.
    pub segment: Name,
    /// Its sequence.
    pub sequence: Sequence,
}

/// Which entries of some spaces to read, in log order.
#[derive(Clone, Debug)]
pub struct SpacesRead {
    /// The spaces, each with where to go on (`None`: from the start).
    pub spaces: BTreeMap<Name, Option<SpaceCursor>>,
    /// Which commit times pass.
    pub time: TimeRange,
    /// Most entries to return, over all spaces.
    pub limit: u64,
}

/// A snapshot being read: it ends at the head (or tail) of the moment it was asked for.
#[async_trait]
pub trait EntryReader: Send {
    /// The next entries in order, never an empty batch; `None` at the end. A batch is bounded in bytes (about 256 KiB, or
    /// one transaction's worth where a record is larger), so a slow reader holds no more than that.
    ///
    /// # Errors
    /// [`ReadError`]; so does every later call.
    ///
    /// # Cancel safety
    /// Dropping the future may lose a batch; every later call then fails with [`crate::StorageError::Interrupted`].
    async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError>;
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

    /// Commits records after whatever the head of a segment is, as one transaction. Where several publish to one segment,
    /// each gets its turn: a conflict is tried again at the new head, and whenever one loses another has won.
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

    /// Raises the first readable sequence of a segment; the head always stays readable. Durable as an append is.
    ///
    /// # Errors
    /// As [`Store::append`]; [`crate::Rejection::NoSuchSequence`] when `first` is beyond the head. Trimming below what is
    /// trimmed already changes nothing and succeeds.
    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError>;

    /// Deletes a segment with all its entries. A later append starts again at sequence 1. Durable as an append is.
    ///
    /// # Errors
    /// As [`Store::append`]; [`crate::Rejection::NoSuchSequence`] when there is no such segment.
    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError>;

    /// Grants a lease for `ttl` to whoever asks first, under a fencing token that is larger than all before; renews it, under the same
    /// token, if its holder asks while it lasts. `None`: another holds it. A lease ends when it is released, or has not been
    /// renewed for `ttl`, which the store counts from when the grant or renewal was durable, and anew from each restart: it never
    /// ends early. The holder does best to count from before it asked.
    ///
    /// # Durability, cancel safety
    /// As [`Store::append`]. Where the outcome is unknown, asking again as the same holder tells.
    ///
    /// # Errors
    /// As [`Store::append`]; [`Rejection::InvalidLease`], [`Rejection::TooManyLeases`].
    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError>;

    /// Renews a lease, from now on for `ttl`. `None`: it is not this holder's, or has run out.
    ///
    /// # Durability, errors, cancel safety
    /// As [`Store::acquire_lease`].
    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError>;

    /// Ends a lease, whether it has run out or not; returns what it was. `None`: it is not this holder's.
    ///
    /// # Durability, errors, cancel safety
    /// As [`Store::acquire_lease`].
    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError>;

    /// A lease, if it is held now.
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

    /// How much the store holds.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn status(&self) -> Result<StoreStatus, ReadError>;

    /// Follows the durable tail: changes whenever a commit became visible.
    fn durable_tail(&self) -> watch::Receiver<TailMark>;

    /// `Ok` while the store accepts writes.
    ///
    /// # Errors
    /// The reason why it does not.
    fn writable(&self) -> Result<(), crate::StorageError>;

    /// How this store's commits reach the medium, as [`Stores::commit_method`] tells of all of them.
    fn commit_method(&self) -> Option<&'static str> {
        None
    }
}

/// Many stores behind one door.
#[async_trait]
pub trait Stores: Send + Sync + 'static {
    /// Opens a store, or returns the one already open. A store that was never written to reads as empty and takes no disk
    /// until its first append.
    ///
    /// # Errors
    /// [`OpenError`].
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError>;

    /// The same for whoever only reads: a store that was never written to costs nothing, and is not kept. What is returned for
    /// such a one stays empty and takes no writes.
    ///
    /// # Errors
    /// [`OpenError`].
    async fn store_to_read(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        self.store(id).await
    }

    /// How commits reach the medium, in a word for people, where there is more than one way: what `status` and `/readyz`
    /// show. `None`: nothing worth telling.
    fn commit_method(&self) -> Option<&'static str> {
        None
    }

    /// What a backup is copied from while the stores are in use. `None`: this kind of storage has none.
    fn backup(&self) -> Option<Arc<dyn self::backup::Source>> {
        None
    }

    /// Bytes of transactions that are queued for the medium or under way to it, of all stores. `None`: this kind of storage has no
    /// queue.
    fn queued_bytes(&self) -> Option<usize> {
        None
    }

    /// The open store whose last commit the clock is furthest behind, and how far, where that is more than a second: until the
    /// clock has caught up, all that is committed there has one commit time.
    fn clock_behind(&self) -> Option<(StoreId, std::time::Duration)> {
        None
    }

    /// `Ok` while storage is usable: what `/readyz` shows.
    ///
    /// # Errors
    /// The reason why not; of several stores that of the first by id.
    fn ready(&self) -> Result<(), crate::StorageError>;

    /// Finishes what is queued, writes checkpoints and releases the directory. Stores refuse writes afterwards.
    async fn close(&self);
}

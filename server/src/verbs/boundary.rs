//! What a version of the protocol implements to be served: records in, batches out.

use bytes::Bytes;
use streamkit_engine::{
    Committed, Entry, Lease, LogCursor, Name, PieceBatch, Record, SegmentPath, SegmentStatus, Sequence, Timestamp,
};
use uuid::Uuid;

use super::failure::Failure;
use super::verb::Within;
use crate::budgets::{Ended, Room, Share};
use crate::live::{Interest, Present};

/// A record that came.
pub(crate) struct ReceivedRecord {
    pub(crate) sequence: Sequence,
    pub(crate) record: Record,
    /// What it holds until it is stored or dropped.
    pub(crate) room: Room,
}

/// What an append waits for.
pub(crate) struct Awaited<'a> {
    /// Where the records go.
    pub(crate) path: &'a SegmentPath,
    /// The sequence that comes next; `None` before the first record.
    pub(crate) sequence: Option<Sequence>,
    /// Bytes of room that the open chunk holds; `None` while none is open.
    pub(crate) chunk: Option<usize>,
}

/// What came for an append.
pub(crate) enum Next {
    Record(ReceivedRecord),
    /// Nothing, and others wait for the room that the open chunk holds: it is to be committed. Only while one is open.
    Crowded,
    /// The peer's end, and all that belongs before it was here.
    End,
}

/// A worker says that it is there.
pub(crate) struct SignOfLife {
    /// Which one; nil: the one that came.
    pub(crate) worker: Uuid,
    /// By its own clock.
    pub(crate) at: Option<Timestamp>,
}

/// Records in: what comes from the peer on one call.
pub(crate) trait Records {
    /// Why nothing more comes, or why what came is refused.
    type Error: From<Failure>;

    /// What comes next. A transport decides whether a record is one, and may be stored at all; not whether it is the next.
    ///
    /// Cancel safe.
    async fn next(&mut self, awaited: Awaited<'_>) -> Result<Next, Self::Error>;

    /// Keeps a record that is not the one which comes next, to give it again when it is. One whose frames never overtake each
    /// other has no reason to.
    fn keep(&mut self, expected: Sequence, early: ReceivedRecord) -> Result<(), Self::Error> {
        let got = early.sequence;
        Err(Failure::Conflict { expected, got }.into())
    }

    /// The transaction of this call is in the queue of its store: what its peer asked for behind it may follow.
    fn queued(&mut self) {}

    /// The store is done with it, and nothing of what came is needed any more.
    fn settled(&mut self) {}

    /// What a worker says of itself, for as long as it is there.
    ///
    /// Cancel safe.
    async fn sign_of_life(&mut self) -> Result<SignOfLife, Self::Error>;

    /// Ready when the peer ends its side or nothing more can come. Records are waited for no longer once it is called.
    fn ended(&mut self) -> impl Future<Output = Self::Error>;
}

/// Batches out: how one call is answered.
pub(crate) trait Answers {
    type Batch: Batch;

    /// An empty batch.
    fn batch(&self) -> Self::Batch;

    /// Waits until the peer would take something more.
    async fn has_room(&self) -> Result<(), Ended>;

    /// Whether it would take something now, or nothing ever again.
    fn is_roomy(&self) -> bool;

    /// Sends a batch of what was read, which holds a share of the budget of what goes out until the peer has taken it.
    ///
    /// Cancel safe: dropped early, none of it is sent.
    async fn send_of(&self, batch: Self::Batch, share: Share) -> Result<(), Ended>;

    /// Sends something small.
    ///
    /// Cancel safe: dropped early, none of it is sent.
    async fn send(&self, batch: Self::Batch) -> Result<(), Ended>;

    /// Sends what was committed. The peer is told even when its session ends: it would not know otherwise that its records are
    /// stored.
    ///
    /// # Errors
    /// [`Failure::Ending`]: stop; nobody will read more. [`Failure::Overloaded`]: the peer has not made room for so long that
    /// others wait for what the call has received.
    async fn acknowledge(&self, batch: Self::Batch) -> Result<(), Failure>;
}

/// Messages on their way out together.
pub(crate) trait Batch: Send + 'static {
    /// Adds an entry.
    ///
    /// # Errors
    /// [`DoesNotFit`]: it is not added.
    fn entry(&mut self, entry: &Entry) -> Result<(), DoesNotFit>;

    /// Adds that a segment has no entry.
    fn no_entry(&mut self, path: &SegmentPath);

    /// What is the same of a batch for all who follow it.
    fn common(_: &PieceBatch) -> Bytes {
        Bytes::new()
    }

    /// Adds transactions, or how far a read of them is. A version of the protocol that asks for none has none to add.
    fn portion(&mut self, _: Portion<'_>) {}

    /// Adds what a follower of statuses is told.
    fn status(&mut self, status: &SegmentStatus);

    /// Adds a status to a list.
    fn row(&mut self, status: &SegmentStatus) {
        self.status(status);
    }

    /// Adds what is left of a segment that was trimmed.
    fn trimmed(&mut self, status: &SegmentStatus) {
        self.status(status);
    }

    /// Adds that a transaction is durable. `records`: how many each of its segments got, in the same order.
    fn committed(&mut self, committed: &Committed, records: &[u64]);

    /// Adds a name to a list.
    fn name(&mut self, name: &Name);

    fn totals(&mut self, totals: &Totals);

    /// Adds that nothing is new of what is followed.
    fn heartbeat(&mut self, of: &Interest);

    /// Adds all workers that are there.
    fn inventory(&mut self, workers: &[Present], now: Timestamp);

    /// Adds that the server hears of a worker.
    fn sign_of_life(&mut self, worker: Uuid, now: Timestamp);

    /// Adds a lease as it is now; `None`: another holds it, or nobody.
    fn lease(&mut self, lease: Option<&Lease>);

    /// Bytes so far.
    fn len(&self) -> usize;

    /// Bytes of memory that are held until the peer has taken it.
    fn capacity(&self) -> usize;

    /// All so far. This one goes on empty, with what memory it needs anyway.
    fn take(&mut self) -> Self;
}

/// What reads and follows tell of transactions.
#[derive(Clone, Copy)]
pub(crate) enum Portion<'a> {
    /// Some that were read. Their cursor is the place from which a read that is cut off goes on, if it can.
    Read(&'a PieceBatch),
    /// Some that come with a conflict.
    Since(&'a PieceBatch),
    /// A read is over: so many entries, and the place behind the last.
    Done(u64, &'a LogCursor),
    /// Some that are followed.
    Followed(&'a PieceBatch),
    /// The same, as [`Batch::common`] made of it.
    FollowedInCommon(&'a [u8]),
    /// All that was there is told.
    CaughtUp(&'a LogCursor),
    /// Nothing new up to here.
    At(&'a LogCursor),
}

/// How much there is. Of nothing, all is zero.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Totals {
    /// Of what.
    pub(crate) within: Within,
    pub(crate) space_count: u64,
    pub(crate) segment_count: u64,
    pub(crate) entry_count: u64,
    /// Of a segment alone.
    pub(crate) first_sequence: Sequence,
    /// Of a segment alone.
    pub(crate) first_timestamp: Timestamp,
    /// Of a segment alone.
    pub(crate) last_sequence: Sequence,
    pub(crate) last_timestamp: Timestamp,
}

/// An entry that no peer could receive. An append takes none; a store filled by other means may hold one.
pub(crate) struct DoesNotFit;

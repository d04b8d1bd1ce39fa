//! One store.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use streamkit_engine::{
    AppendError, Changes, Committed, Entry, EntryReader, Landed, Lease, LocalStore, LogCursor, Name, PieceReader,
    PiecesRead, Proposal, ReadError, Record, Rejection, SegmentAppend, SegmentPath, SegmentRead, SegmentStatus,
    Sequence, SpacesRead, StorageError, Store, StoreId, StoreStatus, TailMark, Transaction,
};
use tokio::sync::watch;

use super::at_hand::AtHand;
use super::reading::{LookingEntries, LookingPieces};
use super::told;

/// A store whose log several hosts share. Cheap to clone.
#[derive(Clone)]
pub struct SharedStore {
    pub(super) log: Arc<AtHand>,
    pub(super) copy: LocalStore,
}

impl SharedStore {
    async fn change(&self, change: Proposal) -> Result<Landed, AppendError> {
        self.log.ask(self.copy.propose_change(change).await?).await
    }

    async fn lease_change(&self, proposal: Proposal) -> Result<Option<Lease>, AppendError> {
        match self.change(proposal).await? {
            Landed::Lease(lease) => Ok(lease),
            other => unreachable!("the answer to a change of a lease: {other:?}"),
        }
    }
}

#[async_trait]
impl Store for SharedStore {
    fn id(&self) -> StoreId {
        self.log.store
    }

    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        match self.log.ask(self.copy.propose(transaction).await?).await? {
            Landed::Append(committed) => Ok(committed),
            other => unreachable!("the answer to an append: {other:?}"),
        }
    }

    async fn publish(&self, path: &SegmentPath, records: Vec<Record>) -> Result<Committed, AppendError> {
        self.append(Transaction::single(path.clone(), SegmentAppend::NEXT, records))
            .await
    }

    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError> {
        match self.change(Proposal::trim(path.clone(), first)).await? {
            Landed::Trim(status) => status.ok_or_else(|| Rejection::NoSuchSequence(path.clone()).into()),
            other => unreachable!("the answer to a trim: {other:?}"),
        }
    }

    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError> {
        self.change(Proposal::delete(path.clone())).await.map(|_| ())
    }

    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.lease_change(Proposal::acquire_lease(key.clone(), holder.clone(), ttl)?)
            .await
    }

    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.lease_change(Proposal::renew_lease(key.clone(), holder.clone(), ttl)?)
            .await
    }

    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError> {
        self.lease_change(Proposal::release_lease(key.clone(), holder.clone()))
            .await
    }

    async fn lease(&self, key: &Name) -> Result<Option<Lease>, ReadError> {
        self.log.look().await?;
        self.copy.lease(key).await
    }

    async fn peek(&self, path: &SegmentPath) -> Result<Option<Entry>, ReadError> {
        self.log.look().await?;
        self.copy.peek(path).await
    }

    fn read_segment(&self, read: SegmentRead) -> Box<dyn EntryReader> {
        let (copy, limit, sequences) = (self.copy.clone(), read.limit, Some((read.from, read.to)));
        let begin = move || copy.read_segment(read);
        Box::new(LookingEntries::new(self.log.clone(), limit, sequences, begin))
    }

    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader> {
        let (copy, limit) = (self.copy.clone(), read.limit);
        let begin = move || copy.read_spaces(read);
        Box::new(LookingEntries::new(self.log.clone(), limit, None, begin))
    }

    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader> {
        Box::new(LookingPieces::new(self.log.clone(), self.copy.clone(), read))
    }

    async fn catch_up(&self) -> Result<(), ReadError> {
        self.log.look().await
    }

    async fn tail_cursor(&self) -> Result<LogCursor, ReadError> {
        self.log.look().await?;
        self.copy.tail_cursor().await
    }

    fn position(&self) -> u64 {
        self.copy.position()
    }

    async fn spaces(&self) -> Result<Vec<Name>, ReadError> {
        self.log.look().await?;
        self.copy.spaces().await
    }

    async fn segments(&self, space: &Name, after: Bound<Name>, limit: usize) -> Result<Vec<SegmentStatus>, ReadError> {
        self.log.look().await?;
        self.copy.segments(space, after, limit).await
    }

    async fn segment_status(&self, path: &SegmentPath) -> Result<Option<SegmentStatus>, ReadError> {
        self.log.look().await?;
        self.copy.segment_status(path).await
    }

    async fn status(&self) -> Result<StoreStatus, ReadError> {
        self.log.look().await?;
        self.copy.status().await
    }

    fn durable_tail(&self) -> watch::Receiver<TailMark> {
        self.copy.durable_tail()
    }

    async fn changed_since(&self, mark: TailMark) -> Result<Changes, ReadError> {
        // Whoever asks at the tail has heard from elsewhere that there is more.
        let is_at_tail = *self.copy.durable_tail().borrow() <= mark;
        if is_at_tail {
            self.log.look().await?;
        }
        self.copy.changed_since(mark).await
    }

    fn writable(&self) -> Result<(), StorageError> {
        match self.log.failure() {
            Some(failure) => Err(told::failed(self.log.store, &failure)),
            None => self.copy.writable(),
        }
    }
}

//! One store, of which another host may be the one that writes.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use streamkit_client::{Lease as LeaseCall, LeaseChange};

use streamkit_engine::{
    AppendError, Changes, Committed, Entry, EntryReader, Lease, LogCursor, Name, PieceReader, PiecesRead, ReadError,
    Record, SegmentAppend, SegmentPath, SegmentRead, SegmentStatus, Sequence, SpacesRead, StorageError, Store, StoreId,
    StoreStatus, TailMark, Transaction,
};
use tokio::sync::watch;

use super::counts::count;
use super::ways::Ways;
use crate::link::{Answer, is_final, size};

/// What a forwarded lease takes on its way, about.
const LEASE_BYTES: usize = 1 << 10;

/// A store before the own one.
pub(super) struct ForwardingStore {
    pub(super) direct: Arc<dyn Store>,
    pub(super) ways: Arc<Ways>,
}

impl ForwardingStore {
    /// Has another host append a transaction, if it is to write this store; says why that was in vain. `None`: this host is to.
    async fn forwarded(&self, transaction: &Transaction) -> Option<Answer> {
        let peer = self.ways.other(self.direct.id())?;
        let counts = &self.ways.counts;
        let answer = match peer.turn(size(transaction)) {
            Some(turn) => turn.append(self.direct.id(), transaction).await,
            None => Answer::NotTaken("it rests, or has too much under way".to_owned()),
        };
        count(match &answer {
            Answer::Committed(_) | Answer::Rejected(_) => &counts.forwarded,
            Answer::NotTaken(_) | Answer::Refused(_) | Answer::Unknown(_) => &counts.fell_back,
        });
        match &answer {
            Answer::Refused(_) => count(&counts.refused),
            Answer::Unknown(_) => count(&counts.unanswered),
            _ => {}
        }
        Some(answer)
    }

    /// Has another host grant or renew a lease. `None`: to be done here. Who holds what is decided by the holder's name, so that it may be done twice.
    async fn leased(&self, change: LeaseChange, key: &Name, holder: &Name, ttl: Duration) -> Option<Option<Lease>> {
        // The link counts milliseconds.
        if !ttl.subsec_nanos().is_multiple_of(1_000_000) {
            return None;
        }
        let peer = self.ways.other(self.direct.id())?;
        let counts = &self.ways.counts;
        let call = LeaseCall {
            change,
            key: key.clone(),
            holder: holder.clone(),
            ttl,
        };
        let leased = match peer.turn(LEASE_BYTES) {
            Some(turn) => turn.lease(self.direct.id(), call).await.ok(),
            None => None,
        };
        let Some(leased) = leased else {
            count(&counts.fell_back);
            return None;
        };
        count(&counts.forwarded);
        Some(leased.token.map(|token| Lease {
            key: key.clone(),
            holder: holder.clone(),
            token,
            ttl: leased.ttl,
        }))
    }
}

/// What is told where nobody knows what became of an append on another host.
fn unknown(why: String) -> AppendError {
    AppendError::Indeterminate(StorageError::Unanswered(format!("another host was to store it: {why}")))
}

#[async_trait]
impl Store for ForwardingStore {
    fn id(&self) -> StoreId {
        self.direct.id()
    }

    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        // What nobody could store wakes no other host.
        let forwarded = match transaction.validate() {
            Ok(()) => self.forwarded(&transaction).await,
            Err(_) => None,
        };
        let why = match forwarded {
            Some(Answer::Committed(committed)) => return Ok(committed),
            Some(Answer::Rejected(why)) => return Err(why.into()),
            Some(Answer::NotTaken(_) | Answer::Refused(_)) | None => return self.direct.append(transaction).await,
            Some(Answer::Unknown(why)) => why,
        };
        // The other host may still come to it. Under one id it is stored once, and whoever comes second is told of the first time.
        let again = self.direct.append(transaction.clone()).await;
        match again {
            Err(AppendError::Rejected(rejection)) if !is_final(&rejection, &transaction) => {
                Err(unknown(format!("{why}; here it is not stored: {rejection}")))
            }
            told => told,
        }
    }

    /// Behind the head, wherever that is: hosts do not have to agree about it first.
    async fn publish(&self, path: &SegmentPath, records: Vec<Record>) -> Result<Committed, AppendError> {
        let transaction = Transaction::single(path.clone(), SegmentAppend::NEXT, records);
        self.append(transaction).await
    }

    // A trim or a deletion that another host came to late could remove what was stored after it, so that neither is forwarded.

    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError> {
        self.direct.trim(path, first).await
    }

    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError> {
        self.direct.delete(path).await
    }

    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        match self.leased(LeaseChange::Acquire, key, holder, ttl).await {
            Some(leased) => Ok(leased),
            None => self.direct.acquire_lease(key, holder, ttl).await,
        }
    }

    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        match self.leased(LeaseChange::Renew, key, holder, ttl).await {
            Some(leased) => Ok(leased),
            None => self.direct.renew_lease(key, holder, ttl).await,
        }
    }

    /// Here: one that another host came to late would release the holder's next grant.
    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError> {
        self.direct.release_lease(key, holder).await
    }

    async fn lease(&self, key: &Name) -> Result<Option<Lease>, ReadError> {
        self.direct.lease(key).await
    }

    async fn peek(&self, path: &SegmentPath) -> Result<Option<Entry>, ReadError> {
        self.direct.peek(path).await
    }

    fn read_segment(&self, read: SegmentRead) -> Box<dyn EntryReader> {
        self.direct.read_segment(read)
    }

    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader> {
        self.direct.read_spaces(read)
    }

    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader> {
        self.direct.read_pieces(read)
    }

    async fn tail_cursor(&self) -> Result<LogCursor, ReadError> {
        self.direct.tail_cursor().await
    }

    fn position(&self) -> u64 {
        self.direct.position()
    }

    async fn spaces(&self) -> Result<Vec<Name>, ReadError> {
        self.direct.spaces().await
    }

    async fn segments(&self, space: &Name, after: Bound<Name>, limit: usize) -> Result<Vec<SegmentStatus>, ReadError> {
        self.direct.segments(space, after, limit).await
    }

    async fn segment_status(&self, path: &SegmentPath) -> Result<Option<SegmentStatus>, ReadError> {
        self.direct.segment_status(path).await
    }

    async fn status(&self) -> Result<StoreStatus, ReadError> {
        self.direct.status().await
    }

    fn durable_tail(&self) -> watch::Receiver<TailMark> {
        self.direct.durable_tail()
    }

    async fn catch_up(&self) -> Result<(), ReadError> {
        self.direct.catch_up().await
    }

    async fn changed_since(&self, mark: TailMark) -> Result<Changes, ReadError> {
        self.direct.changed_since(mark).await
    }

    fn writable(&self) -> Result<(), StorageError> {
        self.direct.writable()
    }

    fn commit_method(&self) -> Option<&'static str> {
        self.direct.commit_method()
    }
}

//! A store on a local disk: a façade over queue, log and index. It makes no decisions.

pub(crate) mod admission;
mod blocking;
pub(crate) mod proposal;
pub(crate) mod replica;
mod snapshot;
pub(crate) mod threads;

use std::ops::Bound;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use threads::Threads;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tracing::Instrument as _;

use crate::boundary::pieces::{PieceReader, PiecesRead};
use crate::boundary::{Changes, EntryReader, SegmentRead, SpacesRead, Store};
use crate::commit::budget::{QueueBudget, QueuePermit};
use crate::commit::committer::StoreCommitter;
use crate::commit::line::Line;
use crate::commit::order::SequenceClaim;
use crate::commit::queue::{Answered, Append, LeaseChange, LeaseRequest, Needs, Request, answer};
use crate::error::{AppendError, ReadError, Rejection, StorageError};
use crate::format::transaction::Encoded;
use crate::limits::{TRANSACTION_ENCODED_BYTES_MAX, is_ttl};
use crate::log::opened::StoreLog;
use crate::read::Reader;
use crate::read::backwards::Backwards;
use crate::read::changes;
use crate::read::choice::Choice;
use crate::read::gather::Entries;
use crate::read::pieces::GatheredPieces;
use crate::read::reader::{PiecesReader, cursor_at_end};
use crate::read::segment::SegmentScan;
use crate::read::sources::Sources;
use crate::read::spaces::SpacesScan;
use crate::read::spaces::stretches::LogStretches;
use crate::runtime::poll_once::poll_once;
use crate::runtime::sync::Instant;
use crate::runtime::sync::atomic::Ordering;
use streamkit_record::{
    Committed, Condition, Entry, InvalidLease, Lease, LogCursor, Name, ReadSource, SegmentPath, SegmentStatus,
    Sequence, StoreId, StoreStatus, TailMark, Transaction,
};

type Receiver<T> = oneshot::Receiver<Result<T, AppendError>>;

/// A store in a folder of this host. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct LocalStore {
    pub(crate) committer: Arc<StoreCommitter>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) room: Arc<QueueBudget>,
    pub(crate) line: Arc<Line>,
}

impl LocalStore {
    pub(crate) fn log(&self) -> &Arc<StoreLog> {
        &self.committer.log
    }

    /// Checks a transaction before an append; returns the bytes it needs in the queue.
    fn admit(&self, transaction: &Transaction) -> Result<usize, AppendError> {
        transaction.validate().map_err(Rejection::Invalid)?;
        self.writable().map_err(Rejection::Storage)?;
        let conditions = transaction
            .conditions
            .iter()
            .map(|Condition { path, .. }| path.space.as_str().len() + path.segment.as_str().len());
        let bytes = Encoded::data_len(transaction) + conditions.sum::<usize>();
        Ok(bytes.min(TRANSACTION_ENCODED_BYTES_MAX))
    }

    /// Whether an append needs ids that are not known yet.
    fn has_to_recall(&self, transaction: &Transaction) -> bool {
        transaction.takes_next() && !self.log().knows_ids()
    }

    /// Queues a request. `true`: nobody works on the queue, and the caller must start that.
    fn push(&self, request: Request) -> Result<bool, AppendError> {
        let mut queue = self.committer.queue();
        if queue.closed {
            return Err(Rejection::Storage(StorageError::Closed).into());
        }
        let needs = queue.push(request);
        drop(queue);
        if needs == Needs::Call {
            self.threads.commit.call(Arc::clone(&self.committer));
        }
        Ok(needs == Needs::Start)
    }

    /// Queues a request and makes sure that a driver works on it.
    fn enqueue(&self, request: Request) -> Result<(), AppendError> {
        if self.push(request)? {
            self.threads.commit.start(Arc::clone(&self.committer));
        }
        Ok(())
    }

    /// Whether somebody follows its durable tail.
    pub fn is_followed(&self) -> bool {
        self.log().tail.receiver_count() > 0
    }

    /// Wakes all who follow its durable tail, although that is where it was: they look, and hear what is wrong.
    pub fn wake_followers(&self) {
        self.log().tail.send_modify(|_| ());
    }

    /// Whether nothing was ever stored in it.
    pub fn is_new(&self) -> bool {
        self.log().writer().state.trx_number == 0
    }

    /// Whether nobody else holds this store and nothing runs for it in the background. A halted store never counts as
    /// idle: it stays open, so that its operator learns of the failure.
    pub(crate) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.committer) == 1
            && Arc::strong_count(self.log()) == 1
            && Arc::strong_count(&self.log().busy) == 1
            && self.log().latch.check().is_ok()
    }

    /// Closes the store: refuses new requests and those that wait for room, waits for the committer, leaves a
    /// checkpoint.
    pub(crate) fn close(&self) {
        let (committer, log) = (&self.committer, self.log());
        let mut queue = committer.queue();
        queue.closed = true;
        self.room.close();
        match &self.threads.stepper {
            Some(stepper) => {
                drop(queue);
                stepper.run_until(|| !committer.queue().running);
            }
            None => {
                while queue.running {
                    queue = committer.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                drop(queue);
            }
        }
        log.leave_checkpoint();
        if log.has_begun.load(Ordering::Acquire) {
            let writer = log.writer();
            writer.spare.abandon(&writer.folder);
        }
        log.extents.close();
    }

    async fn change_lease(&self, key: &Name, holder: &Name, change: LeaseChange) -> Result<Option<Lease>, AppendError> {
        let (reply, receive) = oneshot::channel();
        let (key, holder) = (key.clone(), holder.clone());
        self.enqueue(Request::Lease {
            request: LeaseRequest { key, holder, change },
            reply,
            _room: self.room.take(0).await?,
        })?;
        self.answer(receive).await
    }

    fn outcome(&self, answered: Option<Answered>) -> Result<Committed, AppendError> {
        answered.map_or_else(|| Err(self.unanswered()), |answered| answered.outcome)
    }

    async fn answer<T>(&self, receive: Receiver<T>) -> Result<T, AppendError> {
        receive.await.unwrap_or_else(|_| Err(self.unanswered()))
    }

    /// A bug ended the thread that worked on it.
    fn unanswered(&self) -> AppendError {
        AppendError::Indeterminate(self.writable().err().unwrap_or(StorageError::Closed))
    }
}

/// A time to live as the log holds it, in whole milliseconds.
fn whole_ttl(ttl: Duration) -> Result<Duration, Rejection> {
    match is_ttl(ttl) {
        true => Ok(Duration::from_millis(ttl.as_millis() as u64)), // at most a day
        false => Err(InvalidLease::Ttl(ttl).into()),
    }
}

fn recall(log: &StoreLog) -> Result<(), AppendError> {
    let recalled = log.recall_ids();
    recalled.map_err(|error| Rejection::from(log.naming_segments(error, None)).into())
}

fn append_request(transaction: Transaction, room: QueuePermit) -> (Request, oneshot::Receiver<Answered>) {
    let encoded = Encoded::data(&transaction);
    let takes_next = transaction.takes_next();
    let claims = transaction.segments.iter().map(SequenceClaim::of).collect();
    let (reply, receive) = oneshot::channel();
    let request = Request::Append(Append {
        transaction,
        encoded,
        claims,
        takes_next,
        reply,
        room,
        since: Instant::now(),
    });
    (request, receive)
}

#[async_trait]
impl Store for LocalStore {
    fn id(&self) -> StoreId {
        self.log().id
    }

    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        let bytes = self.admit(&transaction)?;
        let turn = match self.has_to_recall(&transaction) || self.line.is_busy() {
            true => Some(self.room.before(self.line.turn()).await?),
            false => None,
        };
        if turn.is_some() && self.has_to_recall(&transaction) {
            let (reply, receive) = oneshot::channel();
            let log = Arc::clone(self.log());
            self.log().on_read_threads(move || answer(reply, recall(&log)));
            self.answer(receive).await?;
        }
        let mut room = pin!(self.room.take(bytes));
        // From the first poll on it stands where room is given in order: the line is for the ids alone.
        let (room, turn) = match poll_once(room.as_mut()).await {
            Poll::Ready(room) => (room?, turn),
            Poll::Pending => {
                drop(turn);
                (room.await?, None)
            }
        };
        let (request, receive) = append_request(transaction, room);
        self.enqueue(request)?;
        drop(turn);
        let span = tracing::debug_span!("streamkit.store.commit", group_transactions = tracing::field::Empty);
        let answered = receive.instrument(span.clone()).await;
        if let Ok(answered) = &answered {
            span.record("group_transactions", answered.group);
        }
        self.outcome(answered.ok())
    }

    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError> {
        let (reply, receive) = oneshot::channel();
        self.enqueue(Request::Trim {
            path: path.clone(),
            first,
            reply,
            _room: self.room.take(0).await?,
        })?;
        self.answer(receive).await
    }

    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError> {
        let (reply, receive) = oneshot::channel();
        self.enqueue(Request::Delete {
            path: path.clone(),
            reply,
            _room: self.room.take(0).await?,
        })?;
        self.answer(receive).await
    }

    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.change_lease(key, holder, LeaseChange::Acquire(whole_ttl(ttl)?))
            .await
    }

    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.change_lease(key, holder, LeaseChange::Renew(whole_ttl(ttl)?))
            .await
    }

    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError> {
        self.change_lease(key, holder, LeaseChange::Release).await
    }

    async fn lease(&self, key: &Name) -> Result<Option<Lease>, ReadError> {
        let uptime = self.log().clock.uptime();
        Ok(self.log().catalog().leases.held(key, uptime))
    }

    async fn peek(&self, path: &SegmentPath) -> Result<Option<Entry>, ReadError> {
        let head = self.log().catalog().head(path);
        if head == Sequence(0) {
            return Ok(None);
        }
        let read = SegmentRead {
            from: head,
            to: head,
            ..SegmentRead::all(path.clone())
        };
        let batch = self.read_segment(read).next_batch().await?;
        Ok(batch.and_then(|mut entries| entries.pop()))
    }

    fn read_segment(&self, read: SegmentRead) -> Box<dyn EntryReader> {
        let scan = SegmentScan::<Entries>::new(Arc::clone(self.log()), read);
        Box::new(Reader::new(scan, Arc::clone(&self.threads.pools)))
    }

    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader> {
        let scan = SpacesScan::<Entries>::new(Arc::clone(self.log()), read);
        Box::new(Reader::new(scan, Arc::clone(&self.threads.pools)))
    }

    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader> {
        let (log, pools) = (Arc::clone(self.log()), Arc::clone(&self.threads.pools));
        let choice = Choice::new(read.filter, read.entries, read.bytes);
        match read.source {
            ReadSource::Segment(path, from, to) => {
                let scan = SegmentScan::<GatheredPieces>::of(log, path, from..=to, read.time, choice.clone());
                let start = LogCursor::default();
                match read.is_backwards {
                    true => Box::new(PiecesReader::new(Backwards::new(scan, choice), start, pools)),
                    false => Box::new(PiecesReader::new(scan, start, pools)),
                }
            }
            ReadSource::Log(wanted, behind) => {
                let (sources, start) = (Sources::new(wanted), behind.clone());
                let scan = SpacesScan::<GatheredPieces>::of(log, sources, behind, read.time, choice.clone());
                match read.is_backwards {
                    true => {
                        let scan = Backwards::new(LogStretches::new(scan), choice);
                        Box::new(PiecesReader::new(scan, start, pools))
                    }
                    false if read.ends_at_head => Box::new(PiecesReader::new(scan.ending_at_head(), start, pools)),
                    false => Box::new(PiecesReader::new(scan, start, pools)),
                }
            }
        }
    }

    async fn tail_cursor(&self) -> Result<LogCursor, ReadError> {
        let log = Arc::clone(self.log());
        if log.shown.end().newest.is_some() {
            return Ok(cursor_at_end(&log)?);
        }
        let read = self
            .threads
            .pools
            .read
            .run(move || cursor_at_end(&log).map_err(|error| log.naming_segments(error, None)));
        Ok(read.await.unwrap_or(Err(StorageError::Interrupted))?)
    }

    fn position(&self) -> u64 {
        self.log().shown.number()
    }

    async fn spaces(&self) -> Result<Vec<Name>, ReadError> {
        Ok(self.log().catalog().spaces())
    }

    async fn segments(&self, space: &Name, after: Bound<Name>, limit: usize) -> Result<Vec<SegmentStatus>, ReadError> {
        Ok(self.log().catalog().page(space, after, limit))
    }

    async fn segment_status(&self, path: &SegmentPath) -> Result<Option<SegmentStatus>, ReadError> {
        Ok(self.log().catalog().status(path))
    }

    async fn status(&self) -> Result<StoreStatus, ReadError> {
        Ok(self.log().catalog().totals())
    }

    fn durable_tail(&self) -> watch::Receiver<TailMark> {
        self.log().tail.subscribe()
    }

    async fn changed_since(&self, mark: TailMark) -> Result<Changes, ReadError> {
        Ok(changes::since(self.log(), mark))
    }

    fn writable(&self) -> Result<(), StorageError> {
        self.log().latch.check()
    }

    fn commit_method(&self) -> Option<&'static str> {
        Some(self.threads.commit.method_of(&self.committer))
    }
}

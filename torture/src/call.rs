//! A call under way: a future of the store, polled by the simulation between the engine's pieces of work.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use streamkit_engine::{
    AppendError, Committed, Entry, EntryReader, Lease, LogCursor, Name, OpenError, PieceReader, PiecesRead, ReadError,
    SegmentPath, SegmentRead, SegmentStatus, Sequence, SpaceCursor, SpacesRead, Store, StoreStatus, TimeRange,
    Transaction,
};

use crate::leases::Ask;

/// A future that nobody wakes: it is polled after each step.
pub type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;

/// What came of a call.
pub enum Answer {
    /// Of an append.
    Appended(Result<Committed, AppendError>),
    /// Of a read, all of it.
    Read(Result<Vec<Entry>, ReadError>),
    /// Of a consumer that follows: what it read, and the reader, to go on with.
    Followed(Box<dyn PieceReader>, Result<Told, ReadError>),
    /// Of a peek.
    Peeked(Result<Option<Entry>, ReadError>),
    /// Of a question for a segment's status.
    Status(Result<Option<SegmentStatus>, ReadError>),
    /// Of a trim.
    Trimmed(Result<SegmentStatus, AppendError>),
    /// Of a delete.
    Deleted(Result<(), AppendError>),
    /// Of what somebody asks of a lease.
    Leased(Result<Option<Lease>, AppendError>),
}

/// The outcome, if it is there.
pub fn poll<T>(future: &mut Future<T>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Appends.
pub fn append(store: &Arc<dyn Store>, transaction: Transaction) -> Future<Answer> {
    let store = Arc::clone(store);
    Box::pin(async move { Answer::Appended(store.append(transaction).await) })
}

/// Reads a segment.
pub fn read_segment(store: &Arc<dyn Store>, read: SegmentRead) -> Future<Answer> {
    let reader = store.read_segment(read);
    Box::pin(async move { Answer::Read(all(reader).await) })
}

/// Reads spaces, each from where it was left.
pub fn read_spaces(store: &Arc<dyn Store>, spaces: BTreeMap<Name, Option<SpaceCursor>>, limit: u64) -> Future<Answer> {
    let reader = store.read_spaces(SpacesRead {
        spaces,
        time: TimeRange::ALL,
        limit,
    });
    Box::pin(async move { Answer::Read(all(reader).await) })
}

async fn all(mut reader: Box<dyn EntryReader>) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    while let Some(batch) = reader.next_batch().await? {
        entries.extend(batch);
    }
    Ok(entries)
}

/// What a read of pieces told.
pub struct Told {
    /// The entries, in the order of the read.
    pub entries: Vec<Entry>,
    /// The cursor of each batch, and how many entries stand up to there.
    pub cursors: Vec<(usize, LogCursor)>,
    /// The place to which it came.
    pub cursor: LogCursor,
}

/// Reads pieces.
pub fn read_pieces(store: &Arc<dyn Store>, read: PiecesRead) -> Future<Result<Told, ReadError>> {
    let is_backwards = read.is_backwards;
    let mut reader = store.read_pieces(read);
    Box::pin(async move { told(&mut *reader, is_backwards, usize::MAX).await })
}

/// Reads on, some batches at most.
pub fn follow(mut reader: Box<dyn PieceReader>, batches: usize) -> Future<Answer> {
    Box::pin(async move {
        let told = told(&mut *reader, false, batches).await;
        Answer::Followed(reader, told)
    })
}

async fn told(reader: &mut dyn PieceReader, is_backwards: bool, batches: usize) -> Result<Told, ReadError> {
    let (mut entries, mut cursors) = (Vec::new(), Vec::new());
    while cursors.len() < batches
        && let Some(batch) = reader.next_batch().await?
    {
        let before = entries.len();
        for piece in &batch.pieces {
            piece.entries(&mut entries).expect("a piece is whole");
        }
        assert_eq!(
            (entries.len() - before) as u64,
            batch.entries,
            "a batch has as many as it says"
        );
        if is_backwards {
            entries[before..].reverse();
        }
        cursors.push((entries.len(), batch.cursor));
    }
    Ok(Told {
        entries,
        cursors,
        cursor: reader.cursor(),
    })
}

/// Asks where a store ends.
pub fn tail_cursor(store: &Arc<dyn Store>) -> Future<Result<LogCursor, ReadError>> {
    let store = Arc::clone(store);
    Box::pin(async move { store.tail_cursor().await })
}

/// Peeks.
pub fn peek(store: &Arc<dyn Store>, path: SegmentPath) -> Future<Answer> {
    let store = Arc::clone(store);
    Box::pin(async move { Answer::Peeked(store.peek(&path).await) })
}

/// Asks for a segment's status.
pub fn status(store: &Arc<dyn Store>, path: SegmentPath) -> Future<Answer> {
    let store = Arc::clone(store);
    Box::pin(async move { Answer::Status(store.segment_status(&path).await) })
}

/// Asks for a store's status.
pub fn totals(store: &Arc<dyn Store>) -> Future<Result<StoreStatus, ReadError>> {
    let store = Arc::clone(store);
    Box::pin(async move { store.status().await })
}

/// Trims.
pub fn trim(store: &Arc<dyn Store>, path: SegmentPath, first: u64) -> Future<Answer> {
    let store = Arc::clone(store);
    Box::pin(async move { Answer::Trimmed(store.trim(&path, Sequence(first)).await) })
}

/// Deletes.
pub fn delete(store: &Arc<dyn Store>, path: SegmentPath) -> Future<Answer> {
    let store = Arc::clone(store);
    Box::pin(async move { Answer::Deleted(store.delete(&path).await) })
}

/// Asks for a lease, for longer, or to be rid of it.
pub fn lease(store: &Arc<dyn Store>, ask: Ask) -> Future<Answer> {
    let store = Arc::clone(store);
    Box::pin(async move {
        Answer::Leased(match ask.ttl {
            Some(ttl) if ask.renews => store.renew_lease(&ask.key, &ask.holder, ttl).await,
            Some(ttl) => store.acquire_lease(&ask.key, &ask.holder, ttl).await,
            None => store.release_lease(&ask.key, &ask.holder).await,
        })
    })
}

/// Asks who holds a lease.
pub fn held(store: &Arc<dyn Store>, key: Name) -> Future<Result<Option<Lease>, ReadError>> {
    let store = Arc::clone(store);
    Box::pin(async move { store.lease(&key).await })
}

/// Opens a store.
pub fn open(
    engine: &streamkit_engine::Engine,
    id: streamkit_engine::StoreId,
) -> Future<Result<Arc<dyn Store>, OpenError>> {
    let engine = engine.clone();
    Box::pin(async move { streamkit_engine::Stores::store(&engine, id).await })
}

/// Closes an engine.
pub fn close(engine: &streamkit_engine::Engine) -> Future<()> {
    let engine = engine.clone();
    Box::pin(async move { streamkit_engine::Stores::close(&engine).await })
}

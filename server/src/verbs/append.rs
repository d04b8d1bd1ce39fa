//! Append: records in, one durable transaction and its statuses per chunk. A chunk ends when it is full, when the peer ends its
//! side, or when others need the room that it takes; a gap, a record that is none or an abort discards the open chunk, and what
//! was acknowledged stays.

use streamkit_engine::limits::TRANSACTION_BYTES_MAX;
use streamkit_engine::{Committed, Record, SegmentPath, SegmentStatus, Sequence, Store, Timestamp, Transaction};

use super::boundary::{Answers, Awaited, Batch as _, Next, ReceivedRecord, Records};
use super::failure::Failure;
use super::outgoing::Outgoing;
use crate::budgets::Room;
use crate::limits::CHUNK_RECORDS_MAX;
use crate::live::Live;
use crate::metrics::Metrics;

/// What stands for all segments of a space where it is followed. A segment of this name that is there already goes on.
pub(super) const EVERY: &str = "*";

/// Where a segment begins, as it was read before something is appended.
type Begin = Option<(Sequence, Timestamp)>;

/// Records that will be committed together.
#[derive(Default)]
struct Chunk {
    first: Sequence,
    records: Vec<Record>,
    bytes: usize,
    /// Room the records still take.
    room: Room,
}

pub(super) async fn run<R: Records, A: Answers>(
    path: SegmentPath,
    store: &dyn Store,
    records: &mut R,
    out: &Outgoing<A>,
    around: (&Live, &Metrics),
) -> Result<(), R::Error> {
    let (mut awaited, mut begin) = (None, None);
    let mut chunk = Chunk::default();
    loop {
        let next = records.next(Awaited {
            path: &path,
            sequence: awaited,
            chunk: (!chunk.records.is_empty()).then(|| chunk.room.bytes()),
        });
        let received = match next.await? {
            Next::Record(received) => received,
            Next::Crowded => {
                commit(&path, std::mem::take(&mut chunk), &mut begin, store, out, around).await?;
                continue;
            }
            Next::End if chunk.records.is_empty() => return Ok(()),
            Next::End => return Ok(commit(&path, chunk, &mut begin, store, out, around).await?),
        };
        let next = match awaited {
            Some(next) => next,
            None => {
                let status = status(&path, store, around.1).await?;
                begin = status
                    .as_ref()
                    .map(|status| (status.first_sequence, status.first_timestamp));
                status.map_or(Sequence::FIRST, |status| status.last_sequence.next())
            }
        };
        if received.sequence != next {
            records.keep(next, received)?;
            awaited = Some(next);
            continue;
        }
        let is_full =
            chunk.records.len() == CHUNK_RECORDS_MAX || chunk.bytes + received.record.len() > TRANSACTION_BYTES_MAX;
        if is_full {
            commit(&path, std::mem::take(&mut chunk), &mut begin, store, out, around).await?;
        }
        chunk.push(received);
        awaited = Some(next.next());
    }
}

/// The segment at this moment: the first record has to be behind its durable head. Whether that still holds is decided at commit.
async fn status(path: &SegmentPath, store: &dyn Store, metrics: &Metrics) -> Result<Option<SegmentStatus>, Failure> {
    let status = store.segment_status(path).await.map_err(Failure::Read);
    match status.inspect_err(|failure| failure.count(metrics))? {
        None if path.segment.as_str() == EVERY => Err(Failure::ReservedName),
        status => Ok(status),
    }
}

/// A store whose transactions others write may not know where a segment begins, and tell of the transaction alone.
fn begins(committed: &mut Committed, own: Sequence, begin: &mut Begin) {
    for status in &mut committed.segments {
        if status.first_sequence == own
            && let Some((sequence, timestamp)) = *begin
        {
            (status.first_sequence, status.first_timestamp) = (sequence, timestamp);
        }
        *begin = Some((status.first_sequence, status.first_timestamp));
    }
}

impl Chunk {
    fn push(&mut self, received: ReceivedRecord) {
        let ReceivedRecord { sequence, record, room } = received;
        if self.records.is_empty() {
            self.first = sequence;
        }
        self.bytes += record.len();
        self.records.push(record);
        self.room.merge(room);
    }
}

/// Commits a chunk and acknowledges it. Runs to its end once begun: what the store commits, the peer is told if it listens.
async fn commit<A: Answers>(
    path: &SegmentPath,
    chunk: Chunk,
    begin: &mut Begin,
    store: &dyn Store,
    out: &Outgoing<A>,
    around: (&Live, &Metrics),
) -> Result<(), Failure> {
    let Chunk {
        first, records, room, ..
    } = chunk;
    let (live, metrics) = around;
    let count = records.len();
    let appended = store.append(Transaction::single(path.clone(), first, records)).await;
    let mut committed = appended.map_err(|error| {
        metrics.stores.append_failed(&error);
        Failure::of_write("an append", error)
    })?;
    begins(&mut committed, first, begin);
    metrics.stores.appended(count);
    live.committed(store);
    drop(room);
    let mut batch = out.batch();
    batch.committed(&committed, &[count as u64]);
    out.acknowledge(batch).await
}

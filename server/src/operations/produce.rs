//! Produce: records in, one durable transaction and one status per chunk. A chunk ends when it is full, when the peer
//! ends its side, or when others of the connection need the room that it takes; a gap, a malformed record or an abort
//! discards the open chunk, and what was acknowledged stays. The end comes when nothing can follow it any more
//! (`session/ends.rs`): records that are early then have a gap before them.

use streamkit_engine::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX};
use streamkit_engine::{
    AppendError, Metadata, Record, Rejection, SegmentPath, Sequence, StorageError, Store, Transaction,
};
use streamkit_protocol::limits::{CHUNK_RECORDS_MAX, MESSAGE_BYTES_MAX, PEER_MESSAGE_BYTES_MAX};
use streamkit_protocol::{Produce, Terminal};

use super::early::Early;
use super::{ENTRY_OVERHEAD_BYTES_MAX, Failure, entry_bytes_max, segment_status};
use crate::metrics::Metrics;
use crate::session::{Channel, Room};
use crate::told;

/// Records that will be committed together.
#[derive(Default)]
struct Chunk {
    first: Sequence,
    records: Vec<Record>,
    bytes: usize,
    /// Room the records still take in the channel's inbox.
    room: Room,
}

pub(super) async fn run(
    request: Produce,
    store: &dyn Store,
    channel: &mut Channel,
    metrics: &Metrics,
) -> Result<(), Failure> {
    if request.space.is_empty() || request.segment.is_empty() {
        return Err(Failure::Told("invalid produce args".to_owned()));
    }
    let path = SegmentPath::new(&request.space, &request.segment)
        .map_err(|error| Failure::Told(format!("invalid produce args: {error}")))?;
    let mut expected = None;
    let mut chunk = Chunk::default();
    let mut early = Early::default();
    loop {
        let held = chunk.room.bytes() + early.room();
        let Some(mut received) = channel.receive(held).await? else {
            // Others of this connection wait for the room that the chunk takes.
            if chunk.records.is_empty() {
                return Err(missing(&expected, &early));
            }
            commit(&path, std::mem::take(&mut chunk), store, channel, metrics).await?;
            continue;
        };
        if received.mark {
            if early.marked(expected.unwrap_or(Sequence::FIRST)) {
                return Err(missing(&expected, &early));
            }
            if early.asks(expected.unwrap_or(Sequence::FIRST)) {
                channel.ask_for_mark();
            }
            continue;
        }
        match received.terminal {
            None => {}
            Some(Terminal::Close) if early.first().is_some() => return Err(missing(&expected, &early)),
            Some(Terminal::Close) => {
                return match chunk.records.is_empty() {
                    true => Ok(()),
                    false => commit(&path, chunk, store, channel, metrics).await,
                };
            }
            Some(aborted) => return Err(Failure::Told(aborted.into_error().unwrap_or_default())),
        }
        let (sequence, record) = decode(&received.message, &path)?;
        received.room.shrink(record.len());
        let mut next = match expected {
            Some(next) => next,
            // The durable head at the time the produce began. Whether it still holds is decided at commit.
            None => store
                .segment_status(&path)
                .await?
                .map_or(Sequence::FIRST, |s| s.last_sequence.next()),
        };
        if sequence != next {
            expected = Some(next);
            if sequence < next || channel.in_order() || !early.keep(sequence, record, received.room) {
                return Err(gap(next, early.first().filter(|_| sequence > next).unwrap_or(sequence)));
            }
            metrics.record_came_early();
            if early.asks(next) {
                channel.ask_for_mark();
            }
            continue;
        }
        let mut one = Some((record, received.room));
        if early.first().is_some() {
            channel.overtaken();
        }
        while let Some((record, room)) = one {
            if chunk.records.len() == CHUNK_RECORDS_MAX || chunk.bytes + record.len() > TRANSACTION_BYTES_MAX {
                commit(&path, std::mem::take(&mut chunk), store, channel, metrics).await?;
            }
            chunk.push(next, record, room);
            next = next.next();
            one = early.take(next);
        }
        expected = Some(next);
    }
}

/// The gap before what came early.
fn missing(expected: &Option<Sequence>, early: &Early) -> Failure {
    let expected = expected.unwrap_or(Sequence::FIRST);
    gap(expected, early.first().unwrap_or(expected))
}

impl Chunk {
    fn push(&mut self, sequence: Sequence, record: Record, room: Room) {
        if self.records.is_empty() {
            self.first = sequence;
        }
        self.bytes += record.len();
        self.records.push(record);
        self.room.merge(room);
    }
}

fn decode(message: &[u8], path: &SegmentPath) -> Result<(Sequence, Record), Failure> {
    if message.len() > PEER_MESSAGE_BYTES_MAX {
        let bytes = message.len();
        return Err(too_large(format!(
            "a message of {bytes} bytes, at most {PEER_MESSAGE_BYTES_MAX} are allowed"
        )));
    }
    let wire = streamkit_protocol::Record::decode(message)
        .map_err(|error| Failure::Told(format!("invalid record: {error}")))?;
    let sequence = Sequence(wire.sequence);
    let metadata = Metadata::from_pairs(&wire.metadata);
    let record = Record {
        payload: wire.bytes(),
        metadata,
    };
    if record.len() > RECORD_BYTES_MAX {
        return Err(too_large(format!(
            "sequence {sequence} has {} bytes of payload and metadata, at most {RECORD_BYTES_MAX} are allowed",
            record.len()
        )));
    }
    // What is taken must be able to go out again. A record as we write it is never longer than as it came, so nearly all
    // are known to fit without being written.
    if message.len() + ENTRY_OVERHEAD_BYTES_MAX > MESSAGE_BYTES_MAX {
        let bytes = entry_bytes_max(path, &record);
        if bytes > MESSAGE_BYTES_MAX {
            return Err(too_large(format!(
                "sequence {sequence} would be read as {bytes} bytes, at most {MESSAGE_BYTES_MAX} can be"
            )));
        }
    }
    Ok((sequence, record))
}

fn too_large(what: String) -> Failure {
    Failure::Told(format!("record too large: {what}"))
}

/// Commits a chunk and acknowledges it. Runs to its end once begun: what the store commits, the peer is told if it listens.
async fn commit(
    path: &SegmentPath,
    chunk: Chunk,
    store: &dyn Store,
    channel: &mut Channel,
    metrics: &Metrics,
) -> Result<(), Failure> {
    let Chunk {
        first, records, room, ..
    } = chunk;
    let count = records.len();
    let appended = store.append(Transaction::single(path.clone(), first, records)).await;
    let committed = appended.map_err(|error| {
        metrics.append_failed(&error);
        refused("an append", &error)
    })?;
    metrics.appended(count);
    drop(room);
    let mut batch = channel.batch();
    for status in &committed.segments {
        batch.push(&segment_status(status).encode());
    }
    channel.acknowledge(batch).await
}

/// What a peer is told of `what`, a transaction that is not stored, or not for certain.
pub(super) fn refused(what: &str, error: &AppendError) -> Failure {
    if let AppendError::Rejected(Rejection::Conflict { head, got, .. }) = error {
        return gap(head.next(), *got);
    }
    if !is_logged_by_its_store(error) {
        tracing::warn!(%error, "{what} failed");
    }
    Failure::Told(format!("failed to write transaction: {}", told::append(error)))
}

/// What goes on until somebody does something about the disk: the store logs it once, however many producers meet it.
fn is_logged_by_its_store(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::Indeterminate(StorageError::Io { .. } | StorageError::Gone(_))
            | AppendError::Rejected(
                Rejection::DiskFull
                    | Rejection::NotReady(_)
                    | Rejection::Storage(StorageError::Halted { .. } | StorageError::Gone(_))
            )
    )
}

/// The text by which deployed clients know a conflict.
fn gap(expected: Sequence, got: Sequence) -> Failure {
    Failure::Told(format!("sequence gap: expected {expected}, got {got}"))
}

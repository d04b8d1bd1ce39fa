//! Produce: records in, one durable transaction and one status per chunk. A chunk ends when it is full or when the peer
//! ends its side; a gap, a malformed record or an abort discards the open chunk, and what was acknowledged stays.

use streamkit_engine::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX};
use streamkit_engine::{AppendError, Metadata, Record, Rejection, SegmentPath, Sequence, Store, Transaction};
use streamkit_protocol::limits::CHUNK_RECORDS_MAX;
use streamkit_protocol::{Produce, Terminal};
use tokio::sync::OwnedSemaphorePermit;

use super::{Failure, segment_status};
use crate::session::Channel;

/// Records that will be committed together.
#[derive(Default)]
struct Chunk {
    first: Sequence,
    records: Vec<Record>,
    bytes: usize,
    /// Room the records still take in the channel's inbox, per semaphore.
    room: Vec<OwnedSemaphorePermit>,
}

pub(super) async fn run(request: Produce, store: &dyn Store, channel: &mut Channel) -> Result<(), Failure> {
    if request.space.is_empty() || request.segment.is_empty() {
        return Err(Failure::Told("invalid produce args".to_owned()));
    }
    let path = SegmentPath::new(&request.space, &request.segment)
        .map_err(|error| Failure::Told(format!("invalid produce args: {error}")))?;
    let mut expected = None;
    let mut chunk = Chunk::default();
    loop {
        let mut received = channel.receive().await?;
        match received.terminal {
            None => {}
            Some(Terminal::Close) => {
                return match chunk.records.is_empty() {
                    true => Ok(()),
                    false => commit(&path, chunk, store, channel).await,
                };
            }
            Some(aborted) => return Err(Failure::Told(aborted.into_error().unwrap_or_default())),
        }
        let (sequence, record) = decode(&received.message)?;
        let next = match expected {
            Some(next) => next,
            // The durable head at the time the produce began. Whether it still holds is decided at commit.
            None => store
                .segment_status(&path)
                .await?
                .map_or(Sequence::FIRST, |s| s.last_sequence.next()),
        };
        if sequence != next {
            return Err(gap(next, sequence));
        }
        expected = Some(next.next());
        if chunk.records.len() == CHUNK_RECORDS_MAX || chunk.bytes + record.len() > TRANSACTION_BYTES_MAX {
            commit(&path, std::mem::take(&mut chunk), store, channel).await?;
        }
        chunk.push(sequence, record, &mut received.room);
    }
}

impl Chunk {
    fn push(&mut self, sequence: Sequence, record: Record, room: &mut Vec<OwnedSemaphorePermit>) {
        if self.records.is_empty() {
            self.first = sequence;
        }
        self.bytes += record.len();
        self.records.push(record);
        if self.room.is_empty() {
            self.room.append(room);
        } else {
            for (held, more) in self.room.iter_mut().zip(room.drain(..)) {
                held.merge(more);
            }
        }
    }
}

fn decode(message: &[u8]) -> Result<(Sequence, Record), Failure> {
    let wire = streamkit_protocol::Record::decode(message)
        .map_err(|error| Failure::Told(format!("invalid record: {error}")))?;
    let sequence = Sequence(wire.sequence);
    let metadata = Metadata::from_pairs(&wire.metadata);
    let record = Record {
        payload: wire.bytes(),
        metadata,
    };
    if record.len() > RECORD_BYTES_MAX {
        return Err(Failure::Told(format!(
            "record too large: sequence {sequence} has {} bytes of payload and metadata, at most {RECORD_BYTES_MAX} are allowed",
            record.len()
        )));
    }
    Ok((sequence, record))
}

/// Commits a chunk and acknowledges it. Runs to its end once begun: what the store commits, the peer is told if it listens.
async fn commit(path: &SegmentPath, chunk: Chunk, store: &dyn Store, channel: &mut Channel) -> Result<(), Failure> {
    let Chunk {
        first, records, room, ..
    } = chunk;
    let committed = store
        .append(Transaction::single(path.clone(), first, records))
        .await
        .map_err(refused)?;
    drop(room);
    let mut batch = channel.batch();
    for status in &committed.segments {
        batch.push(&segment_status(status).encode());
    }
    channel.send(batch).await
}

fn refused(error: AppendError) -> Failure {
    match error {
        AppendError::Rejected(Rejection::Conflict { head, got, .. }) => gap(head.next(), got),
        other => {
            tracing::warn!(error = %other, "an append failed");
            Failure::Told(format!("failed to write transaction: {other}"))
        }
    }
}

/// The text by which deployed clients know a conflict.
fn gap(expected: Sequence, got: Sequence) -> Failure {
    Failure::Told(format!("sequence gap: expected {expected}, got {got}"))
}

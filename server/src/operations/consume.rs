//! Consume: a segment in sequence order; a space, or several, in log order. Each is a snapshot that ends at the head of the
//! moment it was asked for. A storage error ends the stream with its text, never as a clean end.

use std::collections::BTreeMap;

use streamkit_engine::{
    Entry, EntryReader, Name, SegmentRead, Sequence, SpaceCursor, SpacesRead, Store, TimeRange, Timestamp,
};
use streamkit_protocol::limits::MESSAGE_BYTES_MAX;
use streamkit_protocol::{Consume, ConsumeSegment, ConsumeSpace, LexKey, SpaceOffset};

use super::{Failure, does_not_fit, encode_entry, name, path};
use crate::session::{Batch, Outgoing, SMALL_BYTES};

/// Bytes of frames sent at a time: large enough that queueing costs nothing, small enough that channels take turns.
const BATCH_BYTES: usize = 128 << 10;

pub(super) async fn segment(request: ConsumeSegment, store: &dyn Store, out: &Outgoing) -> Result<(), Failure> {
    let read = SegmentRead {
        path: path(&request.space, &request.segment)?,
        from: Sequence(request.min_sequence.max(1)),
        to: Sequence(match request.max_sequence {
            0 => u64::MAX,
            max => max,
        }),
        time: time_range(request.min_timestamp, request.max_timestamp),
        limit: limit(request.limit),
    };
    send_all(|| store.read_segment(read.clone()), out).await
}

pub(super) async fn space(request: ConsumeSpace, store: &dyn Store, out: &Outgoing) -> Result<(), Failure> {
    let from = cursor(&request.space, &request.offset)?;
    let read = SpacesRead {
        spaces: BTreeMap::from([(name("space", &request.space)?, from)]),
        time: time_range(request.min_timestamp, request.max_timestamp),
        limit: limit(request.limit),
    };
    send_all(|| store.read_spaces(read.clone()), out).await
}

pub(super) async fn spaces(request: Consume, store: &dyn Store, out: &Outgoing) -> Result<(), Failure> {
    let mut spaces = BTreeMap::new();
    for (space, offset) in &request.offsets {
        spaces.insert(name("space", space)?, cursor(space, offset)?);
    }
    let read = SpacesRead {
        spaces,
        time: time_range(request.min_timestamp, request.max_timestamp),
        limit: limit(request.limit),
    };
    send_all(|| store.read_spaces(read.clone()), out).await
}

fn time_range(min: i64, max: i64) -> TimeRange {
    let after = if min == 0 { i64::MIN } else { min };
    let until = if max == 0 { i64::MAX } else { max };
    TimeRange {
        after: Timestamp(after),
        until: Timestamp(until),
    }
}

fn limit(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
}

/// Where to go on: strictly after the entry an offset stands for.
fn cursor(space: &str, offset: &LexKey) -> Result<Option<SpaceCursor>, Failure> {
    if offset.0.is_empty() {
        return Ok(None);
    }
    let offset = SpaceOffset::decode(offset).map_err(|error| Failure::Told(format!("invalid offset: {error}")))?;
    if offset.space != space {
        return Err(Failure::Told(format!(
            "invalid offset: it belongs to space {:?}, not to {space:?}",
            offset.space
        )));
    }
    let segment = Name::new(&offset.segment).map_err(|error| Failure::Told(format!("invalid offset: {error}")))?;
    Ok(Some(SpaceCursor {
        timestamp: Timestamp(offset.timestamp),
        segment,
        sequence: Sequence(offset.sequence),
    }))
}

async fn send_all(read: impl Fn() -> Box<dyn EntryReader>, out: &Outgoing) -> Result<(), Failure> {
    let small = async {
        match out.is_behind_a_large_one() {
            true => None,
            false => small(read(), out.batch()).await,
        }
    };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    let _open = out.reader().await?;
    let mut reader = read();
    let mut message = Vec::new();
    loop {
        // Nothing is held between turns but the reader itself.
        let mut turn = out.turn().await?;
        let Some(entries) = reader.next_batch().await? else {
            return Ok(());
        };
        let mut left = entries.iter().map(bytes).sum();
        turn.has_left(left);
        let mut batch = out.batch();
        for entry in entries {
            message.clear();
            encode_entry(&entry, &mut message);
            left -= bytes(&entry);
            if message.len() > MESSAGE_BYTES_MAX {
                // What was read before is as good as ever; the error comes after it.
                out.send(batch, &mut turn, left).await?;
                return Err(does_not_fit(&entry));
            }
            batch.push(&message);
            if batch.len() >= BATCH_BYTES {
                // Large ones leave a large buffer, and may be held for long.
                drop(entry);
                message.clear();
                message.shrink_to(BATCH_BYTES);
                let full = std::mem::replace(&mut batch, out.batch());
                out.send(full, &mut turn, left).await?;
            }
        }
        out.send(batch, &mut turn, left).await?;
    }
}

/// All that a reader yields, if it is little.
async fn small(mut reader: Box<dyn EntryReader>, mut batch: Batch) -> Option<Batch> {
    let mut message = Vec::new();
    while let Some(entries) = reader.next_batch().await.ok()? {
        for entry in &entries {
            if batch.len() + entry.payload.len() > SMALL_BYTES {
                return None;
            }
            message.clear();
            encode_entry(entry, &mut message);
            batch.push(&message);
        }
    }
    Some(batch)
}

/// Bytes of memory that an entry takes.
fn bytes(entry: &Entry) -> usize {
    size_of::<Entry>() + entry.payload.len() + entry.metadata.encoded().len()
}

//! From events to records, and of these to certainty.

use futures_util::TryStreamExt as _;
use streamkit_record::limits::{TRANSACTION_BYTES_MAX, TRANSACTION_RECORDS_MAX};
use streamkit_record::{Record, SegmentAppend, SegmentPath, Sequence};
use uuid::Uuid;

use super::aggregate::Event;
use super::codec::encode;
use super::envelope::{Entity, Stamp};
use super::error::SaveError;
use super::loaded::Cause;
use crate::asked::Append;
use crate::error::Error;
use crate::model::ConsumeSegment;
use crate::store::StoreClient;

/// Events on their way into the store.
pub(super) struct Made<E> {
    pub(super) records: Vec<Record>,
    /// As they will be read.
    pub(super) events: Vec<E>,
    /// The id of the last one.
    pub(super) last: Option<Uuid>,
}

/// Makes records of events that come behind `expected`, which has room for them.
pub(super) fn make<E: Event>(
    store: Uuid,
    path: &SegmentPath,
    cause: Cause,
    expected: u64,
    events: &[E],
) -> Result<Made<E>, SaveError> {
    if expected.checked_add(events.len() as u64 + 1).is_none() {
        return Err(Error::Invalid("no sequences left".to_owned()).into());
    }
    let entity = Entity::new(store, path.space.as_str(), path.segment.as_str());
    let mut made = Made {
        records: Vec::with_capacity(events.len()),
        events: Vec::with_capacity(events.len()),
        last: None,
    };
    let mut bytes = 0;
    for (event, sequence) in events.iter().zip(expected + 1..) {
        let stamp = Stamp::now(entity.clone(), cause, sequence);
        let (payload, event) = encode(event, &stamp).map_err(|why| SaveError::Unfit { why })?;
        bytes += payload.len();
        made.records.push(Record::new(payload));
        made.events.push(event);
        made.last = stamp.id();
    }
    // More would be stored in several transactions over v1, and could be stored in part.
    if events.len() > TRANSACTION_RECORDS_MAX || bytes > TRANSACTION_BYTES_MAX {
        let count = events.len();
        return Err(SaveError::Store(Error::Invalid(format!(
            "a save has at most {TRANSACTION_RECORDS_MAX} events and {TRANSACTION_BYTES_MAX} bytes, this one has {count} and {bytes}"
        ))));
    }
    Ok(made)
}

/// Stores records behind `expected`, and returns the sequence of the last one.
pub(super) async fn append(
    store: &StoreClient,
    path: &SegmentPath,
    expected: u64,
    records: Vec<Record>,
) -> Result<u64, SaveError> {
    let last = expected + records.len() as u64;
    if records.is_empty() {
        return Ok(expected);
    }
    let append = Append::new(vec![SegmentAppend {
        path: path.clone(),
        first_sequence: Sequence(expected + 1),
        records: records.clone(),
    }]);
    let error = match store.append(append).await {
        Ok(_) => return Ok(last),
        Err(error) => error,
    };
    match &error {
        Error::Conflict { head, .. } => Err(SaveError::Conflict { expected, head: *head }),
        Error::Conflicts { heads, .. } => {
            let head = heads.iter().find(|(of, _)| of == path).map_or(0, |(_, head)| head.0);
            Err(SaveError::Conflict { expected, head })
        }
        _ if error.is_not_stored() => Err(error.into()),
        _ => match found(store, path, expected, &records).await {
            Some(Found::Ours) => Ok(last),
            Some(Found::Others { head }) => Err(SaveError::Conflict { expected, head }),
            None => Err(error.into()),
        },
    }
}

/// What stands where records were to be stored.
enum Found {
    Ours,
    Others { head: u64 },
}

/// Looks what became of records whose answer was lost. Each event has an id, so only these have these bytes; and once others stand in
/// their place, they never will. `None`: it cannot be told, or not yet.
async fn found(store: &StoreClient, path: &SegmentPath, expected: u64, records: &[Record]) -> Option<Found> {
    let (space, segment) = (path.space.as_str(), path.segment.as_str());
    let range = ConsumeSegment {
        to: expected + records.len() as u64,
        ..ConsumeSegment::all(space, segment).from(expected + 1)
    };
    let mut entries = store.consume_segment(range);
    for (record, sequence) in records.iter().zip(expected + 1..) {
        let entry = entries.try_next().await.ok()??;
        if entry.sequence != sequence {
            return None;
        }
        if entry.payload != record.payload {
            let is_first = sequence == expected + 1;
            let last = store.peek(space, segment).await.ok()??;
            return is_first.then_some(Found::Others { head: last.sequence });
        }
    }
    Some(Found::Ours)
}

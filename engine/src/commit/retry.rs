//! Answers a repeated transaction. If a producer sends one again because the answer was lost, it gets the answer of
//! the first commit.

use crate::error::StorageError;
use crate::log::opened::StoreLog;
use crate::log::window::Window;
use crate::read::entries::entries_of;
use streamkit_record::{Committed, SegmentStatus, Sequence, Timestamp, Transaction, Trx};

/// The answer for a transaction's producer.
pub(crate) fn committed(log: &StoreLog, trx: Trx, timestamp: Timestamp, transaction: &Transaction) -> Committed {
    let catalog = log.catalog();
    let segments = transaction.segments.iter().map(|part| {
        let last_sequence = Sequence(part.first_sequence.0 + part.records.len() as u64 - 1);
        // Trimmed or deleted meanwhile: then only this transaction's own effect is known.
        let status = catalog.status(&part.path);
        let (first_sequence, first_timestamp) = status.map_or((part.first_sequence, timestamp), |s| {
            (s.first_sequence, s.first_timestamp)
        });
        let path = part.path.clone();
        SegmentStatus {
            path,
            first_sequence,
            first_timestamp,
            last_sequence,
            last_timestamp: timestamp,
        }
    });
    Committed {
        trx,
        timestamp,
        segments: segments.collect(),
    }
}

/// The first commit of this very transaction, if any: same id, same records, at those sequences.
pub(crate) fn committed_before(log: &StoreLog, transaction: &Transaction) -> Result<Option<Committed>, StorageError> {
    let mut found: Option<(Trx, Timestamp)> = None;
    // Kept between parts, so that a transaction of many segments is read once.
    let mut window: Option<Window> = None;
    for part in &transaction.segments {
        let Some((extent, run)) = log.locate(&part.path, part.first_sequence)? else {
            return Ok(None);
        };
        let window = window.get_or_insert_with(|| Window::new(log.id, extent));
        window.turn_to(extent);
        let located = window.transaction(&log.extents, run.trx_byte, || 0)?;
        let matches = located.header.id == transaction.id
            && run.first_sequence == part.first_sequence
            && run.count as usize == part.records.len();
        if !matches {
            return Ok(None);
        }
        let mut entries = Vec::with_capacity(part.records.len());
        let all = run.first_sequence..=run.last_sequence();
        entries_of(window, &located, &run, &part.path, all, &mut entries)?;
        let same = entries
            .iter()
            .zip(&part.records)
            .all(|(entry, record)| entry.payload == record.payload && entry.metadata == record.metadata);
        let trx = located.header.trx();
        if !same || found.is_some_and(|(first, _)| first != trx) {
            return Ok(None);
        }
        found = Some((trx, located.header.timestamp));
    }
    Ok(found.map(|(trx, timestamp)| committed(log, trx, timestamp, transaction)))
}

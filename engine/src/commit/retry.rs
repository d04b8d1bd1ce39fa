//! Answers a repeated transaction. If a producer sends one again because the answer was lost, it gets the answer of
//! the first commit.

use super::order::SequenceClaim;
use super::queue::Proposed;
use crate::error::{Rejection, StorageError};
use crate::format::transaction::sections;
use crate::log::opened::StoreLog;
use crate::log::window::{Located, Window};
use streamkit_record::{Committed, LogPosition, SegmentAppend, SegmentStatus, Sequence, Timestamp, Trx};

/// The answer for a transaction's producer.
pub(crate) fn committed(log: &StoreLog, trx: Trx, timestamp: Timestamp, claims: &[SequenceClaim]) -> Committed {
    let catalog = log.catalog();
    let segments = claims.iter().map(|claim| {
        let last_sequence = Sequence(claim.first.0 + claim.count - 1);
        // Trimmed or deleted meanwhile: then only this transaction's own effect is known.
        let status = catalog.status(&claim.path);
        let (first_sequence, first_timestamp) =
            status.map_or((claim.first, timestamp), |s| (s.first_sequence, s.first_timestamp));
        let path = claim.path.clone();
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
        was_there: false,
    }
}

/// The answer of the first commit of this very transaction, if any: same id, same records. A transaction that has its id and
/// other records is the reason to refuse it.
pub(crate) fn committed_before(
    log: &StoreLog,
    mut proposed: Proposed<'_>,
) -> Result<Option<Result<Committed, Rejection>>, StorageError> {
    match place_of(log, &proposed)? {
        Some(at) => stored_at(log, &mut proposed, at),
        None => Ok(None),
    }
}

/// The same, of the transaction at this place.
pub(crate) fn stored_at(
    log: &StoreLog,
    proposed: &mut Proposed<'_>,
    at: LogPosition,
) -> Result<Option<Result<Committed, Rejection>>, StorageError> {
    let mut window = Window::new(log.id, at.extent);
    let located = window.transaction(&log.extents, at.byte, || 0)?;
    let header = located.header;
    if header.id != proposed.transaction.id {
        return Ok(None);
    }
    let is_same = is_same(proposed, &located).map_err(|error| window.damage(at.byte, error))?;
    Ok(Some(match is_same {
        true => Ok(Committed {
            was_there: true,
            ..committed(log, header.trx(), header.timestamp, proposed.claims)
        }),
        false => Err(Rejection::OtherRecords { number: header.number }),
    }))
}

/// Where the transaction stands if it was committed: by its id, where that is known, or by its sequences.
fn place_of(log: &StoreLog, proposed: &Proposed<'_>) -> Result<Option<LogPosition>, StorageError> {
    let by_id = log.catalog().place_of(proposed.transaction.id);
    if by_id.is_some() {
        return Ok(by_id);
    }
    let placed = proposed.transaction.segments.iter();
    for part in placed.filter(|part| part.first_sequence != SegmentAppend::NEXT) {
        // One that is not there may have been deleted since.
        if let Some((extent, run)) = log.locate(&part.path, part.first_sequence)? {
            let byte = run.trx_byte;
            return Ok(Some(LogPosition { extent, byte }));
        }
    }
    Ok(None)
}

/// Whether a transaction in the log is this one. Fills in the sequences that it got.
fn is_same(proposed: &mut Proposed<'_>, located: &Located) -> Result<bool, crate::format::FormatError> {
    let transaction = &located.bytes()[..located.header.length as usize];
    if located.header.section_count as usize != proposed.claims.len() {
        return Ok(false);
    }
    for (claim, section) in proposed.claims.iter_mut().zip(sections(&located.header, transaction)) {
        let section = section?;
        if claim.first == SegmentAppend::NEXT {
            claim.first = section.first_sequence;
        }
    }
    proposed.encoded.place(proposed.claims.iter().map(|claim| claim.first));
    Ok(proposed.encoded.has_sections_of(transaction))
}

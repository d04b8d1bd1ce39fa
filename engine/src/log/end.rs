//! Decides where a store's log ends: what the end of a walk through an extent means, given what is known durable.
//! [`super::verdict`] has the rule; this file gathers its facts. Opens, backups of a folder at rest and the tools
//! without an engine all decide here.

use super::headers::Headers;
use super::verdict::{Found, Verdict, WalkEnd, verdict};
use super::walk::Walk;
use crate::error::StorageError;
use crate::error::corrupt;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader};
use crate::index::checkpoint::Checkpoint;
use streamkit_record::{LogPosition, StoreId};

/// Where a log's replay ends, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogEnd {
    /// Everything before is whole.
    pub tail: LogPosition,
    /// A torn write follows. It was never acknowledged and will be overwritten.
    pub torn: bool,
}

impl LogEnd {
    /// The log ends here, and nothing follows.
    pub(crate) fn at(tail: LogPosition) -> Self {
        Self { tail, torn: false }
    }
}

/// How far a log is known to have been durable: by the position of its checkpoint; by the mark in the header of its
/// last extent, if a write to that failed (a sealed one cannot miss anything); by its newest index file, which gets
/// its name once the log has come to the next extent.
pub(crate) fn durable_by(
    checkpoint: Option<LogPosition>,
    last: Option<&ExtentHeader>,
    indexed: Option<u64>,
) -> Option<LogPosition> {
    let mark = last.filter(|header| header.durable > 0).map(|header| LogPosition {
        extent: header.extent,
        byte: header.durable,
    });
    let next = indexed.map(|number| LogPosition {
        extent: number.saturating_add(1),
        byte: EXTENT_HEADER_BYTES as u32,
    });
    checkpoint.max(mark).max(next)
}

/// How far a store's log is known to have been durable; its extents must reach that far.
pub(crate) fn known_durable(
    store: StoreId,
    checkpoint: Option<&Checkpoint>,
    found: &Headers,
) -> Result<Option<LogPosition>, StorageError> {
    let headers = &found.log;
    let known = durable_by(
        checkpoint.map(|checkpoint| checkpoint.position),
        headers.values().next_back(),
        found.indexed.last().copied(),
    );
    if let Some(known) = known
        && headers.keys().next_back().is_none_or(|&last| last < known.extent)
    {
        return Err(corrupt(
            store,
            known.extent,
            known.byte,
            "nothing, though it was durable once",
        ));
    }
    Ok(known)
}

/// How far a walk through the open extent has come, and how far beyond that the log was durable, if it was.
pub(crate) fn place_in_open(
    walk: &mut Walk,
    known_durable: Option<LogPosition>,
) -> Result<(WalkEnd, Option<LogPosition>), StorageError> {
    let here = walk.at();
    let known = known_durable.filter(|&known| known > here);
    let durable = known.max(walk.durable_beyond()?);
    let place = match durable {
        Some(_) => WalkEnd::BeforeDurable,
        None => WalkEnd::AfterDurable,
    };
    Ok((place, durable))
}

/// The meaning of a walk's end, where no whole group follows. `next` is the header of the following extent.
///
/// # Errors
/// [`StorageError::Corrupt`] if something once durable is not whole.
pub(crate) fn end_of(
    walk: &mut Walk,
    found: Found,
    store: StoreId,
    next: Option<&ExtentHeader>,
    known_durable: Option<LogPosition>,
) -> Result<LogEnd, StorageError> {
    let here = walk.at();
    let mut durable = None;
    let place = match next {
        Some(next) if next.previous_end == here.byte && next.state.chain == walk.state.chain => WalkEnd::SealedEnd,
        Some(_) => WalkEnd::InsideSealed,
        None => {
            let (place, beyond) = place_in_open(walk, known_durable)?;
            durable = beyond;
            place
        }
    };
    let verdict = verdict(found, place);
    tracing::debug!(%store, end = %here, ?found, ?place, ?verdict, "read the groups of an extent");
    match verdict {
        Verdict::End => Ok(LogEnd {
            tail: here,
            torn: false,
        }),
        Verdict::Cut => Ok(LogEnd { tail: here, torn: true }),
        Verdict::Refuse => {
            let beyond = durable.map_or_else(String::new, |known| format!(", though {known} was durable"));
            let what = if found == Found::Nothing {
                "no group"
            } else {
                "a damaged group"
            };
            Err(corrupt(store, here.extent, here.byte, format!("{what}{beyond}")))
        }
    }
}

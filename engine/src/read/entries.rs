//! Takes entries out of a checked transaction.

use std::ops::RangeInclusive;

use crate::error::StorageError;
use crate::format::FormatError;
use crate::format::run::Run;
use crate::format::transaction::{Section, entries};
use crate::log::window::{Located, Window};
use streamkit_record::{Entry, SegmentPath, Sequence};

/// What is said of a place where something else stands.
pub(crate) const ANOTHER_SECTION: FormatError = FormatError::Invalid("another section than the index says");

/// Decodes a run's entries that are in `wanted`.
pub(crate) fn entries_of(
    window: &Window,
    located: &Located,
    run: &Run,
    path: &SegmentPath,
    wanted: RangeInclusive<Sequence>,
    out: &mut Vec<Entry>,
) -> Result<(), StorageError> {
    let damage = |error| window.damage(run.trx_byte, error);
    let section = Section::decode(located.bytes(), run.section_offset as usize).map_err(damage)?;
    let names = (section.space, section.segment);
    let expected = (path.space.as_str().as_bytes(), path.segment.as_str().as_bytes());
    let agrees = section.first_sequence == run.first_sequence
        && section.record_count == run.count
        && located.header.timestamp == run.timestamp;
    if names != expected || !agrees {
        return Err(damage(ANOTHER_SECTION));
    }
    entries(
        &located.buffer,
        located.start,
        &located.header,
        &section,
        path,
        wanted,
        out,
    )
    .map_err(damage)
}

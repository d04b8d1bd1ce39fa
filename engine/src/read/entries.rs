//! Finds a section in a checked transaction.

use crate::error::StorageError;
use crate::format::FormatError;
use crate::format::run::Run;
use crate::format::transaction::Section;
use crate::log::window::{Located, Window};
use streamkit_record::SegmentPath;

/// What is said of a place where something else stands.
pub(crate) const ANOTHER_SECTION: FormatError = FormatError::Invalid("another section than the index says");

/// The section of a run, if it is the one that the index says.
pub(crate) fn section_of<'a>(
    window: &Window,
    located: &'a Located,
    run: &Run,
    path: &SegmentPath,
) -> Result<Section<'a>, StorageError> {
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
    Ok(section)
}

//! What a scan of spaces compares before it believes a place: bytes that were moved within an extent are whole, and tell of
//! other entries than those that the index lists there.

use super::spaces::Found;
use crate::error::StorageError;
use crate::format::FormatError;
use crate::format::transaction::TransactionHeader;
use crate::index::Run;
use crate::log::extents::ExtentIndex;
use crate::model::{LogPosition, SegmentPath};
use crate::shared::Shared;

/// The transaction that a scan has come to: their numbers only grow in the log.
#[derive(Default)]
pub(super) struct Listed {
    last: Option<(LogPosition, u64)>,
}

impl Listed {
    /// Whether what stands `at` a place is what was found there in the index.
    ///
    /// # Errors
    /// [`StorageError`] of the index file.
    pub(super) fn agrees(
        &mut self,
        shared: &Shared,
        at: LogPosition,
        (found, header): (&Found, &TransactionHeader),
        (path, run): (&SegmentPath, &Run),
    ) -> Result<bool, StorageError> {
        let follows = match self.last.replace((at, header.number)) {
            Some((place, number)) if place == at => number == header.number,
            Some((_, number)) => number < header.number,
            // Nothing was read before it that would be met a second time.
            None => is_listed(shared, at.extent, path, run)?,
        };
        Ok(follows && header.timestamp == found.timestamp && path.space == found.space)
    }
}

/// Whether an index file lists just this run of a segment. What is in memory was written by this process, or checked by its
/// open.
fn is_listed(shared: &Shared, extent: u64, path: &SegmentPath, run: &Run) -> Result<bool, StorageError> {
    if shared.catalog().open.extent == extent {
        return Ok(true);
    }
    let ExtentIndex::File(index) = shared.extents.index(extent)? else {
        return Ok(true);
    };
    let runs = index.segment_runs(path, run.first_sequence, 1)?;
    Ok(runs.first() == Some(run))
}

/// What is said of a place where something else stands.
pub(crate) const ANOTHER_SECTION: FormatError = FormatError::Invalid("another section than the index says");

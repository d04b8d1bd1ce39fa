//! Checks a place against the index before a scan of spaces believes it: bytes moved within an extent are whole, but
//! hold other entries than the index lists there.

use crate::error::StorageError;
use crate::format::run::{Run, SectionAt};
use crate::format::transaction::TransactionHeader;
use crate::log::extents::ExtentIndex;
use crate::log::opened::StoreLog;
use streamkit_record::{LogPosition, Name, SegmentPath, Timestamp};

/// A section of a space, as an index has it.
pub(super) struct FoundSection {
    pub(super) place: SectionAt,
    pub(super) timestamp: Timestamp,
    pub(super) space: Name,
}

/// What a scan has come to. The numbers of transactions only grow in the log: what comes between two that stand where the index lists
/// them is what was written between them.
#[derive(Default)]
pub(super) struct Listed {
    last: Option<(LogPosition, u64)>,
    /// What was passed last, until it is known to be what the index lists.
    passed: Option<(u64, SegmentPath, Run)>,
}

impl Listed {
    /// Whether what stands `at` a place is what was found there in the index.
    ///
    /// # Errors
    /// [`StorageError`] of the index file.
    pub(super) fn agrees(
        &mut self,
        log: &StoreLog,
        at: LogPosition,
        (found, header): (&FoundSection, &TransactionHeader),
        (path, run): (&SegmentPath, &Run),
    ) -> Result<bool, StorageError> {
        let follows = match self.last.replace((at, header.number)) {
            Some((place, number)) if place == at => number == header.number,
            Some((_, number)) => number < header.number,
            // Nothing was read before it that would be met a second time.
            None => is_listed(log, at.extent, path, run)?,
        };
        Ok(follows && header.timestamp == found.timestamp && path.space == found.space)
    }
}

impl Listed {
    /// Entries of this run were given out, or passed over for what they are.
    pub(super) fn passed(&mut self, extent: u64, path: SegmentPath, run: Run) {
        self.passed = Some((extent, path, run));
    }

    /// Compares what was passed last with the index, before anybody sees it: a reader may go on behind it at any time later, and skip
    /// what should stand there. Where it does not agree: the place.
    ///
    /// # Errors
    /// As [`Listed::agrees`].
    pub(super) fn misplaced(&mut self, log: &StoreLog) -> Result<Option<u32>, StorageError> {
        let Some((extent, path, run)) = self.passed.take() else {
            return Ok(None);
        };
        let is_listed = is_listed(log, extent, &path, &run)?;
        Ok((!is_listed).then_some(run.trx_byte))
    }
}

/// Whether an index file lists just this run of a segment. What is in memory was written by this process, or checked by its
/// open.
fn is_listed(log: &StoreLog, extent: u64, path: &SegmentPath, run: &Run) -> Result<bool, StorageError> {
    if log.catalog().open.extent == extent {
        return Ok(true);
    }
    let ExtentIndex::File(index) = log.extents.index(extent)? else {
        return Ok(true);
    };
    let runs = index.segment_runs(path, run.first_sequence, 1)?;
    Ok(runs.first() == Some(run))
}

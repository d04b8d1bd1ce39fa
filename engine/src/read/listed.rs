//! Checks a place against the index before a scan of spaces believes it: bytes moved within an extent are whole, but
//! hold other entries than the index lists there.

use crate::error::StorageError;
use crate::format::run::{Run, SectionAt};
use crate::format::transaction::Section;
use crate::log::extents::ExtentIndex;
use crate::log::opened::StoreLog;
use streamkit_record::{LogPosition, Name, SegmentPath, Sequence, Timestamp};

/// A section of a space, as an index has it.
pub(super) struct FoundSection {
    pub(super) place: SectionAt,
    pub(super) timestamp: Timestamp,
    /// Its space among those that are read.
    pub(super) space: usize,
    /// Its first sequence and how many records it has, where the index lists it as one of a wanted segment.
    pub(super) is: Option<(Sequence, u32)>,
}

/// What a scan has come to. The numbers of transactions only grow in the log: what comes between two that stand where the index lists
/// them is what was written between them.
#[derive(Default)]
pub(super) struct Listed {
    last: Option<(LogPosition, u64)>,
    /// What was passed last, until it is known to be what the index lists: its extent, and the run of a segment.
    passed: Option<(u64, Run)>,
    /// The names of that, kept without a name of their own: only the last one of a batch is looked up.
    names: (Vec<u8>, Vec<u8>),
}

impl Listed {
    /// Whether a section that stands `at` a place is what was found there in the index, of this space.
    ///
    /// # Errors
    /// [`StorageError`] of the index file.
    pub(super) fn agrees(
        &mut self,
        log: &StoreLog,
        at: LogPosition,
        (found, space): (&FoundSection, &Name),
        (number, section, run): (u64, &Section<'_>, &Run),
    ) -> Result<bool, StorageError> {
        let follows = match self.last.replace((at, number)) {
            Some((place, last)) if place == at => last == number,
            Some((_, last)) => last < number,
            // Nothing was read before it that would be met a second time.
            None => is_listed(log, at.extent, (section.space, section.segment), run)?,
        };
        let is_it = found.is.is_none_or(|is| is == (run.first_sequence, run.count));
        Ok(follows && is_it && run.timestamp == found.timestamp && section.space == space.as_str().as_bytes())
    }

    /// Entries of this run were given out, or passed over for what they are.
    pub(super) fn passed(&mut self, extent: u64, section: &Section<'_>, run: Run) {
        self.passed = Some((extent, run));
        let (space, segment) = &mut self.names;
        for (kept, name) in [(space, section.space), (segment, section.segment)] {
            kept.clear();
            kept.extend_from_slice(name);
        }
    }

    /// Compares what was passed last with the index, before anybody sees it: a reader may go on behind it at any time later, and skip
    /// what should stand there. Where it does not agree: the place.
    ///
    /// # Errors
    /// As [`Listed::agrees`].
    pub(super) fn misplaced(&mut self, log: &StoreLog) -> Result<Option<u32>, StorageError> {
        let Some((extent, run)) = self.passed.take() else {
            return Ok(None);
        };
        let (space, segment) = &self.names;
        let is_listed = is_listed(log, extent, (space, segment), &run)?;
        Ok((!is_listed).then_some(run.trx_byte))
    }
}

/// Whether an index file lists just this run of a segment. What is in memory was written by this process, or checked by its
/// open.
fn is_listed(log: &StoreLog, extent: u64, names: (&[u8], &[u8]), run: &Run) -> Result<bool, StorageError> {
    if log.catalog().open.extent == extent {
        return Ok(true);
    }
    let ExtentIndex::File(index) = log.extents.index(extent)? else {
        return Ok(true);
    };
    let (Ok(space), Ok(segment)) = (Name::from_bytes(names.0), Name::from_bytes(names.1)) else {
        return Ok(false);
    };
    let runs = index.segment_runs(&SegmentPath { space, segment }, run.first_sequence, 1)?;
    Ok(runs.first() == Some(run))
}

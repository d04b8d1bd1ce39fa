//! Finds a segment's entries: in the catalog's runs of the open extent, or in a sealed extent's index.

use std::ops::RangeInclusive;

use super::extents::{ExtentIndex, SegmentPart};
use super::opened::StoreLog;
use crate::error::StorageError;
use crate::format::run::Run;
use crate::index::runs::SegmentNumber;
use streamkit_record::{SegmentPath, Sequence};

impl StoreLog {
    /// The runs of a segment in an extent.
    fn part_in(
        &self,
        extent: u64,
        number: SegmentNumber,
        path: &SegmentPath,
    ) -> Result<Option<SegmentPart>, StorageError> {
        let in_memory = |(previous_extent, first_sequence)| SegmentPart {
            extent,
            previous_extent,
            first_sequence,
            row: None,
        };
        {
            let catalog = self.catalog();
            if catalog.open.extent == extent {
                return Ok(catalog.open.first(number).map(in_memory));
            }
        }
        match self.extents.index(extent)? {
            ExtentIndex::Memory { runs, .. } => Ok(runs.first(number).map(in_memory)),
            ExtentIndex::File(index) => Ok(index.segment(path)?.map(|row| SegmentPart {
                extent,
                previous_extent: row.previous_extent,
                first_sequence: row.first_sequence,
                row: Some(row),
            })),
        }
    }

    /// Up to `max` of the segment's runs in an extent, from the one that holds `from`, or the next.
    pub(crate) fn runs_in(
        &self,
        part: &SegmentPart,
        number: SegmentNumber,
        path: &SegmentPath,
        from: Sequence,
        max: u32,
    ) -> Result<Vec<Run>, StorageError> {
        {
            let catalog = self.catalog();
            if catalog.open.extent == part.extent {
                return Ok(catalog.open.segment(number, from, max as usize));
            }
        }
        match self.extents.index(part.extent)? {
            ExtentIndex::Memory { runs, .. } => Ok(runs.segment(number, from, max as usize)),
            ExtentIndex::File(index) => match part.row {
                Some(row) => index.runs_of(&row, from, max),
                // It was sealed since the part was looked up.
                None => index.segment_runs(path, from, max),
            },
        }
    }

    /// The parts of a segment that hold its entries of `wanted`, newest first. `newest` is the last extent that holds any.
    pub(crate) fn parts_of(
        &self,
        number: SegmentNumber,
        path: &SegmentPath,
        newest: u64,
        wanted: RangeInclusive<Sequence>,
    ) -> Result<Vec<SegmentPart>, StorageError> {
        let mut found = Vec::new();
        let mut next = self.part_near(number, path, newest, *wanted.end())?;
        while let Some(part) = next {
            if part.first_sequence <= *wanted.end() {
                found.push(part);
            }
            let previous = part.previous_extent;
            if part.first_sequence <= *wanted.start() || previous == 0 || previous >= part.extent {
                break;
            }
            next = self.part_in(previous, number, path)?;
        }
        Ok(found)
    }

    /// A part from which the one with `sequence` is not far back, or that one itself. A segment that stands in most extents
    /// is found by a few guesses, however many there are; for one that does not, this is its newest part.
    fn part_near(
        &self,
        number: SegmentNumber,
        path: &SegmentPath,
        newest: u64,
        sequence: Sequence,
    ) -> Result<Option<SegmentPart>, StorageError> {
        const GUESSES_MAX: usize = 16;
        let found = self
            .catalog()
            .find(path)
            .map(|(_, segment)| (segment.head, segment.begun));
        let (head, begun) = found.unwrap_or_default();
        if newest == 0 {
            return Ok(None);
        }
        // Up to where the log holds an earlier life of the segment, nothing is to be asked by its name.
        let mut low = (u64::from(begun.extent), 0, None);
        let mut high = (newest, head.0.saturating_add(1), None);
        let mut step = false;
        for _ in 0..GUESSES_MAX {
            if high.0 <= low.0 + 1 || sequence >= head {
                break;
            }
            let guess = self.extents.at_part(low.0, high.0, sequence.0 - low.1, high.1 - low.1);
            // A guess that fell short is mostly right: then the next part shows it.
            let guess = if step { low.0 + 1 } else { guess };
            let Some(part) = self.part_in(guess.clamp(low.0 + 1, high.0 - 1), number, path)? else {
                break;
            };
            let end = if part.first_sequence > sequence {
                &mut high
            } else {
                &mut low
            };
            step = !step && part.first_sequence <= sequence;
            *end = (part.extent, part.first_sequence.0, Some(part));
        }
        match (low.2, high.2) {
            (Some(part), Some(_)) if high.0 == low.0 + 1 => Ok(Some(part)),
            (_, Some(part)) => Ok(Some(part)),
            _ => self.part_in(newest, number, path),
        }
    }

    /// The place of an entry, trimmed or not.
    pub(crate) fn locate(&self, path: &SegmentPath, sequence: Sequence) -> Result<Option<(u64, Run)>, StorageError> {
        let (life, newest) = {
            let catalog = self.catalog();
            match catalog.find(path) {
                Some((number, segment)) if sequence <= segment.head => {
                    ((number, segment.begun), u64::from(segment.last_extent))
                }
                _ => return Ok(None),
            }
        };
        let number = life.0;
        let Some(&part) = self.parts_of(number, path, newest, sequence..=sequence)?.last() else {
            return Ok(None);
        };
        let runs = self.runs_in(&part, number, path, sequence, 1)?;
        // Deleted meanwhile: then the number, and the name, may stand for another.
        if !self.catalog().is_same_life(path, life) {
            return Ok(None);
        }
        Ok(runs
            .first()
            .filter(|run| run.first_sequence <= sequence)
            .map(|&run| (part.extent, run)))
    }
}

//! Restores a catalog from a checkpoint.

use super::{Catalog, hash_of_segment};
use crate::format::FormatError;
use crate::format::checkpoint::CheckpointRow;
use crate::index::deleted_now::DeletedNow;
use crate::index::runs::SegmentNumber;
use crate::index::segments::{Begun, Deletions, Segment};
use crate::index::table::Table;
use streamkit_record::{LogPosition, Name, SegmentPath, Sequence, Timestamp};

impl Catalog {
    /// Restores one segment from a checkpoint, behind those restored before. None is found by its path until
    /// [`Catalog::restored`].
    ///
    /// # Errors
    /// A segment that does not come behind them, or that holds nothing.
    pub(crate) fn restore(
        &mut self,
        space: &Name,
        name: &str,
        segment: &CheckpointRow,
    ) -> Result<SegmentNumber, FormatError> {
        if segment.first_sequence > segment.head || segment.first_sequence < Sequence::FIRST {
            return Err(FormatError::Invalid("a segment whose range is empty"));
        }
        let number = self.intern(space);
        if !self.segments.is_behind_all(number, name) {
            return Err(FormatError::Invalid("segments out of order"));
        }
        let entries = segment.head.0 - segment.first_sequence.0 + 1;
        self.entry_count = self.entry_count.saturating_add(entries);
        self.trimmed |= segment.first_sequence > Sequence::FIRST;
        self.last_timestamp = self.last_timestamp.max(segment.last_timestamp);
        let row = Segment {
            begun: Begun::BEFORE_ALL,
            name: self.segments.names.add(name),
            space: number,
            last_extent: segment.last_extent,
            first_sequence: segment.first_sequence,
            first_timestamp: segment.first_timestamp,
            head: segment.head,
            last_timestamp: segment.last_timestamp,
        };
        let number = self.add(space, row);
        self.segments.order.push(number);
        Ok(number)
    }

    /// Ends the restoring of segments.
    pub(crate) fn restored(&mut self) {
        let (segments, hashing) = (&self.segments, &self.hashing);
        let count = u32::try_from(segments.rows.len()).expect("rows have numbers of 32 bits");
        self.by_path = Table::of_all_below(count, |number| hash_of_segment(hashing, segments, number));
    }

    /// Restores from a checkpoint that nothing before a position is of a segment's present life; of one that is not there,
    /// that it was deleted there. Checkpoints of earlier versions say so of each path that was ever deleted.
    ///
    /// # Errors
    /// A place that no extent has.
    pub(crate) fn restore_deletion(&mut self, path: SegmentPath, at: LogPosition) -> Result<(), FormatError> {
        let extent = u32::try_from(at.extent).map_err(|_| FormatError::Invalid("an extent number out of range"))?;
        match (self.find(&path).map(|(number, _)| number), &self.segments.deletions) {
            (Some(number), before) => {
                if let Deletions::None = before {
                    self.segments.deletions = Deletions::Some;
                }
                self.segments.rows[number].begun = Begun { extent, byte: at.byte };
            }
            (None, Deletions::Last(_, last)) if *last > at => {}
            (None, _) => self.segments.deletions = Deletions::Last(path, at),
        }
        Ok(())
    }

    pub(crate) fn set_last_timestamp(&mut self, timestamp: Timestamp) {
        self.last_timestamp = timestamp;
        self.deleted_now = DeletedNow::unknown_at(timestamp);
    }
}

//! A run: the place of consecutive entries of a segment in an extent.

use streamkit_record::{Sequence, Timestamp};

/// One section of the log: consecutive entries of one segment, committed together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first entry's sequence.
    pub first_sequence: Sequence,
    /// When they were committed.
    pub timestamp: Timestamp,
    /// Where their transaction starts in the extent.
    pub trx_byte: u32,
    /// Where their section starts in the transaction.
    pub section_offset: u32,
    /// How many.
    pub count: u32,
}

impl Run {
    /// The last entry's sequence.
    pub fn last_sequence(&self) -> Sequence {
        Sequence(
            self.first_sequence
                .0
                .saturating_add(u64::from(self.count))
                .saturating_sub(1),
        )
    }

    /// Its place within the extent; runs are ordered by it.
    pub fn place(&self) -> SectionAt {
        (self.trx_byte, self.section_offset)
    }
}

/// A section's place within its extent: the transaction's byte, then the section's byte in that.
pub type SectionAt = (u32, u32);

//! Where each segment's entries are. In memory: the catalog of heads and the runs of the open extent. On disk: one index
//! file per sealed extent. All of it is derived from the log and can be made anew from it.

pub(crate) mod catalog;
mod deleted_now;
mod lists;
mod names;
mod order;
mod rows;
pub(crate) mod runs;
pub(crate) mod sealed;
pub(crate) mod segments;
mod table;
#[cfg(test)]
mod tests;

use crate::model::{Sequence, Timestamp};

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
    pub fn place(&self) -> Place {
        (self.trx_byte, self.section_offset)
    }
}

/// A section's place within its extent: the transaction's byte, then the section's byte in that.
pub type Place = (u32, u32);

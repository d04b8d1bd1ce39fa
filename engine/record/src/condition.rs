//! What must hold of segments when a transaction is committed.

use crate::{SegmentPath, Sequence};

/// What must hold of a segment, written or not, right before the transaction that demands it. The log does not keep it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// The segment.
    pub path: SegmentPath,
    /// What must hold.
    pub expected: Expected,
}

/// What a segment must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Its head is this; 0: it has no entries.
    Head(Sequence),
    /// It has entries, readable or trimmed.
    Exists,
    /// It has none: it never had, or was deleted.
    IsAbsent,
}

impl Expected {
    /// Whether it holds of a segment with this head.
    pub fn holds(self, head: Sequence) -> bool {
        match self {
            Self::Head(expected) => head == expected,
            Self::Exists => head != Sequence(0),
            Self::IsAbsent => head == Sequence(0),
        }
    }
}

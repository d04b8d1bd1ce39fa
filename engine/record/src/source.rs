//! What is read, and which part of a store is wanted.

use crate::{LogCursor, Name, SegmentPath, Sequence};

/// What is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadSource {
    /// A segment in the order of its sequences: from one to another, inclusive, as far as they are readable.
    Segment(SegmentPath, Sequence, Sequence),
    /// All that any of these names, in log order, strictly behind a cursor.
    Log(Vec<Wanted>, LogCursor),
}

/// A part of a store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Wanted {
    /// A segment.
    Segment(SegmentPath),
    /// All segments of a space.
    Space(Name),
    /// Those of a space whose names begin so.
    Prefix(Name, String),
}

//! The catalog's knowledge of every segment, in a form that is cheap to copy: a snapshot shares all of it with the
//! changing catalog. Checkpoints and index files are made from snapshots, beside the commits.

use std::cmp::Ordering;

use super::names::{NameAt, Names};
use super::order::{PathAt, PathOrder, before};
use super::rows::Rows;
use super::runs::SegmentNumber;
use streamkit_record::{LogPosition, Name, SegmentPath, Sequence, Timestamp};

/// Number of a space in the catalog; used again when the space is empty.
pub(crate) type SpaceNumber = u32;

/// What is known of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: NameAt,
    pub(crate) space: SpaceNumber,
    /// Newest extent that holds entries of it.
    pub(crate) last_extent: u32,
    pub(crate) first_sequence: Sequence,
    pub(crate) first_timestamp: Timestamp,
    pub(crate) head: Sequence,
    pub(crate) last_timestamp: Timestamp,
    pub(crate) begun: Begun,
}

/// Where the log begins a segment: extent and byte. What stands before under its name is of an earlier life. Before all
/// where there was no deletion at all, and so no earlier life. It tells the lives of a path apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Begun {
    pub(crate) extent: u32,
    pub(crate) byte: u32,
}

impl Begun {
    /// Before all.
    pub(crate) const BEFORE_ALL: Self = Self { extent: 0, byte: 0 };

    pub(crate) fn position(self) -> LogPosition {
        LogPosition {
            extent: u64::from(self.extent),
            byte: self.byte,
        }
    }
}

/// That the log has deletions.
#[derive(Clone, Debug, Default)]
pub(crate) enum Deletions {
    /// None.
    #[default]
    None,
    /// There are some, and a segment that began behind one of them is there.
    Some,
    /// The last one.
    Last(SegmentPath, LogPosition),
}

/// The segments of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    pub(crate) names: Names,
    /// The names of spaces.
    pub(crate) spaces: Rows<Name>,
    /// By number. The number of a deleted one is free for the next.
    pub(crate) rows: Rows<Segment>,
    /// Those that are there, by path.
    pub(crate) order: PathOrder,
    pub(crate) deletions: Deletions,
}

impl Segments {
    /// Whether a segment stands before, at or behind a path. Most comparisons are within one space, where its number says
    /// that the names of spaces need not be compared.
    fn compare(&self, number: SegmentNumber, space: (SpaceNumber, &Name), name: &str) -> Ordering {
        let row = &self.rows[number];
        let spaces = if row.space == space.0 {
            Ordering::Equal
        } else {
            self.spaces[row.space].cmp(space.1)
        };
        spaces.then_with(|| self.names.bytes(row.name).cmp(name.as_bytes()))
    }

    /// The place of a path in the order.
    pub(crate) fn find(&self, space: SpaceNumber, name: &str) -> PathAt {
        let space = (space, &self.spaces[space]);
        self.order.find(before(|number| self.compare(number, space, name)))
    }

    /// The segments of a space whose names begin so.
    pub(crate) fn beginning(&self, space: SpaceNumber, prefix: &str) -> impl Iterator<Item = &Segment> {
        let from = self.order.iter_from(self.find(space, prefix));
        let rows = from.map(|number| &self.rows[number]);
        rows.take_while(move |row| row.space == space && self.names.bytes(row.name).starts_with(prefix.as_bytes()))
    }

    /// Whether a path comes behind all segments.
    pub(crate) fn is_behind_all(&self, space: SpaceNumber, name: &str) -> bool {
        let space = (space, &self.spaces[space]);
        let last = self.order.last();
        last.is_none_or(|last| self.compare(last, space, name) == Ordering::Less)
    }

    pub(crate) fn path(&self, number: SegmentNumber) -> SegmentPath {
        let row = &self.rows[number];
        SegmentPath {
            space: self.spaces[row.space].clone(),
            segment: self.names.name(row.name),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

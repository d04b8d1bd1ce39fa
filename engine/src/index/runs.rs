//! The runs of one extent in memory, in log order, and for each segment which of them are its own. This is the index of
//! the open extent, and of a sealed one until its index file is written.

use std::collections::HashMap;

use super::{Place, Run};
use crate::model::Sequence;

/// Number of a segment in the [`super::catalog::Catalog`]; never used twice.
pub(crate) type SegmentNumber = u32;
/// Number of a space in the catalog.
pub(crate) type SpaceNumber = u32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnedRun {
    pub(crate) segment: SegmentNumber,
    pub(crate) space: SpaceNumber,
    pub(crate) run: Run,
}

/// Which runs a segment has; most segments of a wide store have one, which then costs no allocation.
#[derive(Debug, Clone)]
enum RunList {
    One(u32),
    Many(Vec<u32>),
}

impl RunList {
    fn as_slice(&self) -> &[u32] {
        match self {
            RunList::One(one) => std::slice::from_ref(one),
            RunList::Many(many) => many,
        }
    }
}

#[derive(Debug, Clone)]
struct SegmentRuns {
    previous_extent: u32,
    list: RunList,
}

/// The runs of one extent.
#[derive(Debug, Default, Clone)]
pub(crate) struct ExtentRuns {
    pub(crate) extent: u64,
    runs: Vec<OwnedRun>,
    segments: HashMap<SegmentNumber, SegmentRuns>,
}

impl ExtentRuns {
    pub(crate) fn new(extent: u64) -> Self {
        Self {
            extent,
            ..Self::default()
        }
    }

    /// Adds a run at the end. `previous_extent` is the newest extent before this one that holds the segment, or 0.
    pub(crate) fn push(&mut self, owned: OwnedRun, previous_extent: u32) {
        let number = u32::try_from(self.runs.len()).expect("an extent of 1 GiB has fewer than 2^32 sections");
        self.runs.push(owned);
        match self.segments.entry(owned.segment) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(SegmentRuns {
                    previous_extent,
                    list: RunList::One(number),
                });
            }
            std::collections::hash_map::Entry::Occupied(mut occupied) => match &mut occupied.get_mut().list {
                RunList::Many(many) => many.push(number),
                one => *one = RunList::Many(vec![one.as_slice()[0], number]),
            },
        }
    }

    /// Forgets a deleted segment's own list; its runs stay in log order and are filtered by whoever reads them.
    pub(crate) fn forget(&mut self, segment: SegmentNumber) {
        self.segments.remove(&segment);
    }

    /// The newest extent before this one that holds the segment (0: none), and the segment's first sequence here.
    pub(crate) fn first(&self, segment: SegmentNumber) -> Option<(u64, Sequence)> {
        let own = self.segments.get(&segment)?;
        let first = self.runs[own.list.as_slice()[0] as usize].run.first_sequence;
        Some((u64::from(own.previous_extent), first))
    }

    /// Up to `max` runs of a segment, from the one that holds `from`, or the next.
    pub(crate) fn segment(&self, segment: SegmentNumber, from: Sequence, max: usize) -> Vec<Run> {
        let Some(own) = self.segments.get(&segment) else {
            return Vec::new();
        };
        let list = own.list.as_slice();
        let start = list.partition_point(|&number| self.runs[number as usize].run.last_sequence() < from);
        list[start..]
            .iter()
            .take(max)
            .map(|&number| self.runs[number as usize].run)
            .collect()
    }

    /// Up to `max` runs at or after `from`, in log order, of all segments.
    pub(crate) fn in_order(&self, from: Place) -> &[OwnedRun] {
        let start = self.runs.partition_point(|owned| owned.run.place() < from);
        &self.runs[start..]
    }

    /// All runs, in log order.
    pub(crate) fn all(&self) -> &[OwnedRun] {
        &self.runs
    }

    /// The segments that have runs here, each with its previous extent and its runs.
    pub(crate) fn by_segment(&self) -> impl Iterator<Item = (SegmentNumber, u64, Vec<Run>)> {
        self.segments.iter().map(|(&segment, own)| {
            let runs = own
                .list
                .as_slice()
                .iter()
                .map(|&number| self.runs[number as usize].run)
                .collect();
            (segment, u64::from(own.previous_extent), runs)
        })
    }

    pub(crate) fn previous_extent(&self, segment: SegmentNumber) -> Option<u64> {
        self.segments.get(&segment).map(|own| u64::from(own.previous_extent))
    }
}

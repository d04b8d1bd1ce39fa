//! The runs of one extent in memory, in log order and by segment. This is the index of the open extent, and of a
//! sealed one until its index file is written.

use super::lists::Lists;
use super::rows::Rows;
use crate::format::run::{Run, SectionAt};
use streamkit_record::{Sequence, Timestamp};

/// Number of a segment in the [`super::catalog::Catalog`]; used again when that is deleted.
pub(crate) type SegmentNumber = u32;

/// A run and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnedRun {
    pub(crate) segment: SegmentNumber,
    pub(crate) run: Run,
}

/// An [`OwnedRun`] without its time, which it has in common with many others.
#[derive(Clone, Copy, Debug)]
struct PackedRun {
    first_sequence: Sequence,
    /// [`NONE`] once the segment is deleted.
    segment: SegmentNumber,
    trx_byte: u32,
    section_offset: u32,
    count: u32,
}

impl PackedRun {
    fn at(&self, timestamp: Timestamp) -> Run {
        Run {
            first_sequence: self.first_sequence,
            timestamp,
            trx_byte: self.trx_byte,
            section_offset: self.section_offset,
            count: self.count,
        }
    }

    fn place(&self) -> SectionAt {
        (self.trx_byte, self.section_offset)
    }
}

/// What stands for "nothing" where a number may stand.
const NONE: u32 = u32::MAX;

/// Which runs a segment has.
#[derive(Clone, Copy, Debug)]
struct SegmentRuns {
    previous_extent: u32,
    /// [`NONE`] once the segment is deleted.
    first_run: u32,
    /// List of its further runs; [`NONE`] where there are none, as for most segments of a wide store.
    further: u32,
}

/// Segments in one page of the table by number.
const PAGE_SEGMENTS: usize = 64;

/// The runs of one extent.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExtentRuns {
    pub(crate) extent: u64,
    runs: Rows<PackedRun>,
    /// The commit times, each with the first run that has it.
    times: Vec<(u32, Timestamp)>,
    segments: Rows<SegmentRuns>,
    lists: Lists,
    /// For each segment's number its row of `segments`, or [`NONE`]; pages without rows are not there.
    rows: Vec<Option<Box<[u32; PAGE_SEGMENTS]>>>,
}

impl ExtentRuns {
    pub(crate) fn new(extent: u64) -> Self {
        Self {
            extent,
            ..Self::default()
        }
    }

    fn row(&self, segment: SegmentNumber) -> Option<&SegmentRuns> {
        let page = self.rows.get(segment as usize / PAGE_SEGMENTS)?.as_ref()?;
        let row = page[segment as usize % PAGE_SEGMENTS];
        self.segments.get(row)
    }

    fn row_number(&mut self, segment: SegmentNumber) -> &mut u32 {
        let page = segment as usize / PAGE_SEGMENTS;
        if page >= self.rows.len() {
            self.rows.resize(page + 1, None);
        }
        let page = self.rows[page].get_or_insert_with(|| Box::new([NONE; PAGE_SEGMENTS]));
        &mut page[segment as usize % PAGE_SEGMENTS]
    }

    /// Adds a run at the end. `previous_extent` is the newest extent before this one that holds the segment, or 0.
    pub(crate) fn push(&mut self, segment: SegmentNumber, run: &Run, previous_extent: u32) {
        let number = self.runs.push(PackedRun {
            first_sequence: run.first_sequence,
            segment,
            trx_byte: run.trx_byte,
            section_offset: run.section_offset,
            count: run.count,
        });
        if self.times.last().is_none_or(|&(_, last)| last != run.timestamp) {
            self.times.push((number, run.timestamp));
        }
        let row = *self.row_number(segment);
        if self.segments.get(row).is_none() {
            let row = self.segments.push(SegmentRuns {
                previous_extent,
                first_run: number,
                further: NONE,
            });
            *self.row_number(segment) = row;
            return;
        }
        let mut list = self.segments[row].further;
        if list == NONE {
            list = self.lists.begin();
            self.segments[row].further = list;
        }
        self.lists.push(list, number);
    }

    /// Forgets a deleted segment: its runs are nobody's any more, so that its number may be used again. That takes as long
    /// as it has runs here, each of which is forgotten once.
    pub(crate) fn forget(&mut self, segment: SegmentNumber) {
        let Some(&own) = self.row(segment) else { return };
        let row = std::mem::replace(self.row_number(segment), NONE);
        self.segments[row].first_run = NONE;
        self.runs[own.first_run].segment = NONE;
        if own.further != NONE {
            for &number in self.lists.chunks(own.further).flatten() {
                self.runs[number].segment = NONE;
            }
        }
    }

    fn run(&self, number: u32) -> Run {
        let change = self.times.partition_point(|&(first, _)| first <= number);
        self.runs[number].at(self.times[change - 1].1)
    }

    fn ends_before(&self, number: u32, sequence: Sequence) -> bool {
        self.runs[number].at(Timestamp(0)).last_sequence() < sequence
    }

    /// The newest extent before this one that holds the segment (0: none), and the segment's first sequence here.
    pub(crate) fn first(&self, segment: SegmentNumber) -> Option<(u64, Sequence)> {
        let own = self.row(segment)?;
        let first = self.runs[own.first_run].first_sequence;
        Some((u64::from(own.previous_extent), first))
    }

    /// A segment's further runs, chunk by chunk.
    fn further(&self, own: SegmentRuns) -> impl Iterator<Item = &[u32]> {
        let list = (own.further != NONE).then_some(own.further);
        list.into_iter().flat_map(|list| self.lists.chunks(list))
    }

    /// Up to `max` runs of a segment, from the one that holds `from`, or the next.
    pub(crate) fn segment(&self, segment: SegmentNumber, from: Sequence, max: usize) -> Vec<Run> {
        let mut found = Vec::new();
        let Some(&own) = self.row(segment) else {
            return found;
        };
        if !self.ends_before(own.first_run, from) {
            found.push(self.run(own.first_run));
        }
        for chunk in self.further(own) {
            let mut wanted = chunk;
            if found.is_empty() {
                if self.ends_before(chunk[chunk.len() - 1], from) {
                    continue;
                }
                wanted = &chunk[chunk.partition_point(|&number| self.ends_before(number, from))..];
            }
            let room = max.saturating_sub(found.len());
            found.extend(wanted.iter().take(room).map(|&number| self.run(number)));
            if found.len() >= max {
                break;
            }
        }
        found.truncate(max);
        found
    }

    /// The runs at or after `from`, in log order, of all segments that are not forgotten.
    pub(crate) fn in_order(&self, from: SectionAt) -> impl Iterator<Item = OwnedRun> {
        let start = self.runs.partition_point(|run| run.place() < from);
        let change = self.times.partition_point(|&(first, _)| first as usize <= start);
        let mut now = self.times[..change].last().map_or(Timestamp(0), |&(_, time)| time);
        let mut later = self.times[change..].iter().peekable();
        let runs = self.runs.iter_from(start).zip(start..);
        runs.filter_map(move |(packed, number)| {
            while let Some(&(_, time)) = later.next_if(|&&(first, _)| first as usize <= number) {
                now = time;
            }
            (packed.segment != NONE).then(|| OwnedRun {
                segment: packed.segment,
                run: packed.at(now),
            })
        })
    }

    /// How many runs there are, of all segments, and of forgotten ones.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Where the last run is.
    pub(crate) fn last_place(&self) -> Option<SectionAt> {
        self.runs.last().map(PackedRun::place)
    }

    /// The segments that have runs here, each with its previous extent and its runs.
    pub(crate) fn by_segment(&self) -> impl Iterator<Item = (SegmentNumber, u64, Vec<Run>)> {
        let there = self.segments.iter_from(0).filter(|own| own.first_run != NONE);
        there.map(|&own| {
            let further = self.further(own).flatten().copied();
            let runs = std::iter::once(own.first_run).chain(further);
            let segment = self.runs[own.first_run].segment;
            (
                segment,
                u64::from(own.previous_extent),
                runs.map(|number| self.run(number)).collect(),
            )
        })
    }

    pub(crate) fn previous_extent(&self, segment: SegmentNumber) -> Option<u32> {
        self.row(segment).map(|own| own.previous_extent)
    }
}

#[cfg(test)]
mod tests;

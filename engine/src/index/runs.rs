//! The runs of one extent in memory, in log order, and for each segment which of them are its own. This is the index of
//! the open extent, and of a sealed one until its index file is written.

use super::lists::Lists;
use super::rows::Rows;
use super::{Place, Run};
use crate::model::{Sequence, Timestamp};

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

    fn place(&self) -> Place {
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
#[derive(Debug, Default)]
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
    pub(crate) fn in_order(&self, from: Place) -> impl Iterator<Item = OwnedRun> {
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
    pub(crate) fn last_place(&self) -> Option<Place> {
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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The same, as plainly as can be.
    #[derive(Default)]
    struct Model {
        runs: Vec<OwnedRun>,
        previous: BTreeMap<SegmentNumber, u64>,
        last: Option<Place>,
    }

    impl Model {
        fn of(&self, segment: SegmentNumber) -> Vec<Run> {
            let there = self.previous.contains_key(&segment);
            let own = self.runs.iter().filter(|owned| there && owned.segment == segment);
            own.map(|owned| owned.run).collect()
        }
    }

    fn check(runs: &ExtentRuns, model: &Model) -> Result<(), TestCaseError> {
        prop_assert!(runs.in_order((0, 0)).eq(model.runs.iter().copied()));
        prop_assert_eq!(runs.last_place(), model.last);
        for at in (0..model.runs.len()).step_by(37) {
            let place = model.runs[at].run.place();
            prop_assert!(runs.in_order(place).eq(model.runs[at..].iter().copied()));
            let behind = runs.in_order((place.0, place.1 + 1));
            prop_assert!(behind.eq(model.runs[at + 1..].iter().copied()));
        }
        let mut by_segment: Vec<_> = runs.by_segment().collect();
        by_segment.sort_unstable_by_key(|(segment, ..)| *segment);
        let expected = model
            .previous
            .iter()
            .map(|(&segment, &previous)| (segment, previous, model.of(segment)));
        prop_assert!(by_segment.into_iter().eq(expected));
        for segment in (0..300).chain([5000]) {
            let own = model.of(segment);
            let first = own.first().map(|run| (model.previous[&segment], run.first_sequence));
            prop_assert_eq!(runs.first(segment), first);
            let last = own.last().map_or(0, |run| run.last_sequence().0);
            for (from, max) in [
                (0, 5),
                (1, usize::MAX),
                (last / 2, 3),
                (last / 2 + 1, 1000),
                (last, 1),
                (last + 1, 1),
                (1, 0),
            ] {
                let expected = own.iter().filter(|run| run.last_sequence().0 >= from).take(max);
                prop_assert!(runs.segment(segment, Sequence(from), max).iter().eq(expected));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn runs_are_found_as_in_a_plain_list(
            pushes in proptest::collection::vec((0_u32..300, 0_u32..3, 1_u32..4, 0_i64..2, 0_u32..200), 0..1500),
        ) {
            let mut runs = ExtentRuns::new(1);
            let mut model = Model::default();
            let mut heads = BTreeMap::new();
            let (mut byte, mut section, mut time) = (4096, 48, 100);
            for (segment, kind, count, later, forgotten) in pushes {
                // Half of all runs are of two segments, so that lists grow beyond their first chunks.
                let segment = if kind == 0 { segment } else { kind };
                if later == 1 {
                    (byte, section, time) = (byte + 100, 48, time + 1);
                } else {
                    section += 30;
                }
                let head = heads.entry(segment).or_insert(0);
                let run = Run {
                    first_sequence: Sequence(*head + 1),
                    timestamp: Timestamp(time),
                    trx_byte: byte,
                    section_offset: section,
                    count,
                };
                *head += u64::from(count);
                runs.push(segment, &run, segment + 7);
                model.runs.push(OwnedRun { segment, run });
                model.previous.entry(segment).or_insert(u64::from(segment) + 7);
                model.last = Some(run.place());
                if forgotten == 0 {
                    // Its number is used again.
                    runs.forget(segment);
                    model.previous.remove(&segment);
                    model.runs.retain(|owned| owned.segment != segment);
                    heads.remove(&segment);
                }
            }
            check(&runs, &model)?;
        }
    }

    #[test]
    fn a_scan_of_a_long_list_in_parts_sees_every_run_once() {
        let mut runs = ExtentRuns::new(1);
        for number in 0..50_000_u32 {
            let run = Run {
                first_sequence: Sequence(1 + 2 * u64::from(number)),
                timestamp: Timestamp(i64::from(number / 10)),
                trx_byte: 4096 + number * 80,
                section_offset: 48,
                count: 2,
            };
            runs.push(9, &run, 0);
        }
        let (mut next, mut seen) = (Sequence::FIRST, 0);
        loop {
            let part = runs.segment(9, next, 1024);
            let Some(last) = part.last() else { break };
            assert_eq!(part[0].first_sequence, next);
            assert!(
                part.iter()
                    .all(|run| run.timestamp.0 == (run.first_sequence.0 as i64 - 1) / 20)
            );
            (next, seen) = (last.last_sequence().next(), seen + part.len());
        }
        assert_eq!(seen, 50_000);
    }
}

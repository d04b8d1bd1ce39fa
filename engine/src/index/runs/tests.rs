//! Tests of [`super`].

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The same, as plainly as can be.
#[derive(Default)]
struct Model {
    runs: Vec<OwnedRun>,
    previous: BTreeMap<SegmentNumber, u64>,
    last: Option<SectionAt>,
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

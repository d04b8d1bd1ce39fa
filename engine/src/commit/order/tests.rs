//! The rulings: one by one, and all that two small segments allow.

use streamkit_record::Expected;

use super::*;

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn claim(segment: &str, first: u64, count: u64) -> SequenceClaim {
    SequenceClaim {
        path: path(segment),
        first: Sequence(first),
        count,
    }
}

fn condition(segment: &str, expected: Expected) -> Condition {
    Condition {
        path: path(segment),
        expected,
    }
}

fn heads(path: &SegmentPath) -> Sequence {
    Sequence(if path.segment.as_str() == "a" { 5 } else { 0 })
}

fn rule_all(order: &mut CommitOrder, segments: &mut [SequenceClaim], conditions: &[Condition]) -> Ruling {
    let claims = Claims {
        segments,
        conditions,
        id: None,
    };
    order.rule(claims, heads)
}

fn rule(order: &mut CommitOrder, claims: &[SequenceClaim]) -> Ruling {
    rule_all(order, &mut claims.to_vec(), &[])
}

fn conflict(segment: &str, head: u64, got: Option<u64>) -> Conflict {
    Conflict {
        path: path(segment),
        head: Sequence(head),
        got: got.map(Sequence),
    }
}

#[test]
fn one_of_two_equal_claims_wins_and_the_other_waits_for_durability() {
    let mut order = CommitOrder::default();
    assert_eq!(rule(&mut order, &[claim("a", 6, 1)]), Ruling::Accept);
    assert_eq!(rule(&mut order, &[claim("a", 6, 1)]), Ruling::Later);
}

#[test]
fn a_claim_may_continue_one_of_the_same_group() {
    let mut order = CommitOrder::default();
    assert_eq!(rule(&mut order, &[claim("a", 6, 3)]), Ruling::Accept);
    assert_eq!(rule(&mut order, &[claim("a", 9, 1)]), Ruling::Accept);
}

#[test]
fn a_gap_and_a_repeat_conflict_with_the_durable_head() {
    for first in [1, 5, 7] {
        let ruling = rule(&mut CommitOrder::default(), &[claim("a", first, 1)]);
        assert_eq!(ruling, Ruling::Conflict(vec![conflict("a", 5, Some(first))]));
    }
}

#[test]
fn a_claim_may_continue_a_group_under_way_and_no_other_is_told_of_its_head() {
    let mut order = CommitOrder::default();
    let rule = |order: &mut CommitOrder, first, ruling| {
        assert_eq!(rule(order, &[claim("a", first, 1)]), ruling);
        order.formed()
    };
    let first = rule(&mut order, 6, Ruling::Accept);
    let second = rule(&mut order, 7, Ruling::Accept);
    rule(&mut order, 7, Ruling::Later);
    order.landed(first, [claim("a", 6, 1)].iter());
    rule(&mut order, 7, Ruling::Later);
    rule(&mut order, 9, Ruling::Later);
    order.landed(second, [claim("a", 7, 1)].iter());
    rule(&mut order, 7, Ruling::Conflict(vec![conflict("a", 5, Some(7))]));
}

#[test]
fn a_transaction_over_several_segments_goes_whole_or_not_at_all() {
    let mut order = CommitOrder::default();
    let refused = rule(&mut order, &[claim("b", 1, 1), claim("a", 9, 1)]);
    assert_eq!(refused, Ruling::Conflict(vec![conflict("a", 5, Some(9))]));
    assert_eq!(rule(&mut order, &[claim("b", 1, 1)]), Ruling::Accept);
}

#[test]
fn whoever_takes_any_sequence_gets_the_next_one_in_commit_order() {
    let mut order = CommitOrder::default();
    let mut next = [claim("a", 0, 2), claim("b", 0, 1)];
    for (a, b) in [(6, 1), (8, 2), (10, 3)] {
        (next[0].first, next[1].first) = (SegmentAppend::NEXT, SegmentAppend::NEXT);
        assert_eq!(rule_all(&mut order, &mut next, &[]), Ruling::Accept);
        assert_eq!((next[0].first, next[1].first), (Sequence(a), Sequence(b)));
        order.formed();
    }
    assert_eq!(rule(&mut order, &[claim("a", 12, 1)]), Ruling::Accept);
}

#[test]
fn who_takes_any_sequence_does_not_overtake_who_waits_for_that_head() {
    let mut order = CommitOrder::default();
    assert_eq!(rule(&mut order, &[claim("a", 0, 1)]), Ruling::Accept);
    let group = order.formed();
    assert_eq!(rule(&mut order, &[claim("a", 6, 1)]), Ruling::Later);
    assert_eq!(rule(&mut order, &[claim("a", 0, 1)]), Ruling::Later);
    assert_eq!(rule(&mut order, &[claim("b", 0, 1)]), Ruling::Accept);
    order.landed(group, [claim("a", 6, 1)].iter());
    assert_eq!(rule(&mut order, &[claim("a", 0, 1)]), Ruling::Accept);
}

#[test]
fn an_id_that_is_under_way_waits_until_it_is_durable() {
    let mut order = CommitOrder::default();
    let rule = |order: &mut CommitOrder, id| {
        let claims = Claims {
            segments: &mut [claim("b", 0, 1)],
            conditions: &[],
            id: Some(Uuid::from_u128(id)),
        };
        order.rule(claims, heads)
    };
    assert_eq!(rule(&mut order, 1), Ruling::Accept);
    assert_eq!(rule(&mut order, 1), Ruling::Later);
    let group = order.formed();
    assert_eq!(rule(&mut order, 2), Ruling::Accept);
    assert_eq!(rule(&mut order, 1), Ruling::Later);
    order.landed(group, [].iter());
    assert_eq!(rule(&mut order, 1), Ruling::Accept);
    assert_eq!(rule(&mut order, 2), Ruling::Later);
}

#[test]
fn a_refusal_names_each_segment_that_is_not_as_demanded_once() {
    let mut claims = [claim("c", 4, 1), claim("a", 9, 1)];
    let conditions = [
        condition("b", Expected::Exists),
        condition("a", Expected::IsAbsent),
        condition("d", Expected::IsAbsent),
        condition("b", Expected::Head(Sequence(1))),
    ];
    let ruling = rule_all(&mut CommitOrder::default(), &mut claims, &conditions);
    let failed = vec![
        conflict("a", 5, Some(9)),
        conflict("b", 0, None),
        conflict("c", 0, Some(4)),
    ];
    assert_eq!(ruling, Ruling::Conflict(failed));
}

/// All that can be asked of a segment with a small head.
const EXPECTED: [Expected; 5] = [
    Expected::Head(Sequence(0)),
    Expected::Head(Sequence(1)),
    Expected::Head(Sequence(2)),
    Expected::Exists,
    Expected::IsAbsent,
];

fn holds(expected: Expected, head: u64) -> bool {
    match expected {
        Expected::Head(expected) => expected.0 == head,
        Expected::Exists => head > 0,
        Expected::IsAbsent => head == 0,
    }
}

/// Two segments with each small durable head, each extended or not by a transaction before; then each demand on both.
#[test]
fn every_ruling_on_two_segments_is_that_of_the_plain_rule() {
    let mut rulings = [0; 3];
    let names = ["x", "y"];
    for case in 0..3 * 3 * 2 * 2 * 4 * 5 * 6 {
        let mut left = case;
        let mut pick = |of: usize| {
            let picked = left % of;
            left /= of;
            picked
        };
        let durable = [pick(3) as u64, pick(3) as u64];
        let is_ahead = [pick(2) == 1, pick(2) == 1];
        // Of the first segment a sequence or any; of both a condition; none of the second in one of six.
        let first = pick(4) as u64;
        let conditions = [Some(EXPECTED[pick(5)]), EXPECTED.get(pick(6)).copied()];
        let head_of = |path: &SegmentPath| Sequence(durable[usize::from(path.segment.as_str() == "y")]);
        let mut order = CommitOrder::default();
        let mut ahead: Vec<_> = (0..2).filter(|&n| is_ahead[n]).map(|n| claim(names[n], 0, 1)).collect();
        let before = Claims {
            segments: &mut ahead,
            conditions: &[],
            id: None,
        };
        assert_eq!(order.rule(before, head_of), Ruling::Accept);

        let heads = [0, 1].map(|n| durable[n] + u64::from(is_ahead[n]));
        let fits = [0, 1].map(|n| {
            let sequence = n == 1 || first == 0 || first == heads[n] + 1;
            sequence && conditions[n].is_none_or(|expected| holds(expected, heads[n]))
        });
        let mut claims = [claim("x", first, 1)];
        let listed: Vec<_> = (0..2)
            .filter_map(|n| Some(condition(names[n], conditions[n]?)))
            .collect();
        let asked = Claims {
            segments: &mut claims,
            conditions: &listed,
            id: None,
        };
        let which = match order.rule(asked, head_of) {
            Ruling::Accept => {
                assert!(fits[0] && fits[1], "{case}");
                assert_eq!(claims[0].first.0, heads[0] + 1, "{case}");
                0
            }
            Ruling::Later => {
                assert!((0..2).any(|n| is_ahead[n] && !fits[n]), "{case}");
                1
            }
            Ruling::Conflict(failed) => {
                let told: Vec<_> = failed.iter().map(|one| (&one.path, one.head.0)).collect();
                let paths = names.map(path);
                let wrong = (0..2).filter(|&n| !fits[n]);
                assert!(wrong.clone().all(|n| !is_ahead[n]), "{case}");
                assert_eq!(
                    told,
                    wrong.map(|n| (&paths[n], durable[n])).collect::<Vec<_>>(),
                    "{case}"
                );
                assert!(!told.is_empty());
                2
            }
        };
        rulings[which] += 1;
    }
    assert!(rulings.iter().all(|&count| count > 100), "{rulings:?}");
}

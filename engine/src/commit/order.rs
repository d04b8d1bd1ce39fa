//! Decides which transactions go into the next group, without I/O. The sequence rule is checked here and nowhere else.

use std::collections::HashMap;

use streamkit_record::{SegmentPath, Sequence};

/// One segment that a transaction wants to extend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceClaim {
    /// The segment.
    pub path: SegmentPath,
    /// The sequence of its first record.
    pub first: Sequence,
    /// Number of records.
    pub count: u64,
}

/// The ruling on a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// It goes into the group.
    Accept,
    /// It does not fit the durable heads.
    Conflict {
        /// The segment.
        path: SegmentPath,
        /// Its durable head.
        head: Sequence,
        /// The first sequence of the transaction.
        got: Sequence,
    },
    /// It does not fit the heads that groups under way will leave. Nobody learns of a head that power loss could take
    /// back, so it gets another ruling once they are durable.
    Later,
}

/// The heads as the groups under way, and the one being formed, will leave them.
#[derive(Debug, Default)]
pub struct CommitOrder {
    ahead: HashMap<SegmentPath, PendingHead>,
    /// Number of the group being formed.
    forming: u64,
}

/// The effect of groups under way on a segment.
#[derive(Debug)]
struct PendingHead {
    head: Sequence,
    /// The last group that extends it.
    group: u64,
}

impl CommitOrder {
    /// Rules on one transaction. After [`Ruling::Accept`] its records count for the following ones.
    pub fn rule(&mut self, claims: &[SequenceClaim], durable_head: impl Fn(&SegmentPath) -> Sequence) -> Ruling {
        let mut later = false;
        for claim in claims {
            match self.ahead.get(&claim.path) {
                Some(ahead) => later |= ahead.head.next() != claim.first,
                None => {
                    let head = durable_head(&claim.path);
                    if head.next() != claim.first {
                        return Ruling::Conflict {
                            path: claim.path.clone(),
                            head,
                            got: claim.first,
                        };
                    }
                }
            }
        }
        if later {
            return Ruling::Later;
        }
        for claim in claims {
            let ahead = PendingHead {
                head: Sequence(claim.first.0 + claim.count - 1),
                group: self.forming,
            };
            self.ahead.insert(claim.path.clone(), ahead);
        }
        Ruling::Accept
    }

    /// The group is formed and under way; further transactions go into the next one. Returns its number.
    pub fn formed(&mut self) -> u64 {
        self.forming += 1;
        self.forming - 1
    }

    /// A group is durable: for segments that no later group extends, the durable head is the head again.
    pub fn landed<'a>(&mut self, group: u64, claims: impl Iterator<Item = &'a SequenceClaim>) {
        for claim in claims {
            if self.ahead.get(&claim.path).is_some_and(|ahead| ahead.group == group) {
                self.ahead.remove(&claim.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(segment: &str, first: u64, count: u64) -> SequenceClaim {
        SequenceClaim {
            path: SegmentPath::new("s", segment).unwrap(),
            first: Sequence(first),
            count,
        }
    }

    fn heads(path: &SegmentPath) -> Sequence {
        Sequence(if path.segment.as_str() == "a" { 5 } else { 0 })
    }

    #[test]
    fn one_of_two_equal_claims_wins_and_the_other_waits_for_durability() {
        let mut order = CommitOrder::default();
        assert_eq!(order.rule(&[claim("a", 6, 1)], heads), Ruling::Accept);
        assert_eq!(order.rule(&[claim("a", 6, 1)], heads), Ruling::Later);
    }

    #[test]
    fn a_claim_may_continue_one_of_the_same_group() {
        let mut order = CommitOrder::default();
        assert_eq!(order.rule(&[claim("a", 6, 3)], heads), Ruling::Accept);
        assert_eq!(order.rule(&[claim("a", 9, 1)], heads), Ruling::Accept);
    }

    #[test]
    fn a_gap_and_a_repeat_conflict_with_the_durable_head() {
        for first in [1, 5, 7] {
            let ruling = CommitOrder::default().rule(&[claim("a", first, 1)], heads);
            let path = SegmentPath::new("s", "a").unwrap();
            assert_eq!(
                ruling,
                Ruling::Conflict {
                    path,
                    head: Sequence(5),
                    got: Sequence(first)
                }
            );
        }
    }

    #[test]
    fn a_claim_may_continue_a_group_under_way_and_no_other_is_told_of_its_head() {
        let mut order = CommitOrder::default();
        let rule = |order: &mut CommitOrder, first, ruling| {
            assert_eq!(order.rule(&[claim("a", first, 1)], heads), ruling);
            order.formed()
        };
        let first = rule(&mut order, 6, Ruling::Accept);
        let second = rule(&mut order, 7, Ruling::Accept);
        rule(&mut order, 7, Ruling::Later);
        order.landed(first, [claim("a", 6, 1)].iter());
        rule(&mut order, 7, Ruling::Later);
        rule(&mut order, 9, Ruling::Later);
        order.landed(second, [claim("a", 7, 1)].iter());
        assert!(matches!(
            order.rule(&[claim("a", 7, 1)], heads),
            Ruling::Conflict { .. }
        ));
    }

    #[test]
    fn a_transaction_over_several_segments_goes_whole_or_not_at_all() {
        let mut order = CommitOrder::default();
        assert!(matches!(
            order.rule(&[claim("b", 1, 1), claim("a", 9, 1)], heads),
            Ruling::Conflict { .. }
        ));
        assert_eq!(order.rule(&[claim("b", 1, 1)], heads), Ruling::Accept);
    }
}

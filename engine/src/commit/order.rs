//! Who goes into the next group: a pure decision. The sequence rule is checked here and nowhere else.

use std::collections::HashMap;

use crate::model::{SegmentPath, Sequence};

/// One segment that a transaction wants to extend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The segment.
    pub path: SegmentPath,
    /// The sequence of its first record.
    pub first: Sequence,
    /// How many records.
    pub count: u64,
}

/// What becomes of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// It goes into the group.
    Accept,
    /// It does not fit what is durable.
    Conflict {
        /// The segment.
        path: SegmentPath,
        /// Its durable head.
        head: Sequence,
        /// What the transaction wanted to write first.
        got: Sequence,
    },
    /// It does not fit what this very group will make of a segment. Nobody is told of a head that power loss could still
    /// take back, so it is ruled on again once the group is durable.
    Later,
}

/// The heads as the group being formed will leave them.
#[derive(Debug, Default)]
pub struct Order {
    ahead: HashMap<SegmentPath, Sequence>,
}

impl Order {
    /// Rules on one transaction; on [`Ruling::Accept`] its records count for those after it.
    pub fn rule(&mut self, claims: &[Claim], durable_head: impl Fn(&SegmentPath) -> Sequence) -> Ruling {
        let mut later = false;
        for claim in claims {
            match self.ahead.get(&claim.path) {
                Some(head) => later |= head.next() != claim.first,
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
            self.ahead
                .insert(claim.path.clone(), Sequence(claim.first.0 + claim.count - 1));
        }
        Ruling::Accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(segment: &str, first: u64, count: u64) -> Claim {
        Claim {
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
        let mut order = Order::default();
        assert_eq!(order.rule(&[claim("a", 6, 1)], heads), Ruling::Accept);
        assert_eq!(order.rule(&[claim("a", 6, 1)], heads), Ruling::Later);
    }

    #[test]
    fn a_claim_may_continue_one_of_the_same_group() {
        let mut order = Order::default();
        assert_eq!(order.rule(&[claim("a", 6, 3)], heads), Ruling::Accept);
        assert_eq!(order.rule(&[claim("a", 9, 1)], heads), Ruling::Accept);
    }

    #[test]
    fn a_gap_and_a_repeat_conflict_with_the_durable_head() {
        for first in [1, 5, 7] {
            let ruling = Order::default().rule(&[claim("a", first, 1)], heads);
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
    fn a_transaction_over_several_segments_goes_whole_or_not_at_all() {
        let mut order = Order::default();
        assert!(matches!(
            order.rule(&[claim("b", 1, 1), claim("a", 9, 1)], heads),
            Ruling::Conflict { .. }
        ));
        assert_eq!(order.rule(&[claim("b", 1, 1)], heads), Ruling::Accept);
    }
}

//! Checks whether the observations of many concurrent callers of one segment could have happened one after the other.
//! The segment is a register that only grows: appends raise its head, and reads, peeks, conflicts and status tell it.
//!
//! Each append takes effect at a moment between its call and its answer; each observation saw the head at a moment
//! between its call and its answer. Since heads only grow, appends are ordered by their sequences, and it suffices to
//! give each the earliest moment that all earlier ones allow.

use std::fmt;

/// A moment of the simulation: its steps are counted.
pub type Moment = u64;

/// An append that took effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Append {
    /// The head it continues.
    pub after: u64,
    /// The head it leaves.
    pub head: u64,
    /// When it was called.
    pub called: Moment,
    /// When it was answered; `None` if nobody was told.
    pub answered: Option<Moment>,
}

/// Somebody was told a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Observation {
    /// The head.
    pub head: u64,
    /// When it was asked for.
    pub called: Moment,
    /// When it was told.
    pub answered: Moment,
}

/// All that happened to one segment, from a head that was known.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// The head at the beginning.
    pub start: u64,
    /// In any order.
    pub appends: Vec<Append>,
    /// In any order.
    pub observations: Vec<Observation>,
}

/// Why it cannot have happened one after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation {
    /// An append does not continue the head that the one before it left.
    Gap(Append),
    /// An append was answered before it can have taken effect.
    TooEarly(Append),
    /// A head was told that the segment never had.
    NeverHad(Observation),
    /// A head was told before the segment can have had it: it was taken back, or told too soon.
    NotYet(Observation),
    /// A head was told though a larger one had been told, or acknowledged, before it was asked for.
    Stale(Observation),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(append) => write!(f, "an append that continues no head: {append:?}"),
            Self::TooEarly(append) => write!(f, "acknowledged before it can have taken effect: {append:?}"),
            Self::NeverHad(seen) => write!(f, "a head that never was: {seen:?}"),
            Self::NotYet(seen) => write!(f, "a head told before it can have been: {seen:?}"),
            Self::Stale(seen) => write!(f, "a head told after a larger one was: {seen:?}"),
        }
    }
}

impl History {
    /// Checks it.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self) -> Result<(), Violation> {
        let mut appends = self.appends.clone();
        appends.sort_unstable_by_key(|append| append.head);
        // When each head may have come at the earliest, and when the next one must have at the latest.
        let mut heads = vec![(self.start, 0)];
        let mut observations = self.observations.clone();
        observations.sort_unstable_by_key(|seen| seen.head);
        let mut seen = observations.as_slice();
        for append in &appends {
            let &(head, since) = heads.last().expect("there is a first one");
            if append.after != head {
                return Err(Violation::Gap(*append));
            }
            // Whoever was told the head before asked before this took effect.
            let mut earliest = since.max(append.called);
            while let Some((first, rest)) = seen.split_first()
                && first.head <= head
            {
                check_one(first, head, since)?;
                earliest = earliest.max(first.called);
                seen = rest;
            }
            if append.answered.is_some_and(|answered| answered < earliest) {
                // Either the append came too late, or what was told after it was stale.
                let stale = self.observations.iter().find(|seen| {
                    seen.head < append.head && append.answered.is_some_and(|answered| answered < seen.called)
                });
                return Err(stale.map_or(Violation::TooEarly(*append), |&seen| Violation::Stale(seen)));
            }
            heads.push((append.head, earliest));
        }
        let &(head, since) = heads.last().expect("there is a first one");
        for seen in seen {
            check_one(seen, head, since)?;
        }
        Ok(())
    }
}

fn check_one(seen: &Observation, head: u64, since: Moment) -> Result<(), Violation> {
    if seen.head != head {
        Err(Violation::NeverHad(*seen))
    } else if seen.answered < since {
        Err(Violation::NotYet(*seen))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(after: u64, head: u64, called: Moment, answered: Option<Moment>) -> Append {
        Append {
            after,
            head,
            called,
            answered,
        }
    }

    fn seen(head: u64, called: Moment, answered: Moment) -> Observation {
        Observation { head, called, answered }
    }

    fn check(appends: &[Append], observations: &[Observation]) -> Result<(), Violation> {
        History {
            start: 0,
            appends: appends.to_vec(),
            observations: observations.to_vec(),
        }
        .check()
    }

    #[test]
    fn what_can_be_put_in_an_order_passes() {
        let appends = [
            append(0, 2, 1, Some(5)),
            append(2, 3, 2, Some(9)),
            append(3, 4, 8, None),
        ];
        let during = [
            seen(0, 1, 4),
            seen(2, 3, 5),
            seen(0, 2, 9),
            seen(3, 6, 7),
            seen(4, 9, 10),
        ];
        assert_eq!(check(&appends, &during), Ok(()));
        assert_eq!(check(&[], &[seen(0, 1, 2)]), Ok(()));
    }

    #[test]
    fn a_read_after_an_acknowledgement_that_does_not_see_it_fails() {
        let stale = seen(0, 6, 7);
        assert_eq!(
            check(&[append(0, 1, 1, Some(5))], &[stale]),
            Err(Violation::Stale(stale))
        );
    }

    #[test]
    fn a_read_before_the_call_that_sees_it_fails() {
        let early = seen(1, 2, 3);
        assert_eq!(
            check(&[append(0, 1, 4, Some(5))], &[early]),
            Err(Violation::NotYet(early))
        );
    }

    #[test]
    fn two_reads_that_see_a_head_and_then_a_smaller_one_fail() {
        let reads = [seen(1, 3, 4), seen(0, 5, 6)];
        let outcome = check(&[append(0, 1, 1, None)], &reads);
        assert_eq!(outcome, Err(Violation::NotYet(reads[0])));
    }

    #[test]
    fn a_head_that_nobody_wrote_or_half_a_transaction_fails() {
        for head in [1, 4] {
            let odd = seen(head, 6, 7);
            assert_eq!(
                check(&[append(0, 3, 1, Some(5))], &[odd]),
                Err(Violation::NeverHad(odd))
            );
        }
        let gap = append(4, 5, 6, Some(7));
        assert_eq!(check(&[append(0, 3, 1, Some(5)), gap], &[]), Err(Violation::Gap(gap)));
    }
}

//! What another host's answer to an append proves, in the engine's words.

use streamkit_client::record::Sequence;
use streamkit_client::{Appended, Error};
use streamkit_engine::{
    Busy, Committed, Conflict, Expected, Rejection, SegmentAppend, SegmentPath, SegmentStatus, Transaction, Trx,
};

use crate::host::HostId;

/// What became of an append that was forwarded.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It is stored.
    Committed(Committed),
    /// It is not, and why: the words that the store of that host used.
    Rejected(Rejection),
    /// It is not, since that host did not take it, or has a reason that the link does not tell in full. The own store has another answer, or tells
    /// the same one in full.
    NotTaken(String),
    /// It is not, since that host did not let this one in.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

impl Answer {
    /// What a client's result says.
    pub(super) fn of(result: Result<Appended, Error>, transaction: &Transaction, by: HostId) -> Self {
        match result {
            Ok(appended) => Self::Committed(committed(&appended, transaction, by)),
            Err(Error::Conflicts { heads, .. }) => match conflict(heads, transaction) {
                Some(why) => Self::Rejected(why),
                None => Self::Unknown("a conflict that says of no segment that it is not as demanded".to_owned()),
            },
            Err(Error::OtherRecords { position }) => Self::Rejected(Rejection::OtherRecords { number: position }),
            Err(Error::FencedOff { token }) => match &transaction.fence {
                Some(fence) if fence.token.0 == token => Self::Rejected(Rejection::FencedOff(fence.clone())),
                _ => Self::Unknown("fenced off by a token that was not sent".to_owned()),
            },
            Err(Error::TryLater { why, after }) => Self::Rejected(Rejection::Busy(Busy {
                why,
                retry_after: after,
            })),
            Err(
                error @ (Error::Unauthorized | Error::TokenExpired { .. } | Error::AccessDenied | Error::Tls { .. }),
            ) => Self::Refused(error.to_string()),
            Err(error) if error.is_not_stored() => Self::NotTaken(error.to_string()),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    /// Why the host had better not be asked again at once; `None`: it has answered.
    pub(super) fn failure(&self) -> Option<&str> {
        match self {
            Self::Committed(_) | Self::Rejected(_) => None,
            Self::NotTaken(why) | Self::Refused(why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// A commit as the link tells it. Of segments it tells what the transaction has made of them, and not where they begin.
fn committed(appended: &Appended, transaction: &Transaction, by: HostId) -> Committed {
    let segments = transaction.segments.iter().zip(&appended.sections);
    Committed {
        trx: Trx {
            id: transaction.id,
            node: by.0,
            number: appended.position,
        },
        timestamp: appended.timestamp,
        segments: segments
            .map(|(part, (first, last))| SegmentStatus {
                path: part.path.clone(),
                first_sequence: *first,
                first_timestamp: appended.timestamp,
                last_sequence: *last,
                last_timestamp: appended.timestamp,
            })
            .collect(),
        was_there: appended.is_known,
    }
}

/// A conflict as the engine tells it: where one sequence alone is wrong, only that.
fn conflict(heads: Vec<(SegmentPath, Sequence)>, transaction: &Transaction) -> Option<Rejection> {
    let conflicts = heads.into_iter().map(|(path, head)| {
        let got = section(transaction, &path).filter(|first| *first != SegmentAppend::NEXT && *first != head.next());
        Conflict { path, head, got }
    });
    let mut conflicts: Vec<Conflict> = conflicts.collect();
    match &mut conflicts[..] {
        [] => None,
        [
            Conflict {
                path,
                head,
                got: Some(got),
            },
        ] => Some(Rejection::Conflict {
            path: path.clone(),
            head: *head,
            got: *got,
        }),
        _ => Some(Rejection::Conflicts(conflicts)),
    }
}

/// The first sequence that a transaction has for a segment.
fn section(transaction: &Transaction, path: &SegmentPath) -> Option<Sequence> {
    let part = transaction.segments.iter().find(|part| part.path == *path)?;
    Some(part.first_sequence)
}

/// Whether a rejection by the own store says of an append that was sent to another host, too, that it is not and will not be stored, though that one may
/// come to it late. What a later commit may bring about is not final; only the deletion of a segment may undo the others.
pub(crate) fn is_final(why: &Rejection, transaction: &Transaction) -> bool {
    let is_passed = |path: &SegmentPath, head: Sequence, got: Option<Sequence>| {
        let demanded = transaction
            .conditions
            .iter()
            .filter(|condition| condition.path == *path);
        got.is_some_and(|got| got <= head)
            || demanded.into_iter().any(|condition| match condition.expected {
                Expected::Head(expected) => expected < head,
                Expected::IsAbsent => head > Sequence(0),
                Expected::Exists => false,
            })
    };
    match why {
        Rejection::Conflict { path, head, got } => is_passed(path, *head, Some(*got)),
        Rejection::Conflicts(conflicts) => conflicts
            .iter()
            .any(|conflict| is_passed(&conflict.path, conflict.head, conflict.got)),
        Rejection::FencedOff(_) | Rejection::OtherRecords { .. } | Rejection::Invalid(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use streamkit_engine::{Condition, Record};

    use super::*;

    fn path(segment: &str) -> SegmentPath {
        SegmentPath::new("s", segment).unwrap()
    }

    fn of(first: u64, conditions: Vec<Condition>) -> Transaction {
        Transaction::single(path("a"), Sequence(first), vec![Record::new("x")]).under(conditions)
    }

    fn demands(segment: &str, expected: Expected) -> Condition {
        let path = path(segment);
        Condition { path, expected }
    }

    #[test]
    fn a_conflict_is_told_as_the_engine_tells_it() {
        let heads = |heads: &[(&str, u64)]| heads.iter().map(|(at, head)| (path(at), Sequence(*head))).collect();
        let one = conflict(heads(&[("a", 7)]), &of(3, vec![]));
        assert!(
            matches!(
                one,
                Some(Rejection::Conflict {
                    head: Sequence(7),
                    got: Sequence(3),
                    ..
                })
            ),
            "{one:?}"
        );
        // Its own sequence is right, and a condition on it is not.
        let demanded = conflict(heads(&[("a", 7)]), &of(8, vec![demands("a", Expected::IsAbsent)]));
        assert!(
            matches!(&demanded, Some(Rejection::Conflicts(all)) if all[0].got.is_none()),
            "{demanded:?}"
        );
        let both = conflict(
            heads(&[("a", 7), ("b", 0)]),
            &of(3, vec![demands("b", Expected::Exists)]),
        );
        assert!(
            matches!(&both, Some(Rejection::Conflicts(all)) if all[0].got == Some(Sequence(3)) && all[1].got.is_none())
        );
        assert!(conflict(vec![], &of(3, vec![])).is_none());
    }

    #[test]
    fn what_a_later_commit_may_bring_about_is_not_final() {
        let failed = |segment: &str, head, got: Option<u64>| Conflict {
            path: path(segment),
            head: Sequence(head),
            got: got.map(Sequence),
        };
        let says = |conflict, transaction: &Transaction| is_final(&Rejection::Conflicts(vec![conflict]), transaction);
        assert!(says(failed("a", 7, Some(7)), &of(7, vec![])));
        assert!(!says(failed("a", 7, Some(9)), &of(9, vec![])), "the head may come to 8");
        for (expected, head, is_it) in [
            (Expected::IsAbsent, 7, true),
            (Expected::Head(Sequence(6)), 7, true),
            (Expected::Head(Sequence(8)), 7, false),
            (Expected::Exists, 0, false),
        ] {
            let transaction = of(1, vec![demands("b", expected)]);
            assert_eq!(says(failed("b", head, None), &transaction), is_it, "{expected:?}");
        }
        for passes in [Rejection::DiskFull, Rejection::TooManyLeases] {
            assert!(!is_final(&passes, &of(1, vec![])));
        }
        assert!(is_final(&Rejection::OtherRecords { number: 3 }, &of(1, vec![])));
    }
}

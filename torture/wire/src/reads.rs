//! Whether what a read brought is what it had to bring.

use std::ops::Range;

use streamkit_torture::history::Moment;

use crate::sightings::Places;
use crate::truth::Truth;
use crate::witness::{Attempt, Broken, ReadSeen, written};

/// By when somebody was told that an entry is there.
pub(crate) struct Acknowledged {
    /// Of each entry in the order of the log; the last moment of all for one that nobody was told of.
    of: Vec<Moment>,
    /// The earliest of it and of all behind it.
    from_here: Vec<Moment>,
}

impl Acknowledged {
    pub fn new(truth: &Truth, attempts: &[Attempt]) -> Self {
        let answered = |entry| written(entry, attempts).and_then(|(attempt, ..)| attempts[attempt].answered);
        let of: Vec<Moment> = truth
            .entries
            .iter()
            .map(|entry| answered(entry).unwrap_or(Moment::MAX))
            .collect();
        Self::of(of)
    }

    fn of(of: Vec<Moment>) -> Self {
        let mut from_here = of.clone();
        for at in (1..of.len()).rev() {
            from_here[at - 1] = from_here[at - 1].min(from_here[at]);
        }
        Self { of, from_here }
    }

    /// Behind the last entry that somebody was told of before a moment.
    fn end(&self, moment: Moment) -> usize {
        self.from_here.partition_point(|earliest| *earliest < moment)
    }
}

/// A read brings a row of the entries of its mix, with no gap, from where it was to begin, up to some head of its time.
///
/// It looks at no more of the log than the read had to, so that many short reads of a long log are judged soon.
pub(crate) fn read_of(read: &ReadSeen, truth: &Truth, seen: &Places, acknowledged: &Acknowledged) -> Option<Broken> {
    let fails = |why: String| {
        Some(format!(
            "a read of {:?} behind {:?}, newest first: {}, limit {}, at least {}, whole: {}, brings {} entries: {why}",
            read.mix,
            read.behind,
            read.newest_first,
            read.limit,
            read.at_least,
            read.is_whole,
            read.entries.len()
        ))
    };
    let behind = match &read.behind {
        None => 0,
        Some((path, sequence)) => match truth.place(path, *sequence) {
            Some(at) => at + 1,
            None => return fails("its cursor stands behind what is not there".to_owned()),
        },
    };
    // What is not there is told of by itself.
    let places: Vec<usize> = read.entries.iter().map_while(|entry| seen.of(*entry)).collect();
    let count = places.len();
    if count < read.entries.len() {
        return fails("not all are there".to_owned());
    }
    if count as u64 > read.limit {
        return fails("too many".to_owned());
    }
    let of_mix = |range: Range<usize>| range.filter(|&at| read.mix.has(&truth.entries[at]));
    let row = match (read.newest_first, &*places) {
        (_, []) => behind..behind,
        (false, [.., last]) => behind..last + 1,
        (true, [first, ..]) if *first < behind => return fails(format!("{first} stands before its place {behind}")),
        (true, [first, .., last]) => *first..last + 1,
        (true, [only]) => *only..only + 1,
    };
    if let Some(Difference { at, one, other }) = difference(places.iter().copied(), of_mix(row.clone())) {
        return fails(format!("as number {at} it brings {one:?}, and {other:?} is due"));
    }
    if !read.is_whole || (count as u64 == read.limit && !read.newest_first) {
        return None;
    }
    // What had to be told: all that was acknowledged before, and what was asked for.
    let horizon = acknowledged.end(read.called).max(truth.end_of(read.at_least));
    let had_to_come = |at: &usize| acknowledged.of[*at] < read.called || truth.entries[*at].trx.number <= read.at_least;
    if let Some(at) = of_mix(row.end..horizon.max(row.end)).find(had_to_come) {
        let entry = &truth.entries[at];
        return fails(format!(
            "it ends before {} {}, which was due",
            entry.path, entry.sequence
        ));
    }
    // Without a limit, it goes back to where it was to begin.
    if (count as u64) < read.limit
        && read.newest_first
        && !places.is_empty()
        && let Some(at) = of_mix(behind..row.start).next()
    {
        let entry = &truth.entries[at];
        return fails(format!("it goes not back to {} {}", entry.path, entry.sequence));
    }
    None
}

/// Where two rows differ first.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Difference<T> {
    /// How many are alike before.
    pub at: usize,
    /// What the one has there; `None`: it is at its end.
    pub one: Option<T>,
    /// And the other.
    pub other: Option<T>,
}

pub(crate) fn difference<T: PartialEq>(
    one: impl Iterator<Item = T>,
    other: impl Iterator<Item = T>,
) -> Option<Difference<T>> {
    let (mut one, mut other) = (one.fuse(), other.fuse());
    for at in 0.. {
        match (one.next(), other.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (one, other) => return Some(Difference { at, one, other }),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use streamkit_client::record::{Entry, Filter, Sequence, Timestamp, Trx, Wanted};
    use streamkit_torture::record::{Origin, record};
    use uuid::Uuid;

    use super::*;
    use crate::sightings::Sightings;
    use crate::witness::{Mix, SEGMENTS, name, path};

    /// Entries in turn of all segments, each of a transaction of its own.
    fn truth(entries: u64) -> Truth {
        let entry = |at: u64| Entry {
            path: path(at as usize % SEGMENTS.len()),
            sequence: Sequence(1 + at / SEGMENTS.len() as u64),
            timestamp: Timestamp(0),
            trx: Trx {
                number: 1 + at,
                node: Uuid::nil(),
                id: Uuid::from_u128(at.into()),
            },
            payload: record(Origin {
                attempt: at,
                part: 0,
                record: 0,
                extra: 0,
            })
            .payload,
            metadata: Default::default(),
        };
        Truth::of((0..entries).map(entry).collect())
    }

    fn judged(read: ReadSeen, brings: &[usize], told: &[Moment]) -> Option<Broken> {
        let truth = truth(told.len() as u64);
        let mut sightings = Sightings::default();
        let entries = brings
            .iter()
            .map(|at| sightings.keep(truth.entries[*at].clone()))
            .collect();
        let acknowledged = Acknowledged::of(told.to_vec());
        let places = sightings.places(&truth);
        read_of(&ReadSeen { entries, ..read }, &truth, &places, &acknowledged)
    }

    fn read(newest_first: bool, limit: u64) -> ReadSeen {
        ReadSeen {
            mix: Mix {
                parts: vec![Wanted::Space(name("ledger"))],
                filter: Filter::default(),
            },
            behind: None,
            newest_first,
            entries: Vec::new(),
            limit,
            at_least: 0,
            called: 10,
            is_whole: true,
        }
    }

    #[test]
    fn a_read_is_right_only_with_each_entry_of_its_mix_from_its_begin_to_a_head_of_its_time() {
        // Of the ledger are 3, 4, 9, 10 and 15; the last one was acknowledged after the read was called.
        let told: Vec<Moment> = (0..16).map(|at| if at < 15 { at / 2 } else { 11 }).collect();
        let right = |read, brings: &[usize]| judged(read, brings, &told).is_none();
        for newest_first in [false, true] {
            let all = || read(newest_first, u64::MAX);
            assert!(right(all(), &[3, 4, 9, 10]));
            assert!(right(all(), &[3, 4, 9, 10, 15]));
            for wrong in [
                &[][..],
                &[3, 4, 9],
                &[4, 9, 10],
                &[3, 9, 10],
                &[3, 4, 4, 9, 10],
                &[4, 3, 9, 10],
                &[3, 4, 5, 9, 10],
            ] {
                assert!(!right(all(), wrong), "{newest_first} {wrong:?}");
            }
            let cut = || ReadSeen {
                is_whole: false,
                ..all()
            };
            assert!(right(cut(), &[]) && right(cut(), &[3, 4]));
            assert_eq!(right(cut(), &[4, 9]), newest_first);
            let least = || ReadSeen { at_least: 16, ..all() };
            assert!(right(least(), &[3, 4, 9, 10, 15]) && !right(least(), &[3, 4, 9, 10]));
            let behind = || ReadSeen {
                behind: Some((path(3), Sequence(1))),
                ..all()
            };
            assert!(right(behind(), &[4, 9, 10]) && !right(behind(), &[3, 4, 9, 10]) && !right(behind(), &[9, 10]));
        }
        assert!(right(read(false, 2), &[3, 4]) && right(read(true, 2), &[9, 10]) && right(read(true, 2), &[10, 15]));
        for wrong in [&[4, 9][..], &[9, 10], &[3], &[3, 4, 9]] {
            assert!(!right(read(false, 2), wrong), "{wrong:?}");
        }
        for wrong in [&[3, 4][..], &[10], &[15], &[3, 10], &[9, 10, 15]] {
            assert!(!right(read(true, 2), wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_there_was_seen_by_nobody() {
        let truth = truth(12);
        let mut sightings = Sightings::default();
        let there = sightings.keep(truth.entries[3].clone());
        let mut other = truth.entries[3].clone();
        other.payload = truth.entries[4].payload.clone();
        let strange = sightings.keep(other);
        assert_eq!(sightings.keep(truth.entries[3].clone()), there);
        let places = sightings.places(&truth);
        assert_eq!((places.of(there), places.of(strange)), (Some(3), None));
        assert_eq!(sightings.strange(&places).count(), 1);
    }
}

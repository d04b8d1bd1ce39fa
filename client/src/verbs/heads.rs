//! How far the segments of a log have come in a stream of its entries, in its order or the newest first: one that skips or repeats some is
//! found out.

use std::collections::{HashMap, HashSet};

use streamkit_record::{Entry, Filter, Name, SegmentPath, Sequence, Wanted};

use super::order::{Disorder, disorder, missing, stranger};

/// Segments whose sequences are checked: the first so many that occur. Names and numbers of more would take too much memory.
const SEGMENTS_CHECKED: usize = 65_536;

/// The last entry of each segment that came.
#[derive(Debug)]
pub(super) struct Heads {
    wanted: Parts,
    /// Whether entries within a segment are left out.
    has_gaps: bool,
    /// Whether the newest come first, batch by batch.
    is_backwards: bool,
    /// Of each segment, its last sequence, and the transaction of that.
    of: HashMap<SegmentPath, (Sequence, u64)>,
    /// The last transaction.
    last: u64,
}

/// What belongs to the stream.
#[derive(Debug)]
struct Parts {
    segments: HashSet<SegmentPath>,
    spaces: HashSet<Name>,
    prefixes: Vec<(Name, String)>,
    filter: Filter,
}

impl Parts {
    fn hold(&self, path: &SegmentPath) -> bool {
        let begins = |(space, prefix): &(Name, String)| {
            *space == path.space && path.segment.as_str().starts_with(prefix.as_str())
        };
        let is_named =
            self.spaces.contains(&path.space) || self.segments.contains(path) || self.prefixes.iter().any(begins);
        is_named && self.filter.passes_segment(path.segment.as_str().as_bytes())
    }
}

impl Heads {
    /// Before the first entry.
    pub(super) fn new(wanted: &[Wanted], filter: &Filter, is_backwards: bool) -> Self {
        let mut parts = Parts {
            segments: HashSet::new(),
            spaces: HashSet::new(),
            prefixes: Vec::new(),
            filter: filter.clone(),
        };
        for part in wanted.iter().cloned() {
            match part {
                Wanted::Segment(path) => _ = parts.segments.insert(path),
                Wanted::Space(space) => _ = parts.spaces.insert(space),
                Wanted::Prefix(space, prefix) => parts.prefixes.push((space, prefix)),
            }
        }
        Self {
            wanted: parts,
            has_gaps: !filter.metadata.is_empty(),
            is_backwards,
            of: HashMap::new(),
            last: if is_backwards { u64::MAX } else { 0 },
        }
    }

    /// Checks a batch that comes next, and goes on behind it. Within it entries stand in the order of the log, whatever the direction.
    pub(super) fn check(&mut self, entries: &[Entry]) -> Result<(), Disorder> {
        let runs = entries.chunk_by(|one, next| one.path == next.path);
        match self.is_backwards {
            false => runs.into_iter().try_for_each(|run| self.run(&run[0].path, run.iter())),
            true => runs.rev().try_for_each(|run| self.run(&run[0].path, run.iter().rev())),
        }
    }

    /// Entries of one segment, in the direction of the stream.
    fn run<'a>(&mut self, path: &SegmentPath, entries: impl Iterator<Item = &'a Entry>) -> Result<(), Disorder> {
        let mut known = self.of.get(path).copied();
        for entry in entries {
            let number = entry.trx.number;
            if if self.is_backwards {
                number > self.last
            } else {
                number < self.last
            } {
                return Err(disorder());
            }
            self.last = number;
            if self.has_gaps && !self.wanted.filter.passes_metadata(entry.metadata.encoded()) {
                return Err(stranger(entry));
            }
            match known {
                None if !self.wanted.hold(path) => return Err(stranger(entry)),
                None => {}
                Some(head) => self.follows(entry, head)?,
            }
            known = Some((entry.sequence, number));
        }
        let Some(known) = known else { return Ok(()) };
        if let Some(head) = self.of.get_mut(path) {
            *head = known;
        } else if self.of.len() < SEGMENTS_CHECKED {
            self.of.insert(path.clone(), known);
        }
        Ok(())
    }

    /// Whether an entry comes next behind that of a sequence and a transaction.
    fn follows(&self, entry: &Entry, (head, number): (Sequence, u64)) -> Result<(), Disorder> {
        let (lower, upper) = match self.is_backwards {
            false => (head, entry.sequence),
            true => (entry.sequence, head),
        };
        // A segment that was deleted begins anew, with a later transaction.
        let is_anew = !self.is_backwards && entry.sequence <= head && entry.trx.number > number;
        let fits = lower.next() == upper || self.has_gaps && lower < upper;
        match fits || is_anew {
            true => Ok(()),
            false if self.is_backwards => Err(missing(entry, Sequence(head.0.saturating_sub(1)))),
            false => Err(missing(entry, head.next())),
        }
    }
}

#[cfg(test)]
mod tests {
    use streamkit_record::Metadata;

    use super::super::order::tests::entry;
    use super::*;

    /// Whether entries of segments, each with a sequence and a transaction, may come so.
    fn come(filter: &Filter, entries: &[(&str, u64, u64)]) -> bool {
        let space = Name::new("s").unwrap();
        let parts = [
            Wanted::Prefix(space.clone(), "a".into()),
            Wanted::Segment(SegmentPath::new("s", "b").unwrap()),
        ];
        let mut heads = Heads::new(&parts, filter, false);
        entries
            .iter()
            .all(|&(segment, sequence, number)| heads.check(&[entry(segment, sequence, number)]).is_ok())
    }

    #[test]
    fn each_segment_comes_without_hole_or_repetition_whatever_the_mix() {
        let all = Filter::default();
        assert!(come(
            &all,
            &[("a", 3, 5), ("b", 1, 5), ("a", 4, 6), ("a2", 9, 6), ("b", 2, 7)]
        ));
        assert!(!come(&all, &[("a", 3, 5), ("b", 1, 5), ("a", 5, 6)]), "a hole");
        assert!(!come(&all, &[("a", 3, 5), ("a", 4, 5), ("a", 4, 5)]), "twice");
        assert!(!come(&all, &[("a", 3, 5), ("b", 1, 4)]), "back in the log");
        assert!(come(&all, &[("a", 3, 5), ("a", 1, 6)]), "deleted, and begun anew");
        let some = Filter {
            metadata: vec![("k".into(), "v".into())],
            ..Filter::default()
        };
        let parts = [Wanted::Space(Name::new("s").unwrap())];
        let come = |sequences: &[u64]| {
            let mut heads = Heads::new(&parts, &some, false);
            sequences.iter().all(|&n| {
                let metadata = Metadata::from_pairs([("k", "v")]);
                let entry = Entry {
                    metadata,
                    ..entry("a", n, n)
                };
                heads.check(&[entry]).is_ok()
            })
        };
        assert!(come(&[3, 7]) && !come(&[3, 3]));
        let without = entry("a", 1, 1);
        assert!(
            Heads::new(&parts, &some, false).check(&[without]).is_err(),
            "it does not pass"
        );
    }

    #[test]
    fn newest_first_each_segment_comes_without_hole_or_repetition_too() {
        let parts = [Wanted::Space(Name::new("s").unwrap())];
        let come = |batches: &[&[(&str, u64, u64)]]| {
            let mut heads = Heads::new(&parts, &Filter::default(), true);
            batches.iter().all(|batch| {
                let entries: Vec<Entry> = batch.iter().map(|&(of, n, number)| entry(of, n, number)).collect();
                heads.check(&entries).is_ok()
            })
        };
        assert!(come(&[
            &[("a", 3, 7), ("b", 9, 8), ("a", 4, 9)],
            &[("b", 8, 2), ("a", 2, 7)]
        ]));
        assert!(!come(&[&[("a", 3, 7)], &[("a", 1, 2)]]), "a hole");
        assert!(!come(&[&[("a", 3, 7)], &[("a", 3, 7)]]), "twice");
        assert!(!come(&[&[("a", 3, 7)], &[("b", 1, 8)]]), "forth in the log");
        assert!(!come(&[&[("a", 4, 7), ("a", 3, 7)]]), "backwards within a batch");
    }

    #[test]
    fn what_was_not_asked_for_is_found_out() {
        assert!(!come(&Filter::default(), &[("c", 1, 1)]));
        let prefix = Filter {
            prefix: "a".into(),
            ..Filter::default()
        };
        assert!(come(&prefix, &[("a", 1, 1)]) && !come(&prefix, &[("b", 1, 1)]));
    }
}

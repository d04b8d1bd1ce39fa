//! The order of what comes: a server that skips or repeats an entry is found out.

use std::ops::RangeInclusive;

use streamkit_record::{Entry, Filter, ReadSource, SegmentPath, Sequence};

use super::heads::Heads;
use crate::asked::Read;
use crate::error::Error;

/// How entries are not what comes next.
#[derive(Debug)]
pub(super) enum Disorder {
    /// The server is wrong, or what comes between was removed meanwhile.
    Missing {
        path: SegmentPath,
        expected: Sequence,
        got: Sequence,
    },
    /// The server is wrong.
    Wrong(Error),
}

/// What has to come next.
#[derive(Debug)]
pub(super) enum Order {
    /// A segment's entries, one after the other.
    Segment {
        path: SegmentPath,
        range: RangeInclusive<Sequence>,
        /// The one that has to come; unknown before the first, as a trim or a bound in time may skip some.
        next: Option<Sequence>,
        newest_first: bool,
        /// Whether a filter may leave some out.
        has_gaps: bool,
    },
    /// Entries in the order of the log, or batch by batch towards its beginning.
    Log(Heads),
}

impl Order {
    /// Of what a read asks for.
    pub(super) fn of(read: &Read) -> Self {
        match &read.source {
            ReadSource::Segment(path, first, last) => Self::Segment {
                path: path.clone(),
                range: *first..=*last,
                next: None,
                newest_first: read.newest_first,
                has_gaps: read.filter != Filter::default(),
            },
            ReadSource::Log(parts, _) => Self::Log(Heads::new(parts, &read.filter, read.newest_first)),
        }
    }

    /// Checks a batch, and goes on behind it.
    pub(super) fn check(&mut self, entries: &[Entry]) -> Result<(), Disorder> {
        match self {
            Self::Segment {
                path,
                range,
                next,
                newest_first,
                has_gaps,
            } => {
                let known = *next;
                let mut expected = known.filter(|_| !*newest_first);
                for entry in entries {
                    if entry.path != *path || !range.contains(&entry.sequence) {
                        return Err(stranger(entry));
                    }
                    let follows = match expected {
                        Some(expected) if *has_gaps => entry.sequence >= expected,
                        Some(expected) => entry.sequence == expected,
                        None => true,
                    };
                    if !follows {
                        return Err(missing(entry, expected.unwrap_or_default()));
                    }
                    expected = Some(entry.sequence.next());
                }
                if !*newest_first {
                    *next = expected;
                } else if let (Some(first), Some(behind)) = (entries.first(), expected) {
                    // This batch has to end where the one before it began.
                    let fits = known.is_none_or(|known| if *has_gaps { behind <= known } else { behind == known });
                    if !fits {
                        return Err(missing(first, known.unwrap_or_default()));
                    }
                    *next = Some(first.sequence);
                }
            }
            Self::Log(heads) => heads.check(entries)?,
        }
        Ok(())
    }
}

pub(super) fn disorder() -> Disorder {
    Disorder::Wrong(Error::Protocol("entries are not in the order of the log".to_owned()))
}

pub(super) fn stranger(entry: &Entry) -> Disorder {
    let (path, sequence) = (&entry.path, entry.sequence);
    Disorder::Wrong(Error::Protocol(format!(
        "{path}/{sequence} in a read of something else"
    )))
}

pub(super) fn missing(got: &Entry, expected: Sequence) -> Disorder {
    Disorder::Missing {
        path: got.path.clone(),
        expected,
        got: got.sequence,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use streamkit_record::{LogCursor, Metadata, Name, Timestamp, Trx, Wanted};
    use uuid::Uuid;

    use super::*;

    pub(in super::super) fn entry(segment: &str, sequence: u64, number: u64) -> Entry {
        Entry {
            path: SegmentPath::new("s", segment).unwrap(),
            sequence: Sequence(sequence),
            timestamp: Timestamp(0),
            trx: Trx {
                id: Uuid::nil(),
                node: Uuid::nil(),
                number,
            },
            payload: bytes::Bytes::new(),
            metadata: Metadata::default(),
        }
    }

    fn batches(read: &Read, batches: &[&[u64]]) -> bool {
        let mut order = Order::of(read);
        batches.iter().all(|batch| {
            let entries: Vec<Entry> = batch.iter().map(|&n| entry("a", n, n)).collect();
            order.check(&entries).is_ok()
        })
    }

    #[test]
    fn a_segment_comes_without_holes_in_either_direction() {
        let forth = Read::segment(SegmentPath::new("s", "a").unwrap());
        let back = Read {
            newest_first: true,
            ..forth.clone()
        };
        assert!(batches(&forth, &[&[3, 4], &[5]]));
        assert!(!batches(&forth, &[&[3, 4], &[6]]));
        assert!(!batches(&forth, &[&[3, 4], &[4]]));
        assert!(batches(&back, &[&[5, 6], &[3, 4], &[2]]));
        assert!(!batches(&back, &[&[5, 6], &[3]]));
        assert!(!batches(&back, &[&[5, 6], &[6, 7]]));
        let mut filtered = forth.clone();
        filtered.filter.metadata.push(("k".into(), "v".into()));
        assert!(batches(&filtered, &[&[3, 5], &[9]]));
        assert!(!batches(&filtered, &[&[3, 5], &[5]]));
        let stranger = entry("b", 1, 1);
        assert!(Order::of(&forth).check(&[stranger]).is_err());
    }

    #[test]
    fn the_log_comes_in_its_order() {
        let forth = Read::log(vec![Wanted::Space(Name::new("s").unwrap())], LogCursor::default());
        let back = Read {
            newest_first: true,
            ..forth.clone()
        };
        assert!(batches(&forth, &[&[1, 2, 3], &[4, 5]]));
        assert!(!batches(&forth, &[&[1, 2], &[1]]));
        assert!(batches(&back, &[&[4, 5], &[2, 3]]));
        assert!(!batches(&back, &[&[4, 5], &[5]]));
    }
}

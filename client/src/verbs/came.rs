//! How far a read has come, and what is left of it if its connection is lost.

use streamkit_protocol::v2::Read;
use streamkit_record::{Entry, LogCursor, ReadSource, Sequence};

use crate::error::Error;

/// What came of a read.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) entries: u64,
    /// Bytes of payload and metadata.
    bytes: u64,
    /// The sequences of the first and the last entry of the last batch.
    first: Sequence,
    last: Sequence,
    /// The commit time of the entry behind which it goes on.
    pub(super) last_time: i64,
    /// The place behind it in the log, if the server told it.
    pub(super) cursor: LogCursor,
}

/// What is left of a read.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Rest {
    Nothing,
    Read(Read),
}

impl Default for Came {
    fn default() -> Self {
        Self {
            entries: 0,
            bytes: 0,
            first: Sequence(0),
            last: Sequence(0),
            last_time: i64::MAX,
            cursor: LogCursor::default(),
        }
    }
}

impl Came {
    /// Counts a batch.
    ///
    /// # Errors
    /// [`Error::Protocol`]: it has more than was asked for.
    pub(super) fn take(&mut self, entries: &[Entry], asked: &Read) -> Result<(), Error> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        self.entries += entries.len() as u64;
        let bytes = |entry: &Entry| (entry.payload.len() + entry.metadata.encoded().len()) as u64;
        self.bytes += entries.iter().map(bytes).sum::<u64>();
        let is_late = |entry: &Entry| entry.timestamp <= asked.after || entry.timestamp > asked.until;
        if self.entries > asked.entries || entries.iter().any(is_late) {
            return Err(Error::Protocol("a read has entries that it was not to have".to_owned()));
        }
        (self.first, self.last) = (first.sequence, last.sequence);
        self.last_time = if asked.is_backwards { first } else { last }.timestamp.0;
        Ok(())
    }

    /// The sequence that comes next in a segment; `None` if nothing came, or none is left.
    pub(super) fn next(&self, is_backwards: bool) -> Option<Sequence> {
        match is_backwards {
            _ if self.entries == 0 => None,
            true => self.first.0.checked_sub(1).filter(|next| *next > 0).map(Sequence),
            false => self.last.0.checked_add(1).map(Sequence),
        }
    }

    /// What is left; `None` if nobody can tell.
    pub(super) fn rest(&self, asked: &Read) -> Option<Rest> {
        if self.entries == 0 {
            return Some(Rest::Read(asked.clone()));
        }
        let is_full = self.entries >= asked.entries || self.bytes >= asked.bytes;
        let source = match &asked.source {
            ReadSource::Segment(path, first, last) => {
                let next = self
                    .next(asked.is_backwards)
                    .filter(|next| (first..=last).contains(&next));
                let Some(next) = next.filter(|_| !is_full) else {
                    return Some(Rest::Nothing);
                };
                match asked.is_backwards {
                    true => ReadSource::Segment(path.clone(), *first, next),
                    false => ReadSource::Segment(path.clone(), next, *last),
                }
            }
            ReadSource::Log(..) if is_full => return Some(Rest::Nothing),
            ReadSource::Log(parts, _) if !asked.is_backwards && !self.cursor.bytes().is_empty() => {
                ReadSource::Log(parts.clone(), self.cursor.clone())
            }
            ReadSource::Log(..) => return None,
        };
        Some(Rest::Read(Read {
            source,
            entries: less(asked.entries, self.entries),
            bytes: less(asked.bytes, self.bytes),
            ..asked.clone()
        }))
    }
}

/// What is left of a limit, of which the largest is none.
fn less(limit: u64, came: u64) -> u64 {
    match limit {
        u64::MAX => u64::MAX,
        limit => limit.saturating_sub(came),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use streamkit_record::{Name, SegmentPath, Wanted};

    use super::super::order::tests::entry;
    use super::*;

    fn read(is_backwards: bool, entries: u64) -> Read {
        let path = SegmentPath::new("s", "a").unwrap();
        Read {
            is_backwards,
            entries,
            ..Read::all(ReadSource::Segment(path, Sequence(2), Sequence(9)), 0)
        }
    }

    /// The sequences, and the number of entries, that are left behind these.
    fn left(asked: &Read, batch: &[u64]) -> Option<(u64, u64, u64)> {
        let mut came = Came::default();
        let batch: Vec<Entry> = batch.iter().map(|&n| entry("a", n, n)).collect();
        came.take(&batch, asked).unwrap();
        match came.rest(asked).unwrap() {
            Rest::Nothing => None,
            Rest::Read(rest) => match rest.source {
                ReadSource::Segment(_, first, last) => Some((first.0, last.0, rest.entries)),
                ReadSource::Log(..) => panic!("a log"),
            },
        }
    }

    #[test]
    fn what_is_left_is_what_did_not_come_within_the_same_limits() {
        let none = u64::MAX;
        assert_eq!(left(&read(false, none), &[]), Some((2, 9, none)));
        assert_eq!(left(&read(false, none), &[2, 3]), Some((4, 9, none)));
        assert_eq!(left(&read(false, 5), &[2, 3]), Some((4, 9, 3)));
        assert_eq!(left(&read(false, 2), &[2, 3]), None);
        assert_eq!(left(&read(false, none), &[9]), None);
        assert_eq!(left(&read(true, none), &[8, 9]), Some((2, 7, none)));
        assert_eq!(left(&read(true, none), &[2, 3]), None);
    }

    #[test]
    fn a_log_goes_on_behind_its_cursor_and_without_one_nobody_can_tell() {
        let parts = vec![Wanted::Space(Name::new("s").unwrap())];
        let asked = Read::all(ReadSource::Log(parts.clone(), LogCursor::default()), 0);
        let mut came = Came::default();
        came.take(&[entry("a", 1, 1)], &asked).unwrap();
        assert_eq!(came.rest(&asked), None);
        came.cursor = LogCursor::new(Bytes::from_static(&[7; 24])).unwrap();
        let Some(Rest::Read(rest)) = came.rest(&asked) else {
            panic!()
        };
        assert_eq!(rest.source, ReadSource::Log(parts, came.cursor.clone()));
    }

    #[test]
    fn more_than_was_asked_for_is_an_error() {
        let mut came = Came::default();
        let asked = read(false, 1);
        came.take(&[entry("a", 2, 2)], &asked).unwrap();
        assert!(came.take(&[entry("a", 3, 3)], &asked).is_err());
        let late = Read {
            until: streamkit_record::Timestamp(-1),
            ..read(false, 9)
        };
        assert!(Came::default().take(&[entry("a", 2, 2)], &late).is_err());
    }
}

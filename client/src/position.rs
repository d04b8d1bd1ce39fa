//! The position of a read. It checks the order of entries that the server promises, and tells where an interrupted
//! read continues. Neither skips or repeats an entry.

use std::collections::HashMap;

use streamkit_protocol::{Request, SpaceOffset, Status};
use streamkit_record::SegmentPath;

use crate::error::Error;
use crate::model::Entry;

/// Segments of a read over spaces whose sequences are checked: the first so many that occur. Names and numbers of more
/// would take too much memory.
const SEGMENTS_CHECKED: usize = 65_536;

/// The end of the text with which a server ends a read of a segment that is deleted meanwhile.
pub(crate) const DELETED: &str = " was deleted while it was read";

/// A read and how far it has come.
pub(crate) struct Position {
    /// What was asked for.
    request: Request,
    /// Entries taken.
    taken: u64,
    /// The time of the last entry: times never go backwards.
    last_time: Option<i64>,
    /// Where the read was opened again: entries of that very time may come once more.
    reopened_at: Option<i64>,
    place: Place,
}

/// What the next message of a read is.
pub(crate) enum Taken {
    /// The next entry.
    Entry(Entry),
    /// An entry that was taken before.
    Again,
    /// An entry that does not follow: the server is wrong, or what comes between was removed meanwhile.
    Gap(Gap),
}

/// Entries that should have come, and did not.
pub(crate) struct Gap {
    pub(crate) space: String,
    pub(crate) segment: String,
    /// The first of them.
    expected: u64,
    /// What came instead; `None` if it was the end.
    got: Option<u64>,
    /// The time of the last entry of the read.
    last_time: i64,
}

impl Gap {
    /// One in a segment: `got` came where `expected` had to, behind an entry of time `last_time`.
    pub(crate) fn new(path: &SegmentPath, expected: u64, got: u64, last_time: i64) -> Self {
        Self {
            space: path.space.to_string(),
            segment: path.segment.to_string(),
            expected,
            got: Some(got),
            last_time,
        }
    }

    /// What was removed, by the segment as it is now; `None` if nothing was.
    pub(crate) fn removed(&self, now: &Status) -> Option<Error> {
        // What was read of it is gone too, and its sequences are given again.
        let is_deleted = now.segment_count == 0 || now.last_sequence.saturating_add(1) < self.expected;
        let is_another = now.first_sequence < self.expected && now.first_timestamp > self.last_time;
        let is_trimmed = now.first_sequence > self.expected;
        (is_deleted || is_another || is_trimmed).then(|| Error::Removed {
            space: self.space.clone(),
            segment: self.segment.clone(),
            sequence: self.expected,
            next: now.first_sequence,
        })
    }

    /// What is wrong if nothing was removed.
    pub(crate) fn unexplained(&self) -> Error {
        let Self {
            space,
            segment,
            expected,
            got,
            ..
        } = self;
        let got = got.map_or_else(|| "the end".to_owned(), |got| got.to_string());
        Error::Protocol(format!(
            "entries of {space}/{segment} are missing: expected {expected}, got {got}"
        ))
    }
}

enum Place {
    Segment {
        /// The sequence the next entry must have; unknown before the first, as a time bound or a trim may skip some.
        next: Option<u64>,
    },
    Spaces {
        spaces: HashMap<String, Space>,
        /// Heads held over all spaces.
        heads: usize,
    },
}

/// How far one space is read.
#[derive(Default)]
struct Space {
    /// Its last entry received; by its bytes, its offset may be smaller than one before.
    last: Option<SpaceOffset>,
    /// The last sequence of each segment.
    heads: HashMap<String, u64>,
}

impl Position {
    /// The beginning of a read.
    pub(crate) fn new(request: Request) -> Self {
        let space = |name: &String| (name.clone(), Space::default());
        let spaces = match &request {
            Request::ConsumeSpace(read) => Some(HashMap::from([space(&read.space)])),
            Request::Consume(read) => Some(read.offsets.keys().map(space).collect()),
            _ => None,
        };
        let place = match spaces {
            Some(spaces) => Place::Spaces { spaces, heads: 0 },
            None => Place::Segment { next: None },
        };
        Self {
            request,
            taken: 0,
            last_time: None,
            reopened_at: None,
            place,
        }
    }

    /// Whether no entry was taken yet.
    pub(crate) fn at_beginning(&self) -> bool {
        self.taken == 0
    }

    /// What to ask for to get the rest; `None` if nothing is left.
    pub(crate) fn rest(&self) -> Option<Request> {
        let limit = |limit: u64| match limit {
            0 | u64::MAX => Some(limit),
            limit => limit.checked_sub(self.taken).filter(|left| *left > 0),
        };
        match (&self.request, &self.place) {
            (Request::ConsumeSegment(read), Place::Segment { next: Some(next) }) => {
                let mut rest = read.clone();
                rest.limit = limit(read.limit)?;
                rest.min_sequence = *next;
                // A Go server may answer one entry to an empty range.
                let over = read.max_sequence != 0 && *next > read.max_sequence;
                (!over).then_some(Request::ConsumeSegment(rest))
            }
            (Request::ConsumeSpace(read), Place::Spaces { spaces, .. }) => {
                let mut rest = read.clone();
                rest.limit = limit(read.limit)?;
                if let Some(last) = spaces.get(&read.space).and_then(|space| space.last.as_ref()) {
                    rest.offset = last.encode();
                }
                Some(Request::ConsumeSpace(rest))
            }
            (Request::Consume(read), Place::Spaces { spaces, .. }) => {
                let mut rest = read.clone();
                rest.limit = limit(read.limit)?;
                for (name, offset) in &mut rest.offsets {
                    if let Some(last) = spaces.get(name).and_then(|space| space.last.as_ref()) {
                        *offset = last.encode();
                    }
                }
                Some(Request::Consume(rest))
            }
            (request, _) => Some(request.clone()),
        }
    }

    /// Reads no further than to entries committed at `time`.
    pub(crate) fn end_at(&mut self, time: i64) {
        let until = match &mut self.request {
            Request::ConsumeSegment(read) => &mut read.max_timestamp,
            Request::ConsumeSpace(read) => &mut read.max_timestamp,
            Request::Consume(read) => &mut read.max_timestamp,
            _ => return,
        };
        let time = time.max(self.last_time.unwrap_or(time));
        if *until == 0 || time < *until {
            *until = time;
        }
    }

    /// Notes that the rest was asked for.
    pub(crate) fn reopened(&mut self) {
        self.reopened_at = self.last_time;
    }

    /// What is missing of a read of one segment if it ends here and `last` was there.
    pub(crate) fn missing_up_to(&self, last: u64) -> Option<Gap> {
        let (Request::ConsumeSegment(read), Place::Segment { next: Some(next) }) = (&self.request, &self.place) else {
            return None;
        };
        (*next <= last && self.rest().is_some()).then(|| Gap {
            space: read.space.clone(),
            segment: read.segment.clone(),
            expected: *next,
            got: None,
            last_time: self.last_time.unwrap_or(i64::MAX),
        })
    }

    /// Takes the next entry.
    pub(crate) fn take(&mut self, entry: Entry) -> Result<Taken, Error> {
        let last_time = self.last_time.unwrap_or(i64::MAX);
        let follows = match &mut self.place {
            Place::Segment { next } => segment(&self.request, next, &entry)?,
            Place::Spaces { spaces, heads } => {
                if self.last_time.is_some_and(|last| entry.timestamp < last) {
                    return Err(Error::Protocol("an entry older than the one before it".to_owned()));
                }
                let again = self.reopened_at == Some(entry.timestamp);
                in_spaces(spaces, heads, &entry, again)?
            }
        };
        Ok(match follows {
            Follows::Yes => {
                self.taken += 1;
                self.last_time = Some(entry.timestamp);
                Taken::Entry(entry)
            }
            Follows::Again => Taken::Again,
            Follows::Not { expected } => Taken::Gap(Gap {
                expected,
                got: Some(entry.sequence),
                space: entry.space,
                segment: entry.segment,
                last_time,
            }),
        })
    }
}

/// Whether an entry is what comes next.
enum Follows {
    Yes,
    /// It was taken before.
    Again,
    Not {
        expected: u64,
    },
}

/// Checks an entry of a read of one segment.
fn segment(request: &Request, next: &mut Option<u64>, entry: &Entry) -> Result<Follows, Error> {
    let Request::ConsumeSegment(read) = request else {
        return Ok(Follows::Yes);
    };
    if (&entry.space, &entry.segment) != (&read.space, &read.segment) {
        return Err(stranger(entry, &format!("{}/{}", read.space, read.segment)));
    }
    let expected = next.unwrap_or(entry.sequence.max(read.min_sequence));
    if entry.sequence != expected {
        return Ok(Follows::Not { expected });
    }
    *next = Some(entry.sequence.saturating_add(1));
    Ok(Follows::Yes)
}

/// Checks an entry of a read of spaces; one that was taken before is no error if it may come `again`.
fn in_spaces(
    spaces: &mut HashMap<String, Space>,
    heads: &mut usize,
    entry: &Entry,
    again: bool,
) -> Result<Follows, Error> {
    let Some(space) = spaces.get_mut(&entry.space) else {
        return Err(stranger(entry, "other spaces"));
    };
    match space.heads.get_mut(&entry.segment) {
        Some(head) if entry.sequence <= *head && again => return Ok(Follows::Again),
        Some(head) if entry.sequence != head.saturating_add(1) => {
            let expected = head.saturating_add(1);
            return Ok(Follows::Not { expected });
        }
        Some(head) => *head = entry.sequence,
        None if *heads < SEGMENTS_CHECKED => {
            space.heads.insert(entry.segment.clone(), entry.sequence);
            *heads += 1;
        }
        None => {}
    }
    match &mut space.last {
        Some(last) => {
            last.timestamp = entry.timestamp;
            last.sequence = entry.sequence;
            last.segment.clone_from(&entry.segment);
        }
        None => {
            space.last = Some(SpaceOffset {
                space: entry.space.clone(),
                timestamp: entry.timestamp,
                segment: entry.segment.clone(),
                sequence: entry.sequence,
            });
        }
    }
    Ok(Follows::Yes)
}

fn stranger(entry: &Entry, read: &str) -> Error {
    let (space, segment) = (&entry.space, &entry.segment);
    Error::Protocol(format!("an entry of {space}/{segment} in a read of {read}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(expected: u64, got: Option<u64>) -> Gap {
        let name = || "a".to_owned();
        Gap {
            space: name(),
            segment: name(),
            expected,
            got,
            last_time: 1000,
        }
    }

    fn now(first_sequence: u64, last_sequence: u64, first_timestamp: i64) -> Status {
        Status {
            segment_count: u64::from(last_sequence > 0),
            first_sequence,
            last_sequence,
            first_timestamp,
            ..Status::default()
        }
    }

    #[test]
    fn a_gap_is_explained_where_the_segment_was_trimmed_deleted_or_begun_anew_and_by_nothing_else() {
        for (status, left) in [
            (now(9, 20, 900), 9),
            (now(0, 0, 0), 0),
            (now(1, 2, 2000), 1),
            (now(1, 20, 2000), 1),
        ] {
            for got in [Some(9), None] {
                let error = gap(6, got).removed(&status).unwrap();
                assert!(
                    matches!(error, Error::Removed { sequence: 6, next, .. } if next == left),
                    "{error}"
                );
            }
        }
        for status in [now(1, 20, 900), now(6, 20, 1000)] {
            assert!(gap(6, Some(9)).removed(&status).is_none());
        }
    }
}

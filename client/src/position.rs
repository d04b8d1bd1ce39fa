//! Where a read is: what the server promises of the order of its entries is checked against it, and a read that was broken
//! off goes on from it. Neither skips or repeats an entry.

use std::collections::HashMap;

use streamkit_protocol::{Request, SpaceOffset};

use crate::error::Error;
use crate::model::Entry;

/// Segments of a read over spaces whose sequences are checked: the first so many that occur. Names and numbers of more
/// would take too much memory.
const SEGMENTS_CHECKED: usize = 65_536;

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

    /// Takes the next entry; `None` if it was taken before.
    pub(crate) fn take(&mut self, message: &[u8]) -> Result<Option<Entry>, Error> {
        let wire = streamkit_protocol::Entry::decode(message).map_err(Error::malformed)?;
        if wire.sequence == 0 || wire.payload.0.is_none() {
            return Err(Error::Protocol("an entry without sequence or payload".to_owned()));
        }
        let entry = Entry::from_wire(wire);
        let fresh = match &mut self.place {
            Place::Segment { next } => {
                segment(&self.request, next, &entry)?;
                true
            }
            Place::Spaces { spaces, heads } => {
                if self.last_time.is_some_and(|last| entry.timestamp < last) {
                    return Err(Error::Protocol("an entry older than the one before it".to_owned()));
                }
                let again = self.reopened_at == Some(entry.timestamp);
                in_spaces(spaces, heads, &entry, again)?
            }
        };
        if fresh {
            self.taken += 1;
            self.last_time = Some(entry.timestamp);
        }
        Ok(fresh.then_some(entry))
    }
}

/// Checks an entry of a read of one segment.
fn segment(request: &Request, next: &mut Option<u64>, entry: &Entry) -> Result<(), Error> {
    let Request::ConsumeSegment(read) = request else {
        return Ok(());
    };
    if (&entry.space, &entry.segment) != (&read.space, &read.segment) {
        return Err(stranger(entry, &format!("{}/{}", read.space, read.segment)));
    }
    let expected = next.unwrap_or(entry.sequence.max(read.min_sequence));
    if entry.sequence != expected {
        return Err(missing(entry, expected));
    }
    *next = Some(entry.sequence.saturating_add(1));
    Ok(())
}

/// Checks an entry of a read of spaces; false if it was taken before, which is no error if it may come `again`.
fn in_spaces(
    spaces: &mut HashMap<String, Space>,
    heads: &mut usize,
    entry: &Entry,
    again: bool,
) -> Result<bool, Error> {
    let Some(space) = spaces.get_mut(&entry.space) else {
        return Err(stranger(entry, "other spaces"));
    };
    match space.heads.get_mut(&entry.segment) {
        Some(head) if entry.sequence <= *head && again => return Ok(false),
        Some(head) if entry.sequence != head.saturating_add(1) => {
            return Err(missing(entry, head.saturating_add(1)));
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
    Ok(true)
}

fn stranger(entry: &Entry, read: &str) -> Error {
    let (space, segment) = (&entry.space, &entry.segment);
    Error::Protocol(format!("an entry of {space}/{segment} in a read of {read}"))
}

fn missing(entry: &Entry, expected: u64) -> Error {
    let (space, segment, got) = (&entry.space, &entry.segment, entry.sequence);
    Error::Protocol(format!(
        "entries of {space}/{segment} are missing: expected {expected}, got {got}"
    ))
}

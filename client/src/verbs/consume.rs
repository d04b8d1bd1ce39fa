//! The reads of v1, over v2: the same entries in the same order, under the same checks.

use std::collections::BTreeMap;

use streamkit_protocol::{Consume, ConsumeSegment, ConsumeSpace, LexKey, Request, SpaceOffset};
use streamkit_record::{LogCursor, ReadSource, Sequence, Timestamp};

use super::lookup::status;
use super::merged::{Merged, Part};
use super::names::{part, segment_path};
use super::read::Reading;
use crate::asked::Read;
use crate::call::Call;
use crate::error::Error;
use crate::model::Entry;
use crate::position::{DELETED, Gap, Position, Taken};

/// A consume under way.
pub(crate) struct Consuming {
    call: Call,
    position: Position,
    merged: Merged,
    /// Entries that may still come.
    left: u64,
}

impl Consuming {
    /// Of what was asked for; nothing is sent yet.
    pub(crate) fn new(call: Call, request: Request) -> Result<Self, Error> {
        let (parts, left) = match &request {
            Request::ConsumeSegment(read) => (vec![of_segment(&call, read)?], read.limit),
            Request::ConsumeSpace(read) => (vec![of_space(&call, read)?], read.limit),
            Request::Consume(read) => (of_spaces(&call, read)?, read.limit),
            _ => return Err(Error::Invalid("no read".to_owned())),
        };
        Ok(Self {
            position: Position::new(request),
            merged: Merged::new(parts),
            left: or_all(left),
            call,
        })
    }

    /// The next entry; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let entry = match self.merged.next().await {
            Ok(Some(entry)) => Entry::from_log(entry),
            Ok(None) => return Ok(None),
            // The server noticed it first.
            Err(Error::Refused(why)) if why.ends_with(DELETED) => {
                return Err(match self.position.missing_up_to(u64::MAX) {
                    Some(gap) => self.removed(&gap).await.unwrap_or(Error::Refused(why)),
                    None => Error::Refused(why),
                });
            }
            Err(error) => return Err(error),
        };
        match self.position.take(entry)? {
            Taken::Entry(entry) => {
                self.left -= 1;
                Ok(Some(entry))
            }
            Taken::Again => Err(Error::Protocol("an entry came twice".to_owned())),
            Taken::Gap(gap) => Err(self.removed(&gap).await.unwrap_or_else(|| gap.unexplained())),
        }
    }

    /// Asks what became of a segment with missing entries; `None` if none was removed.
    async fn removed(&self, gap: &Gap) -> Option<Error> {
        match status(&self.call, &gap.space, &gap.segment).await {
            Ok(status) => gap.removed(&status),
            Err(error) => Some(error),
        }
    }
}

/// Of a limit, where 0 is none.
fn or_all(limit: u64) -> u64 {
    match limit {
        0 => u64::MAX,
        limit => limit,
    }
}

/// The same read within its bounds in time, where 0 is none.
fn within(read: Read, after: i64, until: i64) -> Read {
    let or = |time: i64, none: i64| Timestamp(if time == 0 { none } else { time });
    Read {
        after: or(after, i64::MIN),
        until: or(until, i64::MAX),
        ..read
    }
}

fn of_segment(call: &Call, read: &ConsumeSegment) -> Result<Part, Error> {
    let path = segment_path(&read.space, &read.segment)?;
    let range = (Sequence(read.min_sequence.max(1)), Sequence(or_all(read.max_sequence)));
    let source = ReadSource::Segment(path, range.0, range.1);
    let reads = Read {
        entries: or_all(read.limit),
        ..within(Read::all(source), read.min_timestamp, read.max_timestamp)
    };
    Ok(Part::new(Reading::unchecked(call.clone(), reads)?, None))
}

fn of_space(call: &Call, read: &ConsumeSpace) -> Result<Part, Error> {
    let all = Read {
        entries: or_all(read.limit),
        ..Read::log(vec![part(&read.space)?], LogCursor::default())
    };
    let all = within(all, read.min_timestamp, read.max_timestamp);
    one_space(call, &read.space, &read.offset, all)
}

/// A read of a space, strictly behind an offset of it.
fn one_space(call: &Call, space: &str, offset: &LexKey, all: Read) -> Result<Part, Error> {
    if offset.0.is_empty() {
        return Ok(Part::new(Reading::unchecked(call.clone(), all)?, None));
    }
    let invalid = |why: String| Error::Invalid(format!("invalid offset: {why}"));
    let behind = SpaceOffset::decode(offset).map_err(|error| invalid(error.to_string()))?;
    if behind.space != space {
        let belongs = format!("it belongs to space {}, not to {space}", behind.space);
        return Err(invalid(belongs));
    }
    let rest = Read {
        after: all.after.max(Timestamp(behind.timestamp.saturating_sub(1))),
        // What is left out counts to the server.
        entries: u64::MAX,
        ..all
    };
    Ok(Part::new(Reading::unchecked(call.clone(), rest)?, Some(behind)))
}

/// All spaces that are read from the beginning in one read, and each of the others in one of its own.
fn of_spaces(call: &Call, read: &Consume) -> Result<Vec<Part>, Error> {
    let all = |names: Vec<&String>| {
        let parts = names.into_iter().map(|name| part(name)).collect::<Result<_, _>>()?;
        let reads = Read {
            entries: or_all(read.limit),
            ..Read::log(parts, LogCursor::default())
        };
        Ok::<_, Error>(within(reads, read.min_timestamp, read.max_timestamp))
    };
    let (fresh, begun): (BTreeMap<_, _>, BTreeMap<_, _>) =
        read.offsets.iter().partition(|(_, offset)| offset.0.is_empty());
    let mut parts = Vec::new();
    if !fresh.is_empty() {
        let reads = all(fresh.into_keys().collect())?;
        parts.push(Part::new(Reading::unchecked(call.clone(), reads)?, None));
    }
    for (name, offset) in begun {
        parts.push(one_space(call, name, offset, all(vec![name])?)?);
    }
    Ok(parts)
}

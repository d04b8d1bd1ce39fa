//! Calls that look something up.

use bytes::Bytes;
use streamkit_protocol::v2::{
    Call as Asked, Lease, Leased, Segments, Totals, Within, names, statuses as read_statuses,
};
use streamkit_protocol::{SegmentStatus, Status};
use streamkit_record::{Name, SegmentPath, Sequence};

use super::again::{ask, result};
use super::names::{name, segment_path};
use super::read::first_batch;
use crate::asked::Read;
use crate::call::Call;
use crate::error::Error;
use crate::model::Entry;

/// The names of all spaces.
pub(crate) async fn spaces(call: &Call) -> Result<Vec<String>, Error> {
    let (messages, _) = ask(call, &Asked::Spaces).await?;
    named(&messages)
}

/// The names of a space's segments.
pub(crate) async fn segments(call: &Call, space: &str) -> Result<Vec<String>, Error> {
    let (messages, _) = ask(call, &list(space, "", 0, false)?).await?;
    named(&messages)
}

/// The ranges of a space's segments after one, at most so many; 0: all.
pub(crate) async fn statuses(call: &Call, space: &str, after: &str, limit: u64) -> Result<Vec<SegmentStatus>, Error> {
    let (messages, _) = ask(call, &list(space, after, limit, true)?).await?;
    let mut all = Vec::new();
    for message in messages {
        let statuses = read_statuses(&message).map_err(Error::malformed)?;
        all.extend(statuses.iter().map(range));
    }
    let mut last = after;
    for status in &all {
        if status.space != space || status.segment.as_str() <= last {
            return Err(Error::Protocol(
                "a list of segments out of order, or of others".to_owned(),
            ));
        }
        last = &status.segment;
    }
    Ok(all)
}

fn list(space: &str, after: &str, limit: u64, with_status: bool) -> Result<Asked, Error> {
    let after = match after {
        "" => None,
        after => Some(name(after, "segment")?),
    };
    Ok(Asked::Segments(Segments {
        space: name(space, "space")?,
        after,
        limit: match limit {
            0 => u32::MAX,
            limit => u32::try_from(limit).unwrap_or(u32::MAX),
        },
        with_status,
    }))
}

/// The names in all messages of a list.
fn named(messages: &[Bytes]) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for message in messages {
        let names = names(message).map_err(Error::malformed)?;
        all.extend(names.iter().map(Name::to_string));
    }
    Ok(all)
}

/// A segment's range, as v1 tells it.
pub(crate) fn range(status: &streamkit_record::SegmentStatus) -> SegmentStatus {
    SegmentStatus {
        space: status.path.space.to_string(),
        segment: status.path.segment.to_string(),
        first_sequence: status.first_sequence.0,
        first_timestamp: status.first_timestamp.0,
        last_sequence: status.last_sequence.0,
        last_timestamp: status.last_timestamp.0,
        heartbeat: false,
    }
}

/// Counts of a store, of a space, or of a segment.
pub(crate) async fn status(call: &Call, space: &str, segment: &str) -> Result<Status, Error> {
    let within = match (space, segment) {
        ("", "") => Within::Store,
        ("", _) => return Err(Error::Invalid("a segment's status needs its space".to_owned())),
        (space, "") => Within::Space(name(space, "space")?),
        (space, segment) => Within::Segment(segment_path(space, segment)?),
    };
    let totals = totals(call, within).await?;
    let range = totals.segment.as_ref().map(range).unwrap_or_default();
    Ok(Status {
        space: space.to_owned(),
        segment: segment.to_owned(),
        space_count: totals.spaces,
        segment_count: totals.segments,
        entry_count: totals.entries,
        first_sequence: range.first_sequence,
        first_timestamp: range.first_timestamp,
        last_sequence: range.last_sequence,
        last_timestamp: match totals.segment {
            Some(_) => range.last_timestamp,
            None => totals.last_timestamp.0,
        },
    })
}

/// A segment's last entry; `None` if it is empty.
pub(crate) async fn peek(call: &Call, space: &str, segment: &str) -> Result<Option<Entry>, Error> {
    let path = segment_path(space, segment)?;
    let last = Read {
        newest_first: true,
        entries: 1,
        ..Read::segment(path.clone())
    };
    let mut entries = first_batch(call, last).await?;
    match entries.pop() {
        Some(entry) if entry.path != path || entry.sequence == Sequence(0) => {
            Err(Error::Protocol(format!("a peek at {path} answered {}", entry.path)))
        }
        last => Ok(last.map(Entry::from_log)),
    }
}

/// A segment's range as it is now; `None` if it has none.
pub(super) async fn range_of(call: &Call, path: &SegmentPath) -> Result<Option<SegmentStatus>, Error> {
    let totals = totals(call, Within::Segment(path.clone())).await?;
    Ok(totals.segment.as_ref().map(range))
}

/// Changes a lease.
pub(crate) async fn lease(call: &Call, lease: Lease) -> Result<Leased, Error> {
    let answer = result(call, &Asked::Lease(lease), false, true).await?;
    Leased::decode(&answer).map_err(Error::malformed)
}

/// Counts of what is asked for, and of nothing else.
async fn totals(call: &Call, within: Within) -> Result<Totals, Error> {
    let asked = Asked::Status(within.clone());
    let answer = result(call, &asked, true, false).await?;
    let totals = Totals::decode(&answer).map_err(Error::malformed)?;
    let fits = match (&within, &totals.segment) {
        (_, None) => true,
        (Within::Segment(path), Some(status)) => status.path == *path,
        (Within::Store | Within::Space(_), Some(_)) => false,
    };
    match fits {
        true => Ok(totals),
        false => Err(Error::Protocol(
            "a status of something else than was asked for".to_owned(),
        )),
    }
}

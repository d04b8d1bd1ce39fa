//! Requests of v1 as verbs. Zero and empty stand for what is left out.

use std::collections::BTreeMap;

use streamkit_engine::{Name, SegmentPath, SegmentRead, Sequence, SpaceCursor, SpacesRead, TimeRange, Timestamp};
use streamkit_protocol::{ConsumeSegment, GetSegments, GetStatus, LexKey, Produce, Request, SpaceOffset};

use super::refused::Refused;
use crate::verbs::{Kind, SegmentList, Verb, Within};

/// What a request asks for, whatever stands in it.
pub(super) fn kind(request: &Request) -> Kind {
    match request {
        Request::Produce(_) => Kind::Append,
        Request::Peek(_) => Kind::Peek,
        Request::ConsumeSegment(_) => Kind::ReadSegment,
        Request::ConsumeSpace(_) | Request::Consume(_) => Kind::ReadSpaces,
        Request::GetSpaces => Kind::Spaces,
        Request::GetSegments(_) => Kind::Segments,
        Request::GetStatus(_) => Kind::Status,
        Request::Trim(_) => Kind::Trim,
        Request::Delete(_) => Kind::Delete,
        Request::SubscribeToSegmentStatus(_) | Request::SubscribeWorkers(_) => Kind::Follow,
        Request::LeaseAcquire(_) | Request::LeaseRenew(_) | Request::LeaseRelease(_) => Kind::Lease,
    }
}

/// What it asks for exactly.
pub(super) fn verb(request: Request) -> Result<Verb, Refused> {
    let kind = request.kind();
    Ok(match request {
        Request::Produce(produce) => Verb::Append(produced(&produce)?),
        Request::Peek(peek) => Verb::Peek(path(&peek.space, &peek.segment)?),
        Request::ConsumeSegment(consume) => Verb::ReadSegment(segment_read(&consume)?),
        Request::ConsumeSpace(consume) => {
            let from = cursor(&consume.space, &consume.offset)?;
            Verb::ReadSpaces(SpacesRead {
                spaces: BTreeMap::from([(name("space", &consume.space)?, from)]),
                time: time_range(consume.min_timestamp, consume.max_timestamp),
                limit: limit(consume.limit),
            })
        }
        Request::Consume(consume) => {
            let mut spaces = BTreeMap::new();
            for (space, offset) in &consume.offsets {
                spaces.insert(name("space", space)?, cursor(space, offset)?);
            }
            Verb::ReadSpaces(SpacesRead {
                spaces,
                time: time_range(consume.min_timestamp, consume.max_timestamp),
                limit: limit(consume.limit),
            })
        }
        Request::GetSpaces => Verb::Spaces,
        Request::GetSegments(list) => Verb::Segments(segment_list(&list)?),
        Request::GetStatus(status) => Verb::Status(within(&status)?),
        Request::Trim(trim) => Verb::Trim(path(&trim.space, &trim.segment)?, Sequence(trim.first_sequence)),
        Request::Delete(delete) => Verb::Delete(path(&delete.space, &delete.segment)?),
        Request::SubscribeToSegmentStatus(_)
        | Request::SubscribeWorkers(_)
        | Request::LeaseAcquire(_)
        | Request::LeaseRenew(_)
        | Request::LeaseRelease(_) => return Err(Refused::NotSupported(kind)),
    })
}

fn produced(produce: &Produce) -> Result<SegmentPath, Refused> {
    if produce.space.is_empty() || produce.segment.is_empty() {
        return Err(Refused::NothingToProduceTo);
    }
    SegmentPath::new(&produce.space, &produce.segment).map_err(Refused::ProduceTo)
}

fn segment_read(consume: &ConsumeSegment) -> Result<SegmentRead, Refused> {
    Ok(SegmentRead {
        path: path(&consume.space, &consume.segment)?,
        from: Sequence(consume.min_sequence.max(1)),
        to: Sequence(limit(consume.max_sequence)),
        time: time_range(consume.min_timestamp, consume.max_timestamp),
        limit: limit(consume.limit),
    })
}

fn segment_list(list: &GetSegments) -> Result<SegmentList, Refused> {
    Ok(SegmentList {
        space: name("space", &list.space)?,
        after: match list.after.as_str() {
            "" => None,
            text => Some(name("after", text)?),
        },
        limit: usize::try_from(limit(list.limit)).unwrap_or(usize::MAX),
        with_status: list.with_status,
    })
}

fn within(status: &GetStatus) -> Result<Within, Refused> {
    match (status.space.as_str(), status.segment.as_str()) {
        ("", "") => Ok(Within::Store),
        ("", _) => Err(Refused::StatusWithoutSpace),
        (space, "") => Ok(Within::Space(name("space", space)?)),
        (space, segment) => Ok(Within::Segment(path(space, segment)?)),
    }
}

fn time_range(min: i64, max: i64) -> TimeRange {
    let after = if min == 0 { i64::MIN } else { min };
    let until = if max == 0 { i64::MAX } else { max };
    TimeRange {
        after: Timestamp(after),
        until: Timestamp(until),
    }
}

fn limit(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
}

/// Where to go on: strictly after the entry an offset stands for.
fn cursor(space: &str, offset: &LexKey) -> Result<Option<SpaceCursor>, Refused> {
    if offset.0.is_empty() {
        return Ok(None);
    }
    let offset = SpaceOffset::decode(offset).map_err(Refused::Offset)?;
    if offset.space != space {
        return Err(Refused::OffsetOfOther {
            of: offset.space,
            given_for: space.to_owned(),
        });
    }
    Ok(Some(SpaceCursor {
        timestamp: Timestamp(offset.timestamp),
        segment: Name::new(&offset.segment).map_err(Refused::OffsetName)?,
        sequence: Sequence(offset.sequence),
    }))
}

fn name(what: &'static str, text: &str) -> Result<Name, Refused> {
    Name::new(text).map_err(|error| Refused::Name(what, error))
}

fn path(space: &str, segment: &str) -> Result<SegmentPath, Refused> {
    Ok(SegmentPath {
        space: name("space", space)?,
        segment: name("segment", segment)?,
    })
}

//! Requests of v1 as verbs. Zero and empty stand for what is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_engine::limits::LEASE_TTL_MAX;
use streamkit_engine::{
    Name, NameError, SegmentPath, SegmentRead, Sequence, SpaceCursor, SpacesRead, TimeRange, Timestamp,
};
use streamkit_protocol::{
    ConsumeSegment, GetSegments, GetStatus, LeaseAcquire, LexKey, Produce, Request, SpaceOffset, SubscribeWorkers,
};

use super::refused::Refused;
use crate::live::Interest;
use crate::verbs::{Heartbeat, Kind, LeaseChange, LeaseRequest, SegmentList, Subscribe, Verb, Watch, Within, Worker};

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
        Request::SubscribeToSegmentStatus(_) => Kind::Subscribe,
        Request::SubscribeWorkers(_) => Kind::Watch,
        Request::LeaseAcquire(_) | Request::LeaseRenew(_) | Request::LeaseRelease(_) => Kind::Lease,
    }
}

/// What it asks for exactly.
pub(super) fn verb(request: Request) -> Result<Verb, Refused> {
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
        Request::SubscribeToSegmentStatus(subscribe) => Verb::Subscribe(Subscribe {
            interest: Interest {
                space: name("space", &subscribe.space)?,
                segment: match subscribe.segment.as_str() {
                    "*" => None,
                    segment => Some(name("segment", segment)?),
                },
            },
            heartbeat: heartbeat(subscribe.heartbeat_interval_seconds),
        }),
        Request::SubscribeWorkers(subscribe) => Verb::Watch(Watch {
            worker: (!subscribe.worker_id.is_nil()).then(|| worker(subscribe)),
        }),
        Request::LeaseAcquire(lease) => Verb::Lease(LeaseRequest {
            change: LeaseChange::Acquire(ttl(&lease)?),
            ..lease_request(&lease.key, &lease.holder)?
        }),
        Request::LeaseRenew(lease) => Verb::Lease(LeaseRequest {
            change: LeaseChange::Renew(ttl(&lease)?),
            ..lease_request(&lease.key, &lease.holder)?
        }),
        Request::LeaseRelease(lease) => Verb::Lease(lease_request(&lease.key, &lease.holder)?),
    })
}

/// How often a heartbeat may come, in seconds.
const HEARTBEAT_SECONDS: std::ops::RangeInclusive<i64> = 1..=300;

/// The same of a worker that does not say.
const WORKER_HEARTBEAT: Duration = Duration::from_secs(30);

fn heartbeat(seconds: i64) -> Option<Duration> {
    let (least, most) = (*HEARTBEAT_SECONDS.start(), *HEARTBEAT_SECONDS.end());
    (seconds > 0).then(|| Duration::from_secs(seconds.clamp(least, most).unsigned_abs()))
}

fn worker(subscribe: SubscribeWorkers) -> Worker {
    let asked = heartbeat(subscribe.heartbeat_interval_seconds);
    Worker {
        id: subscribe.worker_id,
        metadata: subscribe.metadata,
        heartbeat: Heartbeat {
            period: asked.unwrap_or(WORKER_HEARTBEAT),
            is_asked_for: asked.is_some(),
        },
    }
}

/// A release, in the order in which Go servers look at what is wrong.
fn lease_request(key: &str, holder: &str) -> Result<LeaseRequest, Refused> {
    let name = |what: &str, text: &str| {
        Name::new(text).map_err(|error| match error {
            NameError::Empty => Refused::Lease(format!("lease {what} must not be empty")),
            other => Refused::Lease(format!("invalid lease {what}: {other}")),
        })
    };
    Ok(LeaseRequest {
        key: name("key", key)?,
        holder: name("holder", holder)?,
        change: LeaseChange::Release,
    })
}

fn ttl(lease: &LeaseAcquire) -> Result<Duration, Refused> {
    // Names are looked at first.
    lease_request(&lease.key, &lease.holder)?;
    match u64::try_from(lease.ttl_seconds) {
        Ok(seconds @ 1..=LEASE_TTL_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        Err(_) | Ok(0) => Err(Refused::Lease("ttl_seconds must be positive".to_owned())),
        Ok(_) => Err(Refused::Lease(format!(
            "ttl_seconds exceeds maximum of {LEASE_TTL_SECONDS_MAX}"
        ))),
    }
}

/// The longest lease, as Go servers have it.
const LEASE_TTL_SECONDS_MAX: u64 = 86_400;

const _: () = assert!(LEASE_TTL_SECONDS_MAX == LEASE_TTL_MAX.as_secs());

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_comes_between_every_second_and_every_five_minutes() {
        let seconds = |asked| heartbeat(asked).map(|period| period.as_secs());
        for (asked, expected) in [(1, 1), (30, 30), (300, 300), (301, 300), (i64::MAX, 300)] {
            assert_eq!(seconds(asked), Some(expected));
        }
        assert!([0, -1, i64::MIN].iter().all(|asked| seconds(*asked).is_none()));
    }

    #[test]
    fn a_worker_that_does_not_say_counts_as_one_that_is_heard_of_twice_a_minute() {
        let beats = worker(SubscribeWorkers::default()).heartbeat;
        assert!(!beats.is_asked_for && beats.period.as_secs() == 30);
    }
}

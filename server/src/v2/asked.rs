//! Calls of v2 as verbs.

use std::collections::BTreeMap;

use streamkit_engine::{ReadSource, SegmentRead, SpacesRead, TimeRange, Transaction, Wanted};
use streamkit_protocol::v2::{Call, Lease, LeaseChange, Read, Within};

use super::failed::Failed;
use crate::live::Interest;
use crate::verbs::{self, Kind, LeaseRequest, SegmentList, Subscribe, Verb};

/// What a call asks for, before the rest of it is looked at; `None`: the verb is not known.
pub(super) fn kind(verb: u8) -> Option<Kind> {
    Some(match verb {
        1 => Kind::Append,
        2 => Kind::ReadSpaces,
        3 | 7 => Kind::Subscribe,
        4 => Kind::Status,
        5 => Kind::Spaces,
        6 => Kind::Segments,
        9 => Kind::Lease,
        10 => Kind::Trim,
        11 => Kind::Delete,
        _ => return None,
    })
}

/// The credit that a call gives its channel at first.
pub(super) fn credit(call: &Call) -> u32 {
    match call {
        Call::Read(read) => read.credit,
        Call::Follow(follow) => follow.credit,
        Call::Subscribe(subscribe) => subscribe.credit,
        // Names and statuses are bounded by what the connection takes.
        _ => u32::MAX,
    }
}

/// What it asks for exactly.
pub(super) fn verb(call: Call) -> Result<Verb, Failed> {
    Ok(match call {
        Call::Append(append) => Verb::Commit(Transaction {
            id: append.id,
            segments: append.sections,
            fence: append.fence,
            conditions: append.conditions,
        }),
        Call::Read(read) => reads(read)?,
        Call::Follow(_) => return Err(Failed::NotYet("follow is not supported yet")),
        Call::Status(within) => Verb::Status(match within {
            Within::Store => verbs::Within::Store,
            Within::Space(space) => verbs::Within::Space(space),
            Within::Segment(path) => verbs::Within::Segment(path),
        }),
        Call::Spaces => Verb::Spaces,
        Call::Segments(list) => Verb::Segments(SegmentList {
            space: list.space,
            after: list.after,
            limit: list.limit as usize,
            with_status: list.with_status,
        }),
        Call::Subscribe(subscribe) => Verb::Subscribe(Subscribe {
            interest: Interest {
                space: subscribe.space,
                segment: subscribe.segment,
            },
            heartbeat: subscribe.heartbeat,
        }),
        Call::Lease(lease) => Verb::Lease(asked_of_lease(lease)),
        Call::Trim(path, first) => Verb::Trim(path, first),
        Call::Delete(path) => Verb::Delete(path),
    })
}

fn asked_of_lease(lease: Lease) -> LeaseRequest {
    LeaseRequest {
        key: lease.key,
        holder: lease.holder,
        change: match lease.change {
            LeaseChange::Acquire => verbs::LeaseChange::Acquire(lease.ttl),
            LeaseChange::Renew => verbs::LeaseChange::Renew(lease.ttl),
            LeaseChange::Release => verbs::LeaseChange::Release,
        },
    }
}

fn reads(read: Read) -> Result<Verb, Failed> {
    if read.is_backwards || !read.filter.prefix.is_empty() || !read.filter.metadata.is_empty() {
        return Err(Failed::NotYet("newest first and filters are not supported yet"));
    }
    let time = TimeRange {
        after: read.after,
        until: read.until,
    };
    Ok(match read.source {
        ReadSource::Segment(path, from, to) => Verb::ReadSegment(SegmentRead {
            path,
            from,
            to,
            time,
            limit: read.entries,
        }),
        ReadSource::Log(parts, cursor) if cursor.bytes().is_empty() => {
            let all = |part| match part {
                Wanted::Space(space) => Ok((space, None)),
                _ => Err(Failed::NotYet("parts of spaces are not supported yet")),
            };
            let spaces = parts.into_iter().map(all).collect::<Result<BTreeMap<_, _>, _>>()?;
            Verb::ReadSpaces(SpacesRead {
                spaces,
                time,
                limit: read.entries,
            })
        }
        ReadSource::Log(..) => return Err(Failed::NotYet("cursors are not supported yet")),
    })
}

//! Calls of v2 as verbs.

use std::time::Duration;

use streamkit_engine::{PiecesRead, ReadSource, TimeRange, Transaction, Wanted};
use streamkit_protocol::v2::{Append, Call, Lease, LeaseChange, OwnWorker, Read, Within};

use crate::live::Interest;
use crate::verbs::{self, Commit, Follow, Heartbeat, Kind, LeaseRequest, SegmentList, Subscribe, Verb, Watch, Worker};

/// What a call asks for, before the rest of it is looked at; `None`: the verb is not known.
pub(super) fn kind(verb: u8) -> Option<Kind> {
    Some(match verb {
        1 => Kind::Append,
        2 => Kind::Read,
        3 => Kind::Follow,
        4 => Kind::Status,
        5 => Kind::Spaces,
        6 => Kind::Segments,
        7 => Kind::Subscribe,
        8 => Kind::Watch,
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
        Call::Workers(workers) => workers.credit,
        // Names, statuses and conflicts are bounded by what the connection takes.
        _ => u32::MAX,
    }
}

/// Bytes of memory that a call takes beside those in which it came: each of its parts has names of its own there, and the shortest takes
/// 7 bytes of a frame.
pub(super) fn unfolded_bytes(call: &Call) -> usize {
    const PART_BYTES: usize = size_of::<Wanted>() + 2 * size_of::<[usize; 5]>();
    let parts = match call {
        Call::Read(Read {
            source: ReadSource::Log(parts, _),
            ..
        }) => parts,
        Call::Follow(follow) => &follow.parts,
        _ => return 0,
    };
    parts.len() * PART_BYTES
}

/// What it asks for exactly.
pub(super) fn verb(call: Call) -> Verb {
    match call {
        Call::Append(append) => Verb::Commit(commit(append)),
        Call::Read(read) => Verb::Read(reads(read)),
        Call::Follow(follow) => Verb::Follow(Follow {
            parts: follow.parts,
            filter: follow.filter,
            cursor: follow.cursor,
            is_from_now: follow.is_from_now,
            heartbeat: (follow.heartbeat > 0).then(|| heartbeat(Duration::from_millis(follow.heartbeat.into()))),
        }),
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
            heartbeat: subscribe.heartbeat.map(heartbeat),
        }),
        Call::Workers(workers) => Verb::Watch(Watch {
            worker: workers.own.map(worker),
        }),
        Call::Lease(lease) => Verb::Lease(asked_of_lease(lease)),
        Call::Trim(path, first) => Verb::Trim(path, first),
        Call::Delete(path) => Verb::Delete(path),
    }
}

fn commit(append: Append) -> Commit {
    Commit {
        transaction: Transaction {
            id: append.id,
            segments: append.sections,
            fence: append.fence,
            conditions: append.conditions,
        },
        conflict_bytes: append.conflict_bytes as usize,
    }
}

/// How often a heartbeat may come.
const HEARTBEATS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

fn heartbeat(asked: Duration) -> Duration {
    let [least, most] = HEARTBEATS;
    asked.clamp(least, most)
}

fn worker(own: OwnWorker) -> Worker {
    Worker {
        id: own.id,
        metadata: own.metadata,
        heartbeat: Heartbeat {
            period: heartbeat(own.heartbeat),
            is_asked_for: own.is_answered,
        },
    }
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

fn reads(read: Read) -> verbs::Read {
    verbs::Read {
        read: PiecesRead {
            source: read.source,
            is_backwards: read.is_backwards,
            time: TimeRange {
                after: read.after,
                until: read.until,
            },
            filter: read.filter,
            entries: read.entries,
            bytes: read.bytes,
            // Or whoever reads slower than others append would never come to its end.
            ends_at_head: true,
        },
        at_least: read.at_least,
    }
}

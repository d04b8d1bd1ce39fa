//! What may be asked, in the engine's own words.

use std::time::Duration;

use streamkit_engine::{
    Filter, LogCursor, Name, PiecesRead, ReadSource, SegmentPath, SegmentRead, Sequence, SpacesRead, Transaction,
    Wanted,
};
use tracing::{Span, debug_span};
use uuid::Uuid;

use crate::auth::Right;
use crate::live::{Interest, WorkerMetadata};
use crate::metrics::Operation;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Verb {
    /// Records that follow become entries.
    Append(SegmentPath),
    /// A transaction that is here as a whole becomes durable.
    Commit(Commit),
    /// The last entry.
    Peek(SegmentPath),
    /// Entries of a segment.
    ReadSegment(SegmentRead),
    /// Entries of some spaces.
    ReadSpaces(SpacesRead),
    /// Transactions, whole or in part, up to the head.
    Read(Read),
    /// Transactions, and those that come.
    Follow(Follow),
    /// The names of all spaces.
    Spaces,
    /// The segments of a space.
    Segments(SegmentList),
    /// How much there is.
    Status(Within),
    /// The sequence becomes the first that can be read.
    Trim(SegmentPath, Sequence),
    /// The segment goes, with all its entries.
    Delete(SegmentPath),
    /// Statuses, now and as they change.
    Subscribe(Subscribe),
    /// Who is there, now and as it changes.
    Watch(Watch),
    /// A lease is granted, renewed or given back.
    Lease(LeaseRequest),
}

/// A transaction that is here as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) transaction: Transaction,
    /// If a condition does not hold, so many bytes of what was committed since go with the answer.
    pub(crate) conflict_bytes: usize,
}

/// A read of transactions.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) read: PiecesRead,
    /// The number of a transaction that must be there; 0: none.
    pub(crate) at_least: u64,
}

/// What is followed.
#[derive(Clone, Debug)]
pub(crate) struct Follow {
    pub(crate) parts: Vec<Wanted>,
    pub(crate) filter: Filter,
    pub(crate) cursor: LogCursor,
    /// Without a cursor: only what is committed from now on.
    pub(crate) is_from_now: bool,
    /// It tells where it is so often while nothing comes.
    pub(crate) heartbeat: Option<Duration>,
}

/// Whose statuses are told.
#[derive(Clone, Debug)]
pub(crate) struct Subscribe {
    pub(crate) interest: Interest,
    /// A sign of life is sent so often.
    pub(crate) heartbeat: Option<Duration>,
}

/// Who looks at the workers of a store.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The worker that it is; `None`: it only looks.
    pub(crate) worker: Option<Worker>,
}

/// A worker that comes.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) id: Uuid,
    pub(crate) metadata: WorkerMetadata,
    pub(crate) heartbeat: Heartbeat,
}

/// How often worker and server hear of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) period: Duration,
    /// Whether the worker wants to hear of the server.
    pub(crate) is_asked_for: bool,
}

/// What is asked of a lease.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRequest {
    pub(crate) key: Name,
    pub(crate) holder: Name,
    pub(crate) change: LeaseChange,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LeaseChange {
    Acquire(Duration),
    Renew(Duration),
    Release,
}

/// Which segments of a space, and what of them.
#[derive(Clone, Debug)]
pub(crate) struct SegmentList {
    pub(crate) space: Name,
    /// Only those behind this one.
    pub(crate) after: Option<Name>,
    /// At most so many.
    pub(crate) limit: usize,
    /// Their statuses, not their names alone.
    pub(crate) with_status: bool,
}

/// What is looked at.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) enum Within {
    /// The whole store.
    #[default]
    Store,
    Space(Name),
    Segment(SegmentPath),
}

/// A verb without what it is asked of: who may ask is decided before the rest of a request is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Append,
    Peek,
    Read,
    ReadSegment,
    ReadSpaces,
    Spaces,
    Segments,
    Status,
    Trim,
    Delete,
    Follow,
    Subscribe,
    Watch,
    Lease,
}

impl Kind {
    /// The right that it needs.
    pub(crate) fn needs(self) -> Right {
        match self {
            Kind::Append | Kind::Trim | Kind::Delete | Kind::Lease => Right::Write,
            Kind::Peek
            | Kind::Read
            | Kind::ReadSegment
            | Kind::ReadSpaces
            | Kind::Spaces
            | Kind::Segments
            | Kind::Status
            | Kind::Follow
            | Kind::Subscribe
            | Kind::Watch => Right::Read,
        }
    }

    /// As it is counted.
    pub(crate) fn operation(self) -> Operation {
        match self {
            Kind::Append => Operation::Produce,
            Kind::Peek => Operation::Peek,
            Kind::Read => Operation::Read,
            Kind::ReadSegment => Operation::ConsumeSegment,
            Kind::ReadSpaces => Operation::Consume,
            Kind::Spaces => Operation::GetSpaces,
            Kind::Segments => Operation::GetSegments,
            Kind::Status => Operation::GetStatus,
            Kind::Trim => Operation::Trim,
            Kind::Delete => Operation::Delete,
            Kind::Follow => Operation::Follow,
            Kind::Subscribe => Operation::Subscribe,
            Kind::Watch => Operation::Workers,
            Kind::Lease => Operation::Lease,
        }
    }

    /// Whether it goes on until somebody ends it, and nothing is lost if it is asked again.
    pub(crate) fn is_endless(self) -> bool {
        matches!(self, Kind::Follow | Kind::Subscribe | Kind::Watch)
    }

    /// Whether it is answered with what a store holds now: of one that is not there, with nothing.
    pub(crate) fn only_reads(self) -> bool {
        match self {
            Kind::Peek
            | Kind::Read
            | Kind::ReadSegment
            | Kind::ReadSpaces
            | Kind::Spaces
            | Kind::Segments
            | Kind::Status => true,
            // One that is not there may be by and by.
            Kind::Append | Kind::Trim | Kind::Delete | Kind::Follow | Kind::Subscribe | Kind::Watch | Kind::Lease => {
                false
            }
        }
    }
}

impl Verb {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Verb::Append(_) | Verb::Commit(_) => Kind::Append,
            Verb::Peek(_) => Kind::Peek,
            Verb::Read(_) => Kind::Read,
            Verb::Follow(_) => Kind::Follow,
            Verb::ReadSegment(_) => Kind::ReadSegment,
            Verb::ReadSpaces(_) => Kind::ReadSpaces,
            Verb::Spaces => Kind::Spaces,
            Verb::Segments(_) => Kind::Segments,
            Verb::Status(_) => Kind::Status,
            Verb::Trim(..) => Kind::Trim,
            Verb::Delete(_) => Kind::Delete,
            Verb::Subscribe(_) => Kind::Subscribe,
            Verb::Watch(_) => Kind::Watch,
            Verb::Lease(_) => Kind::Lease,
        }
    }

    /// The space that it is about, and the segment, if it is about one.
    pub(super) fn names(&self) -> Option<(&Name, Option<&Name>)> {
        match self {
            Verb::Append(path) | Verb::Peek(path) | Verb::Trim(path, _) | Verb::Delete(path) => {
                Some((&path.space, Some(&path.segment)))
            }
            Verb::ReadSegment(SegmentRead { path, .. }) => Some((&path.space, Some(&path.segment))),
            Verb::Read(Read { read, .. }) => match &read.source {
                ReadSource::Segment(path, ..) => Some((&path.space, Some(&path.segment))),
                ReadSource::Log(parts, _) => only(parts),
            },
            Verb::Follow(follow) => only(&follow.parts),
            Verb::ReadSpaces(read) if read.spaces.len() == 1 => read.spaces.keys().next().map(|space| (space, None)),
            Verb::Segments(list) => Some((&list.space, None)),
            Verb::Status(Within::Space(space)) => Some((space, None)),
            Verb::Status(Within::Segment(path)) => Some((&path.space, Some(&path.segment))),
            Verb::Commit(commit) => match commit.transaction.segments.as_slice() {
                [part] => Some((&part.path.space, Some(&part.path.segment))),
                _ => None,
            },
            Verb::Subscribe(asked) => Some((&asked.interest.space, asked.interest.segment.as_ref())),
            Verb::ReadSpaces(_) | Verb::Spaces | Verb::Status(Within::Store) | Verb::Watch(_) | Verb::Lease(_) => None,
        }
    }

    /// The same as texts, empty where there is none.
    fn told_names(&self) -> (&str, &str) {
        let names = self.names();
        let segment = names.and_then(|(_, segment)| segment);
        (
            names.map_or("", |(space, _)| space.as_str()),
            segment.map_or("", Name::as_str),
        )
    }

    /// Where a trace of it goes.
    pub(super) fn span(&self) -> Span {
        match self {
            Verb::Append(path) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.produce", space, segment)
            }
            Verb::Commit(commit) => {
                let (space, segment) = self.told_names();
                let segments = commit.transaction.segments.len();
                debug_span!("streamkit.server.append", space, segment, segments)
            }
            Verb::Peek(path) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.peek", space, segment)
            }
            Verb::Read(_) => {
                let (space, segment) = self.told_names();
                debug_span!("streamkit.server.read", space, segment)
            }
            Verb::Follow(follow) => {
                let (space, segment) = self.told_names();
                debug_span!("streamkit.server.follow", space, segment, parts = follow.parts.len())
            }
            Verb::ReadSegment(SegmentRead { path, .. }) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.consume_segment", space, segment)
            }
            Verb::ReadSpaces(read) => match read.spaces.keys().next() {
                Some(space) if read.spaces.len() == 1 => {
                    debug_span!("streamkit.server.consume_space", space = space.as_str())
                }
                _ => debug_span!("streamkit.server.consume", spaces = read.spaces.len()),
            },
            Verb::Spaces => debug_span!("streamkit.server.get_spaces"),
            Verb::Segments(list) => debug_span!("streamkit.server.get_segments", space = list.space.as_str()),
            Verb::Status(within) => {
                let (space, segment) = within.names();
                debug_span!("streamkit.server.get_status", space, segment)
            }
            Verb::Trim(path, _) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.trim", space, segment)
            }
            Verb::Delete(path) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.delete", space, segment)
            }
            Verb::Subscribe(Subscribe { interest, .. }) => {
                let segment = interest.segment.as_ref().map_or("*", Name::as_str);
                let space = interest.space.as_str();
                debug_span!("streamkit.server.subscribe_to_segment_status", space, segment)
            }
            Verb::Watch(_) => debug_span!("streamkit.server.subscribe_workers"),
            Verb::Lease(asked) => {
                let key = asked.key.as_str();
                match asked.change {
                    LeaseChange::Acquire(_) => debug_span!("streamkit.server.lease_acquire", key),
                    LeaseChange::Renew(_) => debug_span!("streamkit.server.lease_renew", key),
                    LeaseChange::Release => debug_span!("streamkit.server.lease_release", key),
                }
            }
        }
    }
}

/// The names of the only part.
fn only(parts: &[Wanted]) -> Option<(&Name, Option<&Name>)> {
    match parts {
        [Wanted::Segment(path)] => Some((&path.space, Some(&path.segment))),
        [Wanted::Space(space) | Wanted::Prefix(space, _)] => Some((space, None)),
        _ => None,
    }
}

impl Within {
    /// Its space and its segment, empty where it has none.
    pub(crate) fn names(&self) -> (&str, &str) {
        match self {
            Within::Store => ("", ""),
            Within::Space(space) => (space.as_str(), ""),
            Within::Segment(path) => (path.space.as_str(), path.segment.as_str()),
        }
    }
}

//! What may be asked, in the engine's own words.

use std::time::Duration;

use streamkit_engine::{Name, SegmentPath, SegmentRead, Sequence, SpacesRead, Transaction};
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
    Commit(Transaction),
    /// The last entry.
    Peek(SegmentPath),
    /// Entries of a segment.
    ReadSegment(SegmentRead),
    /// Entries of some spaces.
    ReadSpaces(SpacesRead),
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

/// What is followed.
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
    ReadSegment,
    ReadSpaces,
    Spaces,
    Segments,
    Status,
    Trim,
    Delete,
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
            | Kind::ReadSegment
            | Kind::ReadSpaces
            | Kind::Spaces
            | Kind::Segments
            | Kind::Status
            | Kind::Subscribe
            | Kind::Watch => Right::Read,
        }
    }

    /// As it is counted.
    pub(crate) fn operation(self) -> Operation {
        match self {
            Kind::Append => Operation::Produce,
            Kind::Peek => Operation::Peek,
            Kind::ReadSegment => Operation::ConsumeSegment,
            Kind::ReadSpaces => Operation::Consume,
            Kind::Spaces => Operation::GetSpaces,
            Kind::Segments => Operation::GetSegments,
            Kind::Status => Operation::GetStatus,
            Kind::Trim => Operation::Trim,
            Kind::Delete => Operation::Delete,
            Kind::Subscribe => Operation::Subscribe,
            Kind::Watch => Operation::Workers,
            Kind::Lease => Operation::Lease,
        }
    }

    /// Whether it goes on until somebody ends it, and nothing is lost if it is asked again.
    pub(crate) fn is_endless(self) -> bool {
        matches!(self, Kind::Subscribe | Kind::Watch)
    }

    /// Whether it is answered with what a store holds now: of one that is not there, with nothing.
    pub(crate) fn only_reads(self) -> bool {
        match self {
            Kind::Peek | Kind::ReadSegment | Kind::ReadSpaces | Kind::Spaces | Kind::Segments | Kind::Status => true,
            // One that is not there may be by and by.
            Kind::Append | Kind::Trim | Kind::Delete | Kind::Subscribe | Kind::Watch | Kind::Lease => false,
        }
    }
}

impl Verb {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Verb::Append(_) | Verb::Commit(_) => Kind::Append,
            Verb::Peek(_) => Kind::Peek,
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
            Verb::ReadSpaces(read) if read.spaces.len() == 1 => read.spaces.keys().next().map(|space| (space, None)),
            Verb::Segments(list) => Some((&list.space, None)),
            Verb::Status(Within::Space(space)) => Some((space, None)),
            Verb::Status(Within::Segment(path)) => Some((&path.space, Some(&path.segment))),
            Verb::Commit(transaction) => match transaction.segments.as_slice() {
                [part] => Some((&part.path.space, Some(&part.path.segment))),
                _ => None,
            },
            Verb::Subscribe(asked) => Some((&asked.interest.space, asked.interest.segment.as_ref())),
            Verb::ReadSpaces(_) | Verb::Spaces | Verb::Status(Within::Store) | Verb::Watch(_) | Verb::Lease(_) => None,
        }
    }

    /// Where a trace of it goes.
    pub(super) fn span(&self) -> Span {
        match self {
            Verb::Append(path) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.produce", space, segment)
            }
            Verb::Commit(transaction) => {
                let segments = transaction.segments.len();
                debug_span!("streamkit.server.append", segments)
            }
            Verb::Peek(path) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.peek", space, segment)
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

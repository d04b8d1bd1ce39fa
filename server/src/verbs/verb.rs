//! What may be asked, in the engine's own words.

use streamkit_engine::{Name, SegmentPath, SegmentRead, Sequence, SpacesRead};
use tracing::{Span, debug_span};

use crate::auth::Right;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Verb {
    /// Records that follow become entries.
    Append(SegmentPath),
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
    /// To be told of what changes. No verb yet.
    Follow,
    /// To hold, renew or give back a lease. No verb yet.
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
            | Kind::Follow => Right::Read,
        }
    }

    /// Whether it is answered with what a store holds now: of one that is not there, with nothing.
    pub(crate) fn only_reads(self) -> bool {
        match self {
            Kind::Peek | Kind::ReadSegment | Kind::ReadSpaces | Kind::Spaces | Kind::Segments | Kind::Status => true,
            Kind::Append | Kind::Trim | Kind::Delete | Kind::Follow | Kind::Lease => false,
        }
    }
}

impl Verb {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Verb::Append(_) => Kind::Append,
            Verb::Peek(_) => Kind::Peek,
            Verb::ReadSegment(_) => Kind::ReadSegment,
            Verb::ReadSpaces(_) => Kind::ReadSpaces,
            Verb::Spaces => Kind::Spaces,
            Verb::Segments(_) => Kind::Segments,
            Verb::Status(_) => Kind::Status,
            Verb::Trim(..) => Kind::Trim,
            Verb::Delete(_) => Kind::Delete,
        }
    }

    /// Where a trace of it goes.
    pub(super) fn span(&self) -> Span {
        match self {
            Verb::Append(path) => {
                let (space, segment) = (path.space.as_str(), path.segment.as_str());
                debug_span!("streamkit.server.produce", space, segment)
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

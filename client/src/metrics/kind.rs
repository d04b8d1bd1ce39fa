//! The kinds of calls, which are the same over both versions of the protocol.

use streamkit_protocol::Request;
use streamkit_protocol::v2::Call;

/// A kind of call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum CallKind {
    /// Records become durable. Over v1 one call is a stream of them, from when its producer is opened.
    Append,
    /// Entries, up to the head. It takes as long as its consumer lets it.
    Read,
    /// Entries, and those that come. It has no end but a failure.
    Follow,
    /// Counts, or the last entry of a segment.
    Status,
    /// The names of the spaces.
    Spaces,
    /// The segments of a space.
    Segments,
    /// Statuses as they change. It has no end but a failure.
    Subscribe,
    /// Who is there. It has no end but a failure.
    Workers,
    /// A change of a lease.
    Lease,
    /// Entries before a sequence are removed.
    Trim,
    /// A segment is removed.
    Delete,
}

impl CallKind {
    /// Each of them, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::Append,
        Self::Read,
        Self::Follow,
        Self::Status,
        Self::Spaces,
        Self::Segments,
        Self::Subscribe,
        Self::Workers,
        Self::Lease,
        Self::Trim,
        Self::Delete,
    ];

    /// Its name, such as for the label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Follow => "follow",
            Self::Status => "status",
            Self::Spaces => "spaces",
            Self::Segments => "segments",
            Self::Subscribe => "subscribe",
            Self::Workers => "workers",
            Self::Lease => "lease",
            Self::Trim => "trim",
            Self::Delete => "delete",
        }
    }

    /// Whether v1 answers it with one message, behind which nothing but the end comes.
    pub(crate) fn has_one_answer(self) -> bool {
        matches!(self, Self::Status | Self::Lease | Self::Trim)
    }
}

impl From<&Request> for CallKind {
    fn from(request: &Request) -> Self {
        match request {
            Request::Produce(_) => Self::Append,
            Request::ConsumeSegment(_) | Request::ConsumeSpace(_) | Request::Consume(_) => Self::Read,
            Request::Peek(_) | Request::GetStatus(_) => Self::Status,
            Request::GetSpaces => Self::Spaces,
            Request::GetSegments(_) => Self::Segments,
            Request::SubscribeToSegmentStatus(_) => Self::Subscribe,
            Request::SubscribeWorkers(_) => Self::Workers,
            Request::LeaseAcquire(_) | Request::LeaseRenew(_) | Request::LeaseRelease(_) => Self::Lease,
            Request::Trim(_) => Self::Trim,
            Request::Delete(_) => Self::Delete,
        }
    }
}

impl From<&Call> for CallKind {
    fn from(call: &Call) -> Self {
        match call {
            Call::Append(_) => Self::Append,
            Call::Read(_) => Self::Read,
            Call::Follow(_) => Self::Follow,
            Call::Status(_) => Self::Status,
            Call::Spaces => Self::Spaces,
            Call::Segments(_) => Self::Segments,
            Call::Subscribe(_) => Self::Subscribe,
            Call::Workers(_) => Self::Workers,
            Call::Lease(_) => Self::Lease,
            Call::Trim(..) => Self::Trim,
            Call::Delete(_) => Self::Delete,
        }
    }
}

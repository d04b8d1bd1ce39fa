//! What groups mean: the log knows ids, order and bytes, and nothing of segments.

use bytes::Bytes;
use streamkit_engine::Timestamp;
use uuid::Uuid;

use super::group::GroupId;
use super::place::Place;

/// The state that the valid groups of a log make, one after the other.
pub trait Ledger: Sized {
    /// Where the state lives on this host.
    type Home;
    /// What callers ask to be stored.
    type Request;
    /// What is said of one that is durable.
    type Answer;
    /// What is said of one that does not fit.
    type Refusal;
    /// What requests that are planned, and not known to be durable, would change.
    type Ahead: Default;

    /// The state before the first group.
    ///
    /// # Errors
    /// There can be none here now; the text says why. Likewise below.
    fn begin(home: &Self::Home) -> Result<Self, String>;

    /// What this host has by itself from an earlier start; `None`: nothing.
    fn found(home: &Self::Home) -> Result<Option<Found<Self>>, String>;

    /// Whether this host has the begin of a log at least: there has to be one.
    fn is_kept(home: &Self::Home) -> bool;

    /// The state that a checkpoint holds. `None`: this host cannot begin with it now, and takes the log from its begin.
    ///
    /// # Errors
    /// These bytes are none.
    fn restore(home: &Self::Home, bytes: &Bytes) -> Result<Option<Self>, String>;

    /// This state, for a checkpoint; `None`: there can be none now.
    fn checkpoint(&self) -> Option<Bytes>;

    /// The id of a request's transaction. The same id means the same transaction, wherever and how often it is asked for.
    fn id(request: &Self::Request) -> Uuid;

    /// Most bytes that a request takes in a body.
    fn size(request: &Self::Request) -> usize;

    /// Rules on a request, and plans it if it fits. A refusal stands on durable state alone, and not on what is ahead.
    fn rule(&self, ahead: &mut Self::Ahead, request: &mut Self::Request) -> Ruling<Self>;

    /// A request that is pinned already was planned.
    fn claim(&self, ahead: &mut Self::Ahead, request: &Self::Request);

    /// The earliest commit time that requests may have which are planned now.
    fn earliest(&self, requests: &[&Self::Request]) -> Timestamp;

    /// The body of a group of requests that fit, one behind the other, with this commit time; so many requests are pinned ahead of them.
    fn body(&self, ahead: usize, requests: &mut [&mut Self::Request], time: Timestamp) -> Bytes;

    /// A group is durable, behind all groups before it.
    ///
    /// # Errors
    /// Its body is none, or does not fit: the log is damaged, or what is kept of it on this host. Or this host cannot keep it now.
    fn apply(&mut self, id: GroupId, time: Timestamp, body: &Bytes) -> Result<(), NotApplied>;

    /// All groups before this place are applied.
    fn reached(&mut self, _place: Place, _last: Option<GroupId>, _time: Timestamp) {}

    /// Whether the state holds no more than the groups that were applied.
    fn is_whole(&self) -> bool {
        true
    }

    /// What is said of the requests of the group that was applied last.
    fn answers(&self, requests: &[&Self::Request]) -> Vec<Self::Answer>;
}

/// What a host has from an earlier start, up to a place at least. The state may be of a later one: then the groups up to there are applied a
/// second time, and change nothing.
pub struct Found<L> {
    /// The place.
    pub place: Place,
    /// The last valid group before it.
    pub last: Option<GroupId>,
    /// The commit time of that group.
    pub time: Timestamp,
    /// The state.
    pub ledger: L,
}

/// Why a durable group is not applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotApplied {
    /// It does not fit behind those before it.
    Damaged(String),
    /// This host cannot: its disk is full, say. Others can.
    Host(String),
}

impl From<String> for NotApplied {
    fn from(why: String) -> Self {
        Self::Damaged(why)
    }
}

/// What becomes of a request.
pub enum Ruling<L: Ledger> {
    /// Its transaction is durable already.
    Known(L::Answer),
    /// It fits behind what is durable and what is ahead, and is planned.
    Fits,
    /// What is ahead decides.
    Waits,
    /// It does not fit behind what is durable here. Elsewhere more may be durable.
    Refused(L::Refusal),
    /// Whether it is durable cannot be said here now; the text says why.
    Unclear(String),
}

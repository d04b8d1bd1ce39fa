//! What groups mean: the log knows ids, order and bytes, and nothing of segments.

use bytes::Bytes;
use streamkit_engine::Timestamp;
use uuid::Uuid;

use super::group::GroupId;

/// The state that the valid groups of a log make, one after the other.
pub trait Ledger: Sized {
    /// What callers ask to be stored.
    type Request;
    /// What is said of one that is durable.
    type Answer;
    /// What is said of one that does not fit.
    type Refusal;
    /// What requests that are planned, and not known to be durable, would change.
    type Ahead: Default;

    /// The state before the first group.
    fn empty() -> Self;

    /// The state that a checkpoint holds.
    ///
    /// # Errors
    /// These bytes are none; the text says why.
    fn restore(bytes: &Bytes) -> Result<Self, String>;

    /// This state, for a checkpoint.
    fn checkpoint(&self) -> Bytes;

    /// The id of a request's transaction. The same id means the same transaction, wherever and how often it is asked for.
    fn id(request: &Self::Request) -> Uuid;

    /// Most bytes that a request takes in a body.
    fn size(request: &Self::Request) -> usize;

    /// Rules on a request. A refusal stands on durable state alone, and not on what is ahead.
    fn rule(&self, ahead: &Self::Ahead, request: &Self::Request) -> Ruling<Self>;

    /// A request was planned that fits.
    fn claim(&self, ahead: &mut Self::Ahead, request: &Self::Request);

    /// The body of a group of requests that fit, one behind the other.
    fn body(&self, requests: &[&Self::Request]) -> Bytes;

    /// A group is durable, behind all groups before it.
    ///
    /// # Errors
    /// Its body is none, or does not fit: the log is damaged. The text says why.
    fn apply(&mut self, id: GroupId, time: Timestamp, body: &Bytes) -> Result<(), String>;

    /// What is said of a durable transaction.
    fn find(&self, id: Uuid) -> Option<Self::Answer>;
}

/// What becomes of a request.
pub enum Ruling<L: Ledger> {
    /// Its transaction is durable already.
    Known(L::Answer),
    /// It fits behind what is durable and what is ahead.
    Fits,
    /// What is ahead decides.
    Waits,
    /// It does not fit behind what is durable here. Elsewhere more may be durable.
    Refused(L::Refusal),
}

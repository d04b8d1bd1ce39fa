//! What happens to a log, and what it does about it.

use std::time::Duration;

use streamkit_engine::Timestamp;
use uuid::Uuid;

use super::call::{Call, CallId, Said};
use super::ledger::Ledger;
use super::place::Place;
use crate::medium::Unanswered;

/// The time of an event, at the host where it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Since some moment of this start of the host. It only grows.
    pub uptime: Duration,
    /// The time of day. It may jump.
    pub wall: Timestamp,
}

/// Names one who waits for an answer. A host gives each another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CallerId(pub u64);

/// What happens.
#[derive(Debug)]
pub enum Event<R> {
    /// The log is to be opened.
    Open,
    /// A caller asks for a request to be stored, until a time of [`Now::uptime`].
    Ask(CallerId, R, Duration),
    /// A caller waits until the ledger has everything that was durable before it asked, until a time of [`Now::uptime`].
    Look(CallerId, Duration),
    /// A caller waits no longer. Its request is stored if it is pinned, and is not if it is not.
    Forget(CallerId),
    /// Another host says that the log has come to this place. It may be wrong.
    Hint(Place),
    /// The medium answered a call.
    Said(CallId, Result<Said, Unanswered>),
    /// The time came that [`super::SharedLog::wakes`] said.
    Tick,
    /// The log is to be left: what is pinned is resolved, and nothing new is planned.
    Leave,
}

/// What a log does.
pub enum Action<L: Ledger> {
    /// It makes a call of the medium.
    Call(CallId, Call),
    /// It answers a request.
    Answer(CallerId, Outcome<L>),
    /// It answers a look: the ledger has everything that was durable before it was asked for, or why it may not.
    Looked(CallerId, Result<(), Why>),
    /// Other hosts may be told that the log has come to this place.
    Hint(Place),
    /// It is left: nothing is pinned, and every caller has its answer.
    Left,
}

/// The answer to a request.
pub enum Outcome<L: Ledger> {
    /// Its transaction is durable.
    Durable(L::Answer),
    /// It did not fit behind what was durable at some moment since it was asked for. Nothing of it was stored by this call, and never will.
    Refused(L::Refusal),
    /// Nothing of it was stored by this call, and never will. It may be asked for again.
    NotStored(Why),
    /// Whether it is stored is not known now. The log will tell, under the id of its transaction.
    Unknown(Uuid, Why),
}

/// Why there is no better answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// The caller's deadline passed.
    #[error("no answer before the deadline")]
    Late,
    /// Too many wait already. Transient.
    #[error("too many requests wait")]
    Full {
        /// How long the medium asked to wait, if it did.
        after: Option<Duration>,
    },
    /// This host's clock and the service's differ too much. Transient; other hosts may take the request.
    #[error("this host's clock is off by {0} ms")]
    ClockOff(i64),
    /// This host cannot say whether it is stored already.
    #[error("what is stored already cannot be read here now: {0}")]
    Unclear(String),
    /// The log is being left, or is not open.
    #[error("the log is closed")]
    Closed,
    /// The log cannot go on.
    #[error("{0}")]
    Failed(Failure),
}

/// Why a log cannot go on until it is opened anew.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// The medium will never take a call that the log has to make.
    #[error("the storage refuses a call: {0}")]
    Refused(String),
    /// Bytes are not what was written, or what must be there is not.
    #[error("the shared log is damaged: {0}")]
    Damaged(String),
    /// The log ends before a checkpoint of it: the storage lost what was acknowledged.
    #[error("the shared log ends before its checkpoint: the storage has gone back")]
    WentBack,
    /// This host cannot keep what it has to.
    #[error("this host cannot keep its copy of the log: {0}")]
    Host(String),
    /// There is no such store.
    #[error("there is no such store")]
    NoStore,
    /// The store was deleted.
    #[error("the store was deleted")]
    Deleted,
}

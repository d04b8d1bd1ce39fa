//! Requests that the committer has not yet taken.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;

use super::budget::QueuePermit;
use super::order::SequenceClaim;
use crate::error::{AppendError, Rejection};
use crate::format::transaction::Encoded;
use crate::runtime::sync::Instant;
use crate::runtime::waking::waking;
use streamkit_record::{Committed, Lease, Name, SegmentPath, SegmentStatus, Sequence, Transaction};

/// The receiver of an answer. It gets exactly one; dropping it unanswered tells the caller that the outcome is
/// unknown.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// Answers whoever waits, if anybody still does.
pub(crate) fn answer<T>(reply: Reply<T>, outcome: Result<T, AppendError>) {
    waking(|| {
        let _ = reply.send(outcome);
    });
}

/// One queued request.
pub(crate) enum Request {
    /// Append records.
    Append(Append),
    /// Raise a segment's first readable sequence.
    Trim {
        path: SegmentPath,
        first: Sequence,
        reply: Reply<SegmentStatus>,
        _room: QueuePermit,
    },
    /// Delete a segment.
    Delete {
        path: SegmentPath,
        reply: Reply<()>,
        _room: QueuePermit,
    },
    /// Grant, renew or release a lease.
    Lease {
        request: LeaseRequest,
        reply: Reply<Option<Lease>>,
        _room: QueuePermit,
    },
}

/// A request about a lease.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRequest {
    pub(crate) key: Name,
    pub(crate) holder: Name,
    pub(crate) change: LeaseChange,
}

/// The requested change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LeaseChange {
    /// Grant for this long, or renew if its holder asks.
    Acquire(Duration),
    /// Renew, if its holder asks.
    Renew(Duration),
    /// Release, if its holder asks, even if it has run out.
    Release,
}

/// A transaction to append.
pub(crate) struct Append {
    pub(crate) transaction: Transaction,
    pub(crate) encoded: Encoded,
    pub(crate) claims: Vec<SequenceClaim>,
    /// Whether the commit decides some of its sequences.
    pub(crate) takes_next: bool,
    pub(crate) reply: oneshot::Sender<Answered>,
    /// Its share of the queue's bytes, given back with the answer.
    pub(crate) room: QueuePermit,
    /// When it was queued.
    pub(crate) since: Instant,
}

/// An append's outcome, and the transaction it was made of. Freeing ten thousand records takes as long as writing
/// them, so the producer does it.
pub(crate) struct Answered {
    pub(crate) outcome: Result<Committed, AppendError>,
    /// Transactions of its group; 0 if it was in none.
    pub(crate) group: u64,
    _spent: (Transaction, Encoded, Vec<SequenceClaim>),
}

/// What a producer wants in the log.
pub(crate) struct Proposed<'a> {
    pub(crate) transaction: &'a Transaction,
    pub(crate) encoded: &'a mut Encoded,
    pub(crate) claims: &'a mut [SequenceClaim],
}

impl Append {
    /// What it is of.
    pub(crate) fn proposed(&mut self) -> Proposed<'_> {
        Proposed {
            transaction: &self.transaction,
            encoded: &mut self.encoded,
            claims: &mut self.claims,
        }
    }

    pub(crate) fn answer(self, outcome: Result<Committed, AppendError>) {
        self.answer_in(outcome, 0);
    }

    /// Answers one of a group of so many.
    pub(crate) fn answer_in(self, outcome: Result<Committed, AppendError>, group: u64) {
        let Self { room, reply, .. } = self;
        let spent = (self.transaction, self.encoded, self.claims);
        drop(room);
        waking(|| {
            let _ = reply.send(Answered {
                outcome,
                group,
                _spent: spent,
            });
        });
    }
}

/// The queue, and whether a driver works on it.
#[derive(Default)]
pub(crate) struct CommitQueue {
    pub(crate) requests: VecDeque<Request>,
    pub(crate) running: bool,
    pub(crate) closed: bool,
    /// The driver waits for a write, and wants a call once this many more bytes are there.
    call_after: Option<usize>,
}

/// What a newly queued request needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// The driver will reach it.
    Nothing,
    /// No driver works on the queue: the caller must start one.
    Start,
    /// The driver must be called.
    Call,
}

impl CommitQueue {
    pub(crate) fn push(&mut self, request: Request) -> Needs {
        let bytes = request.bytes();
        self.requests.push_back(request);
        if !std::mem::replace(&mut self.running, true) {
            return Needs::Start;
        }
        match self.call_after {
            Some(missing) if missing <= bytes => {
                self.call_after = None;
                Needs::Call
            }
            Some(missing) => {
                self.call_after = Some(missing - bytes);
                Needs::Nothing
            }
            None => Needs::Nothing,
        }
    }

    /// Moves all requests behind `waiting`; returns whether that holds any.
    pub(crate) fn take(&mut self, waiting: &mut VecDeque<Request>) -> bool {
        if waiting.is_empty() {
            std::mem::swap(waiting, &mut self.requests); // a long queue is not copied
        } else {
            waiting.append(&mut self.requests);
        }
        !waiting.is_empty()
    }

    /// The reverse of [`CommitQueue::take`]; returns whether there are any requests.
    pub(crate) fn put_back(&mut self, waiting: &mut VecDeque<Request>) -> bool {
        if !waiting.is_empty() {
            waiting.append(&mut self.requests);
            std::mem::swap(&mut self.requests, waiting);
        }
        !self.requests.is_empty()
    }

    /// Whether appends of this many bytes are there; if not, the request that completes them calls.
    pub(crate) fn holds_or_calls(&mut self, bytes: usize) -> bool {
        let mut missing = bytes;
        for request in &self.requests {
            missing = missing.saturating_sub(request.bytes());
            if missing == 0 {
                break;
            }
        }
        self.call_after = (missing > 0).then_some(missing);
        missing == 0
    }

    /// The driver comes back without a call.
    pub(crate) fn call_nobody(&mut self) {
        self.call_after = None;
    }

    /// No driver works on it any more. An idle store keeps no memory of its queue.
    pub(crate) fn end(&mut self) {
        self.running = false;
        self.call_after = None;
        if self.requests.is_empty() {
            self.requests = VecDeque::new();
        }
    }
}

impl Request {
    /// Refuses it: nothing of it was or will be written.
    pub(crate) fn refuse(self, why: Rejection) {
        match self {
            Request::Append(append) => append.answer(Err(why.into())),
            Request::Trim { reply, .. } => answer(reply, Err(why.into())),
            Request::Delete { reply, .. } => answer(reply, Err(why.into())),
            Request::Lease { reply, .. } => answer(reply, Err(why.into())),
        }
    }

    /// Its bytes in a group.
    fn bytes(&self) -> usize {
        match self {
            Request::Append(append) => append.encoded.len(),
            Request::Trim { .. } | Request::Delete { .. } | Request::Lease { .. } => 0,
        }
    }
}

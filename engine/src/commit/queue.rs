//! What producers have asked for and the committer has not yet taken.

use std::collections::VecDeque;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::order::Claim;
use crate::error::AppendError;
use crate::format::transaction::Encoded;
use crate::model::{Committed, SegmentPath, SegmentStatus, Sequence, Transaction};

/// Where an answer goes. Exactly one is sent; dropping it unanswered tells the caller that the outcome is unknown.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// One queued request.
pub(crate) enum Request {
    /// Append records.
    Append(Append),
    /// Raise a segment's first readable sequence.
    Trim {
        path: SegmentPath,
        first: Sequence,
        reply: Reply<SegmentStatus>,
        _room: OwnedSemaphorePermit,
    },
    /// Delete a segment.
    Delete {
        path: SegmentPath,
        reply: Reply<()>,
        _room: OwnedSemaphorePermit,
    },
}

/// A transaction to append.
pub(crate) struct Append {
    pub(crate) transaction: Transaction,
    pub(crate) encoded: Encoded,
    pub(crate) claims: Vec<Claim>,
    pub(crate) reply: Reply<Committed>,
    /// Its share of the queue's bytes, given back when it is answered.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// The queue, and whether somebody is working on it.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) requests: VecDeque<Request>,
    pub(crate) running: bool,
    pub(crate) closed: bool,
}

impl Queue {
    /// Nobody works on it any more. An idle store holds no memory for what was queued once.
    pub(crate) fn end(&mut self) {
        self.running = false;
        if self.requests.is_empty() {
            self.requests = VecDeque::new();
        }
    }
}

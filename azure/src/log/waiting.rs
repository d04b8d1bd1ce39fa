//! Who waits for an answer: requests that no group holds, looks, and the deadlines of all.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::event::CallerId;

/// The number of an event at one log: what came before what.
pub(crate) type Turn = u64;

/// One who waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub id: CallerId,
    /// When it came.
    pub came: Turn,
    pub deadline: Duration,
}

/// A request and who waits for it.
#[derive(Debug)]
pub(crate) struct Asked<R> {
    pub caller: Caller,
    pub request: R,
    pub bytes: usize,
}

/// Everybody who waits, but for the requests of pinned groups, of whom only the deadlines are here.
#[derive(Debug)]
pub(crate) struct Waiting<R> {
    pub queue: VecDeque<Asked<R>>,
    pub looks: VecDeque<Caller>,
    deadlines: BTreeSet<(Duration, CallerId)>,
    /// Of requests that wait or are pinned.
    bytes: usize,
}

impl<R> Waiting<R> {
    pub fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            looks: VecDeque::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Whether there is room for a caller with so many bytes. One who is alone always has room.
    pub fn has_room(&self, bytes: usize, most_bytes: usize, most_callers: usize) -> bool {
        self.deadlines.len() < most_callers && (self.bytes == 0 || self.bytes.saturating_add(bytes) <= most_bytes)
    }

    pub fn ask(&mut self, asked: Asked<R>) {
        self.bytes += asked.bytes;
        self.deadlines.insert((asked.caller.deadline, asked.caller.id));
        self.queue.push_back(asked);
    }

    pub fn look(&mut self, caller: Caller) {
        self.deadlines.insert((caller.deadline, caller.id));
        self.looks.push_back(caller);
    }

    /// Somebody got an answer, or waits no longer.
    pub fn goes(&mut self, caller: &Caller) {
        self.deadlines.remove(&(caller.deadline, caller.id));
    }

    /// A request is neither here nor pinned any more.
    pub fn forgets(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    pub fn first_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

//! What a look has found, and what it has still to find.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::errand::Errand;
use super::place::Place;
use super::waiting::Turn;
use crate::medium::{ExtentId, SlotNumber};

/// The look that is under way, and what its reads have found.
#[derive(Default)]
pub(crate) struct Looking {
    /// Everything that was durable when the event of this turn happened is known. What is sent in a turn is sent after its event.
    pub known: Turn,
    /// Everything that was durable at this turn must become known.
    pub wanted: Turn,
    /// Another host said that the log has come so far.
    pub hinted: Option<Place>,
    /// A slot that was not there, and later ones were.
    pub hole: Option<Place>,
    pub(super) read: Option<Read>,
    pub(super) backlog: Option<Backlog>,
}

/// A read of an extent.
pub(super) struct Read {
    pub errand: Errand,
    /// When the last call was made.
    pub began: Turn,
    pub extent: ExtentId,
}

/// Rows that are not yet applied.
pub(super) struct Backlog {
    pub extent: ExtentId,
    pub rows: VecDeque<(SlotNumber, Bytes)>,
    pub end: BacklogEnd,
    pub body: Errand,
    pub fetched: Option<Bytes>,
}

/// What is known behind the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BacklogEnd {
    /// What is missing was not there at this turn.
    Tail(Turn),
    /// Nothing.
    Early,
    /// The rows end with a seal.
    History,
}

impl Backlog {
    /// Whether there is a row of this slot or a later one.
    pub fn reaches(&self, slot: u64) -> bool {
        self.rows.back().is_some_and(|(last, _)| last.0 >= slot)
    }
}

impl Looking {
    pub fn is_on(&self) -> bool {
        self.read.is_some() || self.backlog.is_some()
    }

    pub fn has_backlog(&self) -> bool {
        self.backlog.is_some()
    }

    pub fn stop(&mut self) {
        (self.read, self.backlog, self.hinted) = (None, None, None);
    }

    pub fn wakes(&self) -> Option<Duration> {
        let read = self.read.as_ref().and_then(|read| read.errand.wakes());
        let body = self.backlog.as_ref().and_then(|backlog| backlog.body.wakes());
        read.into_iter().chain(body).min()
    }
}

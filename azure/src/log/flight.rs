//! Pinned groups: sent, perhaps more than once, and not known to be in the log or not.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::call::CallId;
use super::errand::Errand;
use super::group::Group;
use super::waiting::{Asked, Turn};

/// A group, what it is made of, and what was said of it. Its slot and its bytes never change.
pub(crate) struct Pinned<R> {
    pub group: Group,
    /// Those of the slot.
    pub bytes: Bytes,
    /// The body, wherever it is.
    pub body: Bytes,
    pub requests: Vec<PinnedRequest<R>>,
    pub standing: Standing,
    /// When it was sent first.
    pub sent: Option<Turn>,
}

/// A request of a pinned group. Whoever asked may have left.
pub(crate) struct PinnedRequest<R> {
    pub asked: Asked<R>,
    pub is_awaited: bool,
}

/// How far a pinned group has come.
pub(crate) enum Standing {
    /// Its body goes into a blob first.
    Storing(Errand),
    /// It is being inserted.
    Inserting(Inserting),
    /// Its slot is taken, by it or by another. A look that begins behind this turn tells.
    Taken(Turn),
    /// It is in its slot.
    Landed,
}

/// The inserts of a group that are under way: one, or two with a hedge.
#[derive(Default)]
pub(crate) struct Inserting {
    calls: Vec<(CallId, Duration)>,
    hedge: Option<Duration>,
    failures: u32,
    due: Option<Duration>,
}

/// Whether an insert should be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Send {
    /// The first one, or again after a pause.
    Again,
    /// Beside one whose answer is late.
    Hedge,
    /// None.
    Nothing,
}

impl Inserting {
    /// What should be done at this time.
    pub fn wants(&self, now: Duration) -> Send {
        match (self.calls.len(), self.hedge) {
            (0, _) if self.due.is_none_or(|due| due <= now) => Send::Again,
            (1, Some(hedge)) if hedge <= now => Send::Hedge,
            _ => Send::Nothing,
        }
    }

    /// An insert was sent. If no answer comes until `hedge`, one more is.
    pub fn sent(&mut self, call: CallId, now: Duration, hedge: Option<Duration>) {
        self.calls.push((call, now));
        (self.hedge, self.due) = (hedge, None);
    }

    /// When an insert was sent that is answered now.
    pub fn answered(&mut self, call: CallId) -> Option<Duration> {
        let at = self.calls.iter().position(|(sent, _)| *sent == call)?;
        Some(self.calls.swap_remove(at).1)
    }

    /// An answer said nothing. If no other is awaited, the same is sent again after what `pause` says for so many failures.
    pub fn failed(&mut self, now: Duration, pause: impl FnOnce(u32) -> Duration) {
        if self.calls.is_empty() {
            self.due = Some(now + pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn wakes(&self) -> Option<Duration> {
        match self.calls.len() {
            0 => self.due,
            1 => self.hedge,
            _ => None,
        }
    }
}

/// The pinned groups in the order of their slots, which follow each other. Each names the one before it.
pub(crate) struct Flight<R>(pub VecDeque<Pinned<R>>);

impl<R> Flight<R> {
    /// When one has to be looked at again.
    pub fn wakes(&self) -> Option<Duration> {
        let each = self.0.iter().filter_map(|pinned| match &pinned.standing {
            Standing::Storing(errand) => errand.wakes(),
            Standing::Inserting(inserting) => inserting.wakes(),
            Standing::Taken(_) | Standing::Landed => None,
        });
        each.min()
    }

    /// Since when it is known that a look is needed for the first.
    pub fn taken(&self) -> Option<Turn> {
        match self.0.front()?.standing {
            Standing::Taken(since) => Some(since),
            _ => None,
        }
    }

    pub fn number(&mut self, number: u64) -> Option<&mut Pinned<R>> {
        self.0.iter_mut().find(|pinned| pinned.group.id.number == number)
    }
}

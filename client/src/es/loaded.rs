//! What loads and saves return.

use streamkit_record::SegmentPath;
use uuid::Uuid;

use crate::error::Error;

/// An aggregate as its events made it, up to a sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded<A> {
    pub(super) path: SegmentPath,
    pub(super) state: A,
    pub(super) sequence: u64,
    /// The id of the last event, if it has one.
    pub(super) last: Option<Uuid>,
}

impl<A: Default> Loaded<A> {
    /// One to which nothing has happened.
    pub(super) fn new(path: SegmentPath) -> Self {
        Self {
            path,
            state: A::default(),
            sequence: 0,
            last: None,
        }
    }
}

impl<A> Loaded<A> {
    /// Its id.
    pub fn id(&self) -> &str {
        self.path.segment.as_str()
    }

    /// Its state.
    pub fn state(&self) -> &A {
        &self.state
    }

    /// The same, kept.
    pub fn into_state(self) -> A {
        self.state
    }

    /// The sequence of its last event; 0 if it has none.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Events that were saved.
#[derive(Debug)]
pub struct Saved {
    /// The sequence of the last one: the head.
    pub sequence: u64,
    /// The snapshot that was due, if one was, and why it is not written. The events are saved all the same; the next one is due after as
    /// many further events.
    pub snapshot: Option<Result<(), Error>>,
}

/// An aggregate that was changed.
#[derive(Debug)]
pub struct Updated<A> {
    /// As it is now.
    pub loaded: Loaded<A>,
    /// What was saved.
    pub saved: Saved,
    /// How often others were first.
    pub conflicts: u32,
}

/// Why events are made: what each of them says of where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cause {
    /// What belongs together: one id for all that comes of a request.
    pub correlation: Option<Uuid>,
    /// The event, or the command, that led to it.
    pub causation: Option<Uuid>,
}

/// An event as it stands in the history.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded<E> {
    /// What happened.
    pub event: E,
    /// Its number, from 1.
    pub sequence: u64,
    /// Its commit time, Unix milliseconds.
    pub timestamp: i64,
    /// Its id, if it was saved with one.
    pub id: Option<Uuid>,
    /// What it says of where it comes from.
    pub cause: Cause,
}

impl<E> Recorded<E> {
    /// The cause of what this event leads to: it belongs to the same, which begins with this event if it belongs to nothing.
    pub fn consequence(&self) -> Cause {
        Cause {
            correlation: self.cause.correlation.or(self.id),
            causation: self.id,
        }
    }
}

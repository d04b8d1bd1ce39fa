//! What pongs prove of a peer that may write a frame directly, before all that it has queued: a pong too.
//!
//! A pong carries nothing that tells which ping it answers, so it proves something only where one ping was out.

use std::time::{Duration, Instant};

/// How long the queue of a peer is full before a sender writes directly.
pub(super) const PEER_QUEUE_WAIT: Duration = Duration::from_millis(20);

/// What a pong says.
pub(super) enum Pong {
    /// All that the peer had queued before the ping came, sent when so many frames had come, is here.
    Proves(u64),
    /// The peer answered that ping; but the pong may have overtaken what was queued.
    Tells(u64),
    Nothing,
}

/// Pings of a connection, and what became of them.
#[derive(Default)]
pub(super) struct Pings {
    /// The only ping that is out: how many frames had come, and when.
    one: Option<(u64, Instant)>,
    owed: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    has_answered: bool,
    /// How many frames had come with the last pong.
    ponged: Option<u64>,
}

impl Pings {
    /// A ping was queued when so many frames had come.
    pub(super) fn sent(&mut self, frames: u64, now: Instant) {
        self.one = (self.owed == 0).then_some((frames, now));
        self.owed += 1;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// A pong came, the last of so many frames.
    pub(super) fn answered(&mut self, frames: u64, now: Instant) -> Pong {
        self.has_answered |= self.owed > 0;
        self.owed = self.owed.saturating_sub(1);
        let before = self.ponged.replace(frames);
        let Some((sent, when)) = self.one.take() else {
            return Pong::Nothing;
        };
        // A pong that was written directly has waited for so long. And had the queue been full when two pongs were written
        // one after the other, its writer would have written a frame in between.
        let was_quick = now.duration_since(when) < PEER_QUEUE_WAIT;
        let is_next = before.is_some_and(|before| before <= sent && before + 1 == frames);
        match was_quick || is_next {
            true => Pong::Proves(sent),
            false => Pong::Tells(sent),
        }
    }

    /// Nobody listened for so long until now: meanwhile no answer could come.
    pub(super) fn later(&mut self, stood: Duration, now: Instant) {
        self.first = self.first.map(|first| (first + stood).min(now));
    }

    /// Pings without an answer.
    pub(super) fn owed(&self) -> u64 {
        self.owed
    }

    /// Since when the peer has answered none; `None` if it has ever answered one, or none was sent.
    pub(super) fn unanswered_since(&self) -> Option<Instant> {
        self.first.filter(|_| !self.has_answered)
    }

    /// Whether none was sent for so long.
    pub(super) fn none_for(&self, time: Duration, now: Instant) -> bool {
        self.last.is_none_or(|last| now.duration_since(last) >= time)
    }
}

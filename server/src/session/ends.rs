//! Ends that wait for what they may have overtaken.
//!
//! A Go peer queues its frames, up to 8192; where the queue is full for 20 ms it writes a frame directly, before all that is
//! queued. So a `mux::close` may come before the last records of its channel, and what looks like a whole produce is one cut
//! short. Nothing in the protocol tells the two apart but what comes behind. So an end is given to its channel
//! - when all that had arrived with it was looked at, where the peer cannot have had a full queue: it has sent little;
//! - else when a pong to a later ping is here and the socket is empty; or, where frames of this peer did overtake each other,
//!   or a channel has sent as much as fits in that queue, when the peer is quiet after that pong;
//! - or when twice as many frames have come since as fit in that queue;
//! - or when the peer is quiet for longer, for those who answer no pings; at last after some seconds.
//!
//! A channel that holds early records asks for a mark by the same rules: what is missing then will not come.
//! [Why](../../../docs/decisions/2026-11-27-overtaking.md).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use streamkit_protocol::FrameHead;
use uuid::Uuid;

use super::inbox::Inbox;

/// Frames that a Go peer queues.
const PEER_QUEUE_FRAMES: usize = 8192;

/// Frames of a channel after which its peer is taken for one that may have a full queue.
const MUCH_FRAMES: usize = PEER_QUEUE_FRAMES / 2;

/// Frames after which the queue that an end overtook is here, with others that overtook it too.
const PASSED_FRAMES: u64 = 2 * PEER_QUEUE_FRAMES as u64;

/// Frames looked at behind an end that hardly overtook any, where the socket never gets empty.
const LOOKED_AT_FRAMES: u64 = 512;

/// How long a peer is quiet that has nothing queued, after a pong, and without one.
const QUIET_AFTER_PONG: Duration = Duration::from_millis(10);
const QUIET: Duration = Duration::from_millis(100);
const QUIET_IN_DOUBT: Duration = Duration::from_secs(1);

/// An end waits no longer than that, whatever comes meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a peer whose frames overtook each other is doubted.
const DOUBTED: Duration = Duration::from_secs(60);

/// Pings that a peer may owe an answer.
const PINGS_MAX: usize = 16;

/// How likely it is that an end has overtaken something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) enum Doubt {
    Little,
    Some,
    Much,
}

/// What a channel is given in the end.
pub(super) enum What {
    /// The peer's clean end, as it came.
    End(Bytes),
    /// The mark it asked for.
    Mark,
}

/// An end, or a mark, that waits.
pub(super) struct Waiting {
    pub(super) head: FrameHead,
    pub(super) inbox: Inbox,
    pub(super) what: What,
    doubt: Doubt,
    /// How many frames had come before it.
    since: u64,
    began: Instant,
    answered: bool,
}

/// All that wait on a connection, in the order they came.
#[derive(Default)]
pub(super) struct Ends {
    waiting: Vec<Waiting>,
    frames: u64,
    /// Of each ping without an answer, how many frames had come when it was sent.
    pings: VecDeque<u64>,
    overtaken: Option<Instant>,
}

impl Ends {
    /// A frame came. Whether some end may have waited long enough.
    pub(super) fn frame_came(&mut self) -> bool {
        self.frames += 1;
        !self.waiting.is_empty() && self.frames.is_multiple_of(64)
    }

    /// Frames of this peer have overtaken each other.
    pub(super) fn overtaken(&mut self) {
        self.overtaken = Some(Instant::now());
    }

    /// How likely an end of this channel has overtaken something.
    pub(super) fn doubt(&self, inbox: &Inbox, any_is_bulk: bool) -> Doubt {
        let doubted = self.overtaken.is_some_and(|when| when.elapsed() < DOUBTED);
        if doubted || inbox.messages() >= MUCH_FRAMES {
            Doubt::Much
        } else if any_is_bulk || inbox.is_bulk() || inbox.messages() == 0 {
            Doubt::Some
        } else {
            Doubt::Little
        }
    }

    /// Lets an end or a mark wait.
    pub(super) fn wait(&mut self, head: FrameHead, inbox: Inbox, what: What, doubt: Doubt) {
        let is_end = matches!(what, What::End(_));
        if is_end && self.end_of(head.channel_id).is_some() {
            // A second end says nothing new.
            return;
        }
        self.waiting.push(Waiting {
            head,
            inbox,
            what,
            doubt,
            since: self.frames,
            began: Instant::now(),
            answered: false,
        });
    }

    fn end_of(&mut self, id: Uuid) -> Option<&mut Waiting> {
        let is_end = |waiting: &&mut Waiting| waiting.head.channel_id == id && matches!(waiting.what, What::End(_));
        self.waiting.iter_mut().find(is_end)
    }

    /// A message came for a channel: behind its end, that proves that the end has overtaken it.
    pub(super) fn message_came(&mut self, id: Uuid) {
        let frames = self.frames;
        let Some(end) = self.end_of(id) else {
            return;
        };
        (end.doubt, end.since, end.answered) = (Doubt::Much, frames, false);
        self.overtaken();
    }

    /// Drops what waits for a channel that is given up.
    pub(super) fn forget(&mut self, id: Uuid) {
        self.waiting.retain(|waiting| waiting.head.channel_id != id);
    }

    /// Whether a ping would tell something.
    pub(super) fn wants_ping(&self) -> bool {
        let last = self.pings.back().copied();
        let untold = |w: &Waiting| {
            w.doubt > Doubt::Little && !w.answered && !w.inbox.ends_at_once() && last.is_none_or(|last| last < w.since)
        };
        self.pings.len() < PINGS_MAX && self.waiting.iter().any(untold)
    }

    /// A ping was queued.
    pub(super) fn pinged(&mut self) {
        if self.pings.len() < PINGS_MAX {
            self.pings.push_back(self.frames);
        }
    }

    /// A pong came, to the oldest ping without one.
    pub(super) fn ponged(&mut self) {
        let Some(sent) = self.pings.pop_front() else {
            return;
        };
        for waiting in &mut self.waiting {
            waiting.answered |= waiting.since <= sent;
        }
    }

    /// Whether something waits for the socket to be empty.
    pub(super) fn want_empty(&self) -> bool {
        self.waiting
            .iter()
            .any(|waiting| self.is_due(waiting, true, Duration::ZERO))
    }

    /// Takes what has waited long enough, where nothing came for `quiet`.
    pub(super) fn take(&mut self, empty: bool, quiet: Duration) -> Vec<Waiting> {
        let mut due = Vec::new();
        let mut still = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let is_due = self.is_due(&waiting, empty, quiet);
            if is_due { &mut due } else { &mut still }.push(waiting);
        }
        self.waiting = still;
        due
    }

    /// Takes all: nothing more will come.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    fn is_due(&self, waiting: &Waiting, empty: bool, quiet: Duration) -> bool {
        let passed = self.frames - waiting.since;
        if passed >= PASSED_FRAMES || (quiet >= QUIET_AFTER_PONG && waiting.began.elapsed() >= WAIT_MAX) {
            return true;
        }
        match waiting.doubt {
            _ if waiting.inbox.ends_at_once() => empty || passed >= LOOKED_AT_FRAMES,
            Doubt::Little => empty || passed >= LOOKED_AT_FRAMES,
            Doubt::Some => (empty && waiting.answered) || quiet >= QUIET,
            Doubt::Much => quiet >= quiet_in_doubt(waiting.answered),
        }
    }

    /// When to look again, if nothing comes, for a peer last heard at some time.
    pub(super) fn deadline(&self, heard: Instant) -> Option<Instant> {
        let due = |waiting: &Waiting| {
            let quiet = match waiting.doubt {
                Doubt::Little | Doubt::Some => QUIET,
                Doubt::Much => quiet_in_doubt(waiting.answered),
            };
            (heard + quiet).min((waiting.began + WAIT_MAX).max(heard + QUIET_AFTER_PONG))
        };
        self.waiting.iter().map(due).min()
    }
}

fn quiet_in_doubt(answered: bool) -> Duration {
    if answered { QUIET_AFTER_PONG } else { QUIET_IN_DOUBT }
}

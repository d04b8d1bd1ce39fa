//! Ends that wait for what they may have overtaken.
//!
//! A Go peer queues its frames, up to 8192; where the queue is full for 20 ms, whoever sends writes its frame directly, before
//! all that is queued. So a `mux::close` may come before the last records of its channel, and what looks like a whole produce
//! is one cut short. Nothing in the protocol tells the two apart but what comes behind. So an end is given to its channel
//! - when all that had arrived with it was looked at, where the peer's queue cannot have been full: since it was last proven
//!   drained, the whole connection has carried less than fills a socket;
//! - else when a pong to a later ping is here that went through the queue itself: it came within 20 ms of its ping, or right
//!   behind another pong;
//! - or when so many frames have come since that the queue is here, had every channel written some of them directly;
//! - or, of a peer that has left a ping unanswered for long and never answered one, when it is quiet for a second or more.
//!
//! What is not proven after some seconds fails its channel. A peer that answers pings is never taken for done because it is
//! quiet: its link may be slow. A channel that holds early records asks for a mark by the same rules: what is missing then will
//! not come. [Why](../../../docs/decisions/2026-11-27-overtaking.md).

use std::time::{Duration, Instant};

use bytes::Bytes;
use streamkit_protocol::FrameHead;
use uuid::Uuid;

use super::inbox::Inbox;
use super::pings::{PEER_QUEUE_WAIT, Pings, Pong};

/// Frames that a Go peer queues.
const PEER_QUEUE_FRAMES: usize = 8192;

/// Frames that one sender may have written directly before an end is here that it wrote before them: two seconds' worth.
const DIRECT_FRAMES: u64 = 100;

/// Frames of a channel after which its peer is taken for one that has had a full queue.
const MUCH_FRAMES: usize = PEER_QUEUE_FRAMES / 2;

/// Bytes of a connection that do not fill its peer's socket, so that no frame has to wait in the peer's queue.
const LITTLE_BYTES: usize = 32 << 10;

/// Frames looked at behind an end that is complete, where the socket never gets empty.
const LOOKED_AT_FRAMES: u64 = 512;

/// How long a peer has left a ping unanswered that answers none. One that was just asked may be about to.
const UNANSWERED: Duration = Duration::from_secs(3);

/// How long a peer that answers no pings is quiet when it has nothing queued: no byte of it comes.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_IN_DOUBT: Duration = Duration::from_secs(3);

/// An end waits no longer than that behind the last message of its channel.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a peer whose frames overtook each other is doubted.
const DOUBTED: Duration = Duration::from_secs(60);

/// Pings that are sent before anything waits for them have this distance at least.
const PING_DISTANCE: Duration = Duration::from_millis(10);

/// How likely it is that an end has overtaken something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) enum Doubt {
    Little,
    Some,
    Much,
}

/// What a channel is given in the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The peer's clean end, as it came.
    End(Bytes),
    /// The mark it asked for.
    Mark,
    /// Its peer's end, of which nothing proved that it came last.
    Unproven,
}

/// An end, or a mark, that waits.
pub(super) struct Waiting {
    pub(super) head: FrameHead,
    pub(super) inbox: Inbox,
    pub(super) what: What,
    doubt: Doubt,
    /// How many frames had come before it, how many channels had been opened, and how many of them were open.
    since: u64,
    opened: u64,
    open: u64,
    came: Instant,
    /// When the last message of its channel was here.
    began: Instant,
    proven: bool,
    /// Pongs to later pings that prove nothing by themselves.
    pongs: u32,
}

/// All that wait on a connection, in the order they came.
pub(super) struct Ends {
    waiting: Vec<Waiting>,
    frames: u64,
    /// Bytes since the peer's queue was last proven drained.
    bytes: usize,
    /// Channels opened so far.
    opened: u64,
    pings: Pings,
    overtaken: Option<Instant>,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            frames: 0,
            bytes: 0,
            opened: 0,
            pings: Pings::default(),
            overtaken: None,
        }
    }

    /// A frame came. Whether some end may have waited long enough.
    pub(super) fn frame_came(&mut self, bytes: usize) -> bool {
        self.frames += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        !self.waiting.is_empty() && self.frames.is_multiple_of(64)
    }

    /// A channel was opened.
    pub(super) fn opened(&mut self) {
        self.opened += 1;
    }

    /// Frames of this peer have overtaken each other.
    pub(super) fn overtaken(&mut self, now: Instant) {
        self.overtaken = Some(now);
    }

    fn is_doubted(&self, now: Instant) -> bool {
        self.overtaken.is_some_and(|when| now.duration_since(when) < DOUBTED)
    }

    /// How likely an end of this channel that came just now has overtaken something.
    pub(super) fn doubt(&self, inbox: &Inbox, now: Instant) -> Doubt {
        if self.is_doubted(now) || inbox.messages() >= MUCH_FRAMES {
            Doubt::Much
        } else if self.bytes >= LITTLE_BYTES || inbox.messages() == 0 {
            Doubt::Some
        } else {
            Doubt::Little
        }
    }

    /// Lets an end or a mark wait, while so many channels are open.
    pub(super) fn wait(
        &mut self,
        head: FrameHead,
        inbox: Inbox,
        what: What,
        doubt: Doubt,
        (open, now): (usize, Instant),
    ) {
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
            opened: self.opened,
            open: open as u64,
            came: now,
            began: now,
            proven: false,
            pongs: 0,
        });
    }

    fn end_of(&mut self, id: Uuid) -> Option<&mut Waiting> {
        let is_end = |waiting: &&mut Waiting| waiting.head.channel_id == id && matches!(waiting.what, What::End(_));
        self.waiting.iter_mut().find(is_end)
    }

    /// A message came for a channel: behind its end, that proves that the end has overtaken it.
    pub(super) fn message_came(&mut self, id: Uuid, now: Instant) {
        let mut was_overtaken = false;
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.head.channel_id == id) {
            waiting.began = now;
            if let What::End(_) = waiting.what {
                (waiting.doubt, waiting.proven, waiting.pongs) = (Doubt::Much, false, 0);
                // Its proof is one of the message's: what the message may have overtaken is behind it.
                (waiting.since, waiting.opened, waiting.came) = (self.frames, self.opened, now);
                was_overtaken = true;
            }
        }
        if was_overtaken {
            self.overtaken(now);
        }
    }

    /// Nobody listened for so long: that time counts for nothing that waits.
    pub(super) fn later(&mut self, stood: Duration, now: Instant) {
        self.pings.later(stood, now);
        for waiting in &mut self.waiting {
            waiting.began = (waiting.began + stood).min(now);
        }
    }

    /// Drops what waits for a channel that is given up.
    pub(super) fn forget(&mut self, id: Uuid) {
        self.waiting.retain(|waiting| waiting.head.channel_id != id);
    }

    /// Whether a ping would tell something: to an end that waits, or soon to the next one.
    pub(super) fn wants_ping(&self, now: Instant) -> bool {
        let untold = |w: &Waiting| w.doubt > Doubt::Little && !w.proven && !w.inbox.ends_at_once();
        let soon = || self.bytes >= LITTLE_BYTES / 2 && self.pings.none_for(PING_DISTANCE, now);
        self.pings.owed() == 0 && (self.waiting.iter().any(untold) || soon())
    }

    /// A ping was queued.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.pings.sent(self.frames, now);
    }

    /// A pong came.
    pub(super) fn ponged(&mut self, now: Instant) {
        let (sent, proves) = match self.pings.answered(self.frames, now) {
            Pong::Proves(sent) => (sent, true),
            Pong::Tells(sent) => (sent, false),
            Pong::Nothing => return,
        };
        if proves {
            self.bytes = 0;
        }
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.since <= sent) {
            waiting.proven |= proves;
            waiting.pongs += 1;
        }
    }

    /// Whether something waits for the socket to be empty.
    pub(super) fn want_empty(&self, now: Instant) -> bool {
        self.waiting
            .iter()
            .any(|waiting| self.is_due(waiting, true, Duration::ZERO, now))
    }

    /// Takes what has waited long enough, where no byte came for `quiet`; `empty` if all that has arrived was looked at, and
    /// is no part of more.
    pub(super) fn take(&mut self, empty: bool, quiet: Duration, now: Instant) -> Vec<Waiting> {
        let mut due = Vec::new();
        let mut still = Vec::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            if self.is_due(&waiting, empty, quiet, now) {
                due.push(waiting);
            } else if now.duration_since(waiting.began) < WAIT_MAX {
                still.push(waiting);
            } else if Self::is_proven(&waiting) {
                // It waits for the rest of a large message, which takes as long as it takes.
                waiting.began = now;
                still.push(waiting);
            } else {
                // Two exchanges in which nothing was seen to overtake are taken for a proof in the end, silence never.
                let given = waiting.pongs >= 2 && !self.is_doubted(now);
                if !given && waiting.what != What::Mark {
                    waiting.what = What::Unproven;
                }
                due.push(waiting);
            }
        }
        self.waiting = still;
        due
    }

    fn is_due(&self, waiting: &Waiting, empty: bool, quiet: Duration, now: Instant) -> bool {
        let passed = self.frames - waiting.since;
        let looked_at = empty || passed >= LOOKED_AT_FRAMES;
        if Self::is_proven(waiting) {
            return looked_at;
        }
        passed >= self.queue_passed(waiting, now) || (self.never_answers(now) && quiet >= quiet_of(waiting.doubt))
    }

    /// Whether it waits for nothing but a look at what has arrived.
    fn is_proven(waiting: &Waiting) -> bool {
        waiting.inbox.ends_at_once() || waiting.doubt == Doubt::Little || waiting.proven
    }

    fn never_answers(&self, now: Instant) -> bool {
        let since = self.pings.unanswered_since();
        since.is_some_and(|since| now.duration_since(since) >= UNANSWERED)
    }

    /// How many frames have come behind an end when the queue that it may have overtaken is among them: each channel writes
    /// directly at most once in [`PEER_QUEUE_WAIT`].
    fn queue_passed(&self, waiting: &Waiting, now: Instant) -> u64 {
        let senders = waiting.open + (self.opened - waiting.opened) + 2;
        let turns = now.duration_since(waiting.came).as_millis() / PEER_QUEUE_WAIT.as_millis();
        let direct = DIRECT_FRAMES.saturating_add(u64::try_from(turns).unwrap_or(u64::MAX));
        (PEER_QUEUE_FRAMES as u64).saturating_add(senders.saturating_mul(direct))
    }

    /// When to look again, if nothing comes, for a peer last heard at some time.
    pub(super) fn deadline(&self, heard: Instant) -> Option<Instant> {
        let due = |waiting: &Waiting| {
            let at_last = waiting.began + WAIT_MAX;
            match self.pings.unanswered_since() {
                None => at_last,
                Some(since) => at_last.min((heard + quiet_of(waiting.doubt)).max(since + UNANSWERED)),
            }
        };
        self.waiting.iter().map(due).min()
    }
}

/// How long a peer that answers no pings has to be quiet.
fn quiet_of(doubt: Doubt) -> Duration {
    match doubt {
        Doubt::Little | Doubt::Some => QUIET,
        Doubt::Much => QUIET_IN_DOUBT,
    }
}

#[cfg(test)]
#[path = "ends_tests.rs"]
mod tests;

//! Ends are fed with what a connection sees, and with a clock.

use super::*;
use crate::budgets::Budgets;
use crate::limits::Limits;
use crate::v1::inbox::{InboxReader, Inboxes};

const FRAME: usize = 300;
const FAR: Duration = Duration::from_millis(50);
const NONE: Duration = Duration::ZERO;
const NOTHING: [bool; 0] = [];

struct Peer {
    ends: Ends,
    now: Instant,
    inboxes: Inboxes,
    readers: Vec<InboxReader>,
    open: usize,
}

impl Peer {
    fn new() -> Self {
        let limits = Limits::default();
        let now = Instant::now();
        Self {
            ends: Ends::new(),
            now,
            inboxes: Inboxes::new(&limits, std::sync::Arc::new(Budgets::new(&limits))).0,
            readers: Vec::new(),
            open: 1,
        }
    }

    /// One that has answered a ping, and has been seen to have sent much since.
    fn that_answers() -> Self {
        let mut peer = Self::new();
        peer.answers_after(FAR);
        peer.frames(LITTLE_BYTES / FRAME + 1);
        peer
    }

    fn frames(&mut self, count: usize) {
        for _ in 0..count {
            self.ends.frame_came(FRAME);
        }
    }

    fn pong(&mut self) {
        self.frames(1);
        self.ends.ponged(self.now);
    }

    /// One that has left a ping unanswered for long, and has sent much.
    fn that_never_answers() -> Self {
        let mut peer = Self::new();
        peer.frames(LITTLE_BYTES / FRAME + 1);
        peer.ends.pinged(peer.now);
        peer.now += UNANSWERED;
        peer
    }

    fn answers_after(&mut self, time: Duration) {
        self.ends.pinged(self.now);
        self.now += time;
        self.pong();
    }

    /// The end of a produce of one record, of which the rest may come.
    fn end(&mut self, id: u128) -> Doubt {
        let id = Uuid::from_u128(id);
        let (inbox, reader) = self.inboxes.channel(id);
        self.readers.push(reader);
        inbox.count();
        self.frames(1);
        let doubt = self.ends.doubt(&inbox, self.now);
        let head = FrameHead::new(Uuid::nil(), id);
        let end = What::End(Bytes::new());
        self.ends.wait(head, inbox, end, doubt, (self.open, self.now));
        doubt
    }

    /// What is given when all that has arrived was looked at, and nothing came for so long.
    fn given(&mut self, quiet: Duration) -> Vec<bool> {
        let taken = self.ends.take(true, quiet, self.now);
        taken.into_iter().map(|one| one.what != What::Unproven).collect()
    }
}

#[test]
fn the_end_of_a_small_call_waits_for_nothing() {
    let mut peer = Peer::new();
    peer.frames(3);
    assert_eq!(peer.end(1), Doubt::Little);
    assert!(!peer.ends.wants_ping(peer.now));
    assert_eq!(peer.given(NONE), [true]);
}

#[test]
fn an_end_on_a_connection_that_has_sent_much_waits_for_a_proof_though_its_channel_has_sent_one_record() {
    let mut peer = Peer::new();
    peer.frames(LITTLE_BYTES / FRAME + 1);
    assert!(peer.end(1) > Doubt::Little);
    assert_eq!(peer.given(NONE), NOTHING);
    assert!(peer.ends.wants_ping(peer.now));
    peer.answers_after(Duration::from_millis(1));
    assert_eq!(peer.given(NONE), [true]);
    assert_eq!(peer.end(2), Doubt::Little, "the queue was proven drained");
}

#[test]
fn silence_of_a_peer_that_answers_pings_is_no_proof_and_what_is_not_proven_fails() {
    let mut peer = Peer::that_answers();
    peer.end(1);
    peer.ends.pinged(peer.now);
    peer.now += WAIT_MAX - Duration::from_secs(1);
    assert_eq!(peer.given(Duration::from_secs(9)), NOTHING);
    peer.now += Duration::from_secs(1);
    assert_eq!(peer.given(Duration::from_secs(10)), [false]);
}

#[test]
fn a_peer_that_never_answers_is_done_when_it_is_quiet_for_long_and_fails_if_it_never_is() {
    let mut peer = Peer::that_never_answers();
    peer.end(1);
    peer.now += QUIET;
    assert_eq!(peer.given(QUIET / 2), NOTHING);
    assert_eq!(peer.given(QUIET), [true]);
    peer.frames(1000);
    peer.end(2);
    peer.now += WAIT_MAX;
    assert_eq!(peer.given(NONE), [false]);
}

#[test]
fn a_proven_end_waits_for_a_large_message_that_arrives_as_long_as_that_takes_and_does_not_fail() {
    for answers in [false, true] {
        let mut peer = if answers { Peer::that_answers() } else { Peer::new() };
        peer.end(1);
        if answers {
            peer.answers_after(Duration::from_millis(1));
        }
        for _ in 0..3 {
            peer.now += WAIT_MAX;
            assert!(peer.ends.take(false, NONE, peer.now).is_empty());
            assert_eq!(
                peer.ends.deadline(peer.now),
                Some(peer.now + WAIT_MAX),
                "it is not looked at without a pause"
            );
        }
        assert_eq!(peer.given(NONE), [true]);
    }
}

#[test]
fn pauses_between_frames_prove_nothing_of_the_queue() {
    let mut peer = Peer::new();
    for _ in 0..=LITTLE_BYTES / FRAME {
        peer.frames(1);
        peer.now += QUIET_IN_DOUBT;
    }
    assert!(peer.end(1) > Doubt::Little);
    let mut peer = Peer::that_never_answers();
    peer.now += WAIT_MAX;
    assert!(peer.end(1) > Doubt::Little, "silence neither");
}

#[test]
fn silence_proves_nothing_before_a_ping_was_left_unanswered_for_long() {
    let mut peer = Peer::new();
    peer.frames(LITTLE_BYTES / FRAME + 1);
    peer.end(1);
    peer.now += QUIET;
    assert_eq!(peer.given(QUIET), NOTHING, "nobody asked");
    assert_eq!(peer.ends.deadline(peer.now), Some(peer.now - QUIET + WAIT_MAX));
    peer.ends.pinged(peer.now);
    peer.now += UNANSWERED - FAR;
    assert_eq!(peer.given(UNANSWERED), NOTHING, "its pong may be on its way");
    assert_eq!(peer.ends.deadline(peer.now), Some(peer.now + QUIET));
    assert_eq!(peer.ends.deadline(peer.now - UNANSWERED), Some(peer.now + FAR));
    peer.now += FAR;
    assert_eq!(peer.given(UNANSWERED), [true]);
}

#[test]
fn a_pong_that_may_have_been_written_directly_is_none_but_one_right_behind_it_is() {
    let mut peer = Peer::that_answers();
    peer.end(1);
    peer.answers_after(FAR);
    assert_eq!(peer.given(NONE), NOTHING);
    peer.ends.pinged(peer.now);
    peer.frames(1);
    peer.now += FAR;
    peer.pong();
    assert_eq!(peer.given(NONE), NOTHING, "a frame came in between");
    peer.answers_after(FAR);
    assert_eq!(peer.given(NONE), [true]);
}

#[test]
fn a_pong_proves_nothing_where_two_pings_are_out_nor_for_an_end_behind_its_ping() {
    let mut peer = Peer::that_answers();
    peer.end(1);
    peer.ends.pinged(peer.now);
    peer.ends.pinged(peer.now);
    peer.pong();
    peer.pong();
    assert_eq!(peer.given(NONE), NOTHING);
    peer.ends.pinged(peer.now);
    peer.end(2);
    peer.pong();
    assert_eq!(peer.given(NONE), [true], "the first");
    assert_eq!(peer.given(NONE), NOTHING);
}

#[test]
fn under_steady_traffic_an_end_is_given_at_last_for_two_exchanges_unless_frames_overtook_each_other() {
    for (exchanges, overtakes, is_given) in [(2, false, true), (1, false, false), (0, false, false), (9, true, false)] {
        let mut peer = Peer::that_answers();
        peer.end(1);
        for _ in 0..exchanges {
            peer.ends.pinged(peer.now);
            peer.frames(2);
            peer.now += FAR;
            peer.pong();
        }
        if overtakes {
            peer.ends.overtaken(peer.now);
        }
        assert_eq!(peer.given(NONE), NOTHING);
        peer.now += WAIT_MAX;
        assert_eq!(peer.given(NONE), [is_given], "{exchanges} {overtakes}");
    }
}

#[test]
fn a_message_behind_its_end_takes_all_proofs_back_and_begins_the_wait_anew() {
    let mut peer = Peer::new();
    peer.answers_after(FAR);
    assert_eq!(peer.end(1), Doubt::Little);
    peer.now += WAIT_MAX - FAR;
    peer.frames(1);
    peer.ends.message_came(Uuid::from_u128(1), peer.now);
    peer.now += FAR;
    assert_eq!(peer.given(FAR), NOTHING);
    peer.answers_after(Duration::from_millis(1));
    assert_eq!(peer.given(NONE), [true]);
}

#[test]
fn so_many_frames_prove_that_the_queue_is_here_as_every_open_channel_cannot_have_written_directly() {
    let mut peer = Peer::that_answers();
    peer.end(1);
    peer.frames(2 * PEER_QUEUE_FRAMES);
    assert_eq!(peer.given(NONE), [true]);
    peer.open = 5000;
    peer.end(2);
    peer.frames(2 * PEER_QUEUE_FRAMES);
    assert_eq!(peer.given(NONE), NOTHING);
}

#[test]
fn when_the_connection_ends_only_what_is_proven_is_complete() {
    let mut peer = Peer::that_answers();
    peer.end(1);
    peer.answers_after(Duration::from_millis(1));
    peer.end(2);
    peer.frames(LITTLE_BYTES / FRAME + 1);
    peer.end(3);
    assert!(peer.ends.take(false, NONE, peer.now).is_empty(), "something is unread");
    let given = peer.ends.take(true, NONE, peer.now);
    let ids: Vec<_> = given.iter().map(|one| one.head.channel_id.as_u128()).collect();
    assert_eq!(ids, [1, 2], "one answered, one little; one neither");
}

#[test]
fn the_next_look_is_when_something_may_be_decided() {
    let mut peer = Peer::that_never_answers();
    assert_eq!(peer.ends.deadline(peer.now), None);
    peer.end(1);
    assert_eq!(peer.ends.deadline(peer.now), Some(peer.now + QUIET));
    let began = peer.now;
    peer.answers_after(FAR);
    assert_eq!(peer.ends.deadline(peer.now), Some(began + WAIT_MAX));
}

#[test]
fn the_time_in_which_nobody_listened_counts_for_no_end() {
    let mut peer = Peer::that_answers();
    let began = peer.now;
    peer.end(1);
    peer.now += WAIT_MAX;
    peer.ends.later(WAIT_MAX, peer.now);
    assert_eq!(peer.given(NONE), NOTHING, "its pong may be here, unread");
    assert_eq!(peer.ends.deadline(peer.now), Some(began + 2 * WAIT_MAX));
    peer.ends.later(WAIT_MAX, peer.now + FAR);
    assert_eq!(
        peer.ends.deadline(peer.now),
        Some(peer.now + FAR + WAIT_MAX),
        "never later than now"
    );
}

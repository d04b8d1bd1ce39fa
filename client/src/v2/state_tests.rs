//! Credit, numbers and the end of a connection, frame by frame.

use bytes::Bytes;
use streamkit_protocol::v2::{
    Call, CallError, Class, Code, Credit, FRAME_BYTES_MAX, Field, Frame, GoAway, HEAD_BYTES, Hello, Kind, frame,
};
use streamkit_record::{SegmentPath, Sequence, StoreId};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::fault::Fault;
use super::route::{Arrived, Outcome, Route, Told};
use super::state::{Begin, CONNECTION_BYTES, CREDIT_MAX, Opening, Phase, State, whole_frames};
use crate::here::here;

const STORE: StoreId = StoreId(Uuid::nil());

fn hello(credit: u32, channels: u32) -> Hello {
    Hello {
        frame_bytes: 1000,
        channels,
        credit,
        features: Vec::new(),
    }
}

fn state(credit: u32) -> State {
    State::new(&hello(credit, 100), 1)
}

fn opening(call: &Call) -> Opening<'_> {
    let (store, trace) = (STORE, None);
    Opening { store, call, trace }
}

fn ask(state: &mut State) -> (Begin, Option<oneshot::Receiver<Outcome>>) {
    let mut waits = None;
    let begun = state.begin(&opening(&Call::Spaces), false, || {
        let (sender, receiver) = oneshot::channel();
        waits = Some(receiver);
        Route::Result(sender)
    });
    (begun, waits)
}

/// A channel for which the server may send so many bytes.
fn open(state: &mut State, credit: i64) -> (u32, mpsc::UnboundedReceiver<Arrived>) {
    let (queue, arrives) = mpsc::unbounded_channel();
    let any = false;
    match state.begin(&opening(&Call::Spaces), false, || Route::Messages {
        queue,
        credit,
        any,
    }) {
        Begin::Begun(channel, _) => (channel, arrives),
        other => panic!("{other:?}"),
    }
}

fn came(channel: u32, kind: Kind, body: &[u8]) -> Frame {
    let mut out = Vec::new();
    frame(&mut out, (channel, kind), |_| {}, |out| out.extend_from_slice(body));
    Frame::take(&mut Bytes::from(out)).unwrap().unwrap()
}

fn hear(state: &mut State, frame: Frame) -> bool {
    let mut told = Told::new();
    let heard = state.hear(frame, &mut told).is_ok();
    for (waits, outcome) in told {
        let _ = waits.send(outcome);
    }
    heard
}

fn credit(bytes: u32) -> Frame {
    came(0, Kind::Credit, &bytes.to_le_bytes())
}

fn put(write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut out = Vec::new();
    write(&mut out);
    Frame::take(&mut Bytes::from(out)).unwrap().unwrap()
}

fn fails(channel: u32, code: Code) -> Frame {
    let error = CallError::new(code, Class::Transient, "why");
    put(|out| frame(out, (channel, Kind::Error), |_| {}, |out| error.put(out)))
}

fn sent(state: &mut State) -> Vec<(u32, Kind)> {
    let mut message = Bytes::from(state.take());
    let mut frames = Vec::new();
    while let Some(frame) = Frame::take(&mut message).unwrap() {
        frames.push((frame.channel, frame.kind));
    }
    frames
}

#[test]
fn numbers_go_up_in_the_order_of_the_frames() {
    let mut state = state(u32::MAX);
    for number in 1..=3 {
        assert!(matches!(ask(&mut state).0, Begin::Begun(channel, _) if channel == number));
    }
    assert_eq!(sent(&mut state), [(1, Kind::Call), (2, Kind::Call), (3, Kind::Call)]);
}

#[test]
fn no_number_comes_twice() {
    let mut state = State::new(&hello(u32::MAX, 100), u32::MAX - 1);
    assert!(matches!(ask(&mut state).0, Begin::Begun(channel, _) if channel == u32::MAX - 1));
    assert_eq!(ask(&mut state).0, Begin::Elsewhere);
    assert_eq!(state.phase, Phase::Retired);
    assert!(!state.is_closing());
    assert!(hear(&mut state, came(u32::MAX - 1, Kind::End, b"")));
    assert!(state.is_closing());
}

#[test]
fn a_call_may_take_the_credit_below_zero_and_the_next_waits_until_it_is_above() {
    let mut state = state(1);
    assert!(matches!(ask(&mut state).0, Begin::Begun(..)));
    let bytes = sent_bytes(&mut state);
    assert_eq!(ask(&mut state).0, Begin::Waits);
    assert!(hear(&mut state, credit(bytes - 1)));
    assert_eq!(ask(&mut state).0, Begin::Waits);
    assert!(hear(&mut state, credit(1)));
    assert!(matches!(ask(&mut state).0, Begin::Begun(2, _)));
}

fn sent_bytes(state: &mut State) -> u32 {
    u32::try_from(state.take().len()).unwrap()
}

#[test]
fn who_waits_has_its_turn_before_those_who_come_later() {
    let mut state = state(1);
    ask(&mut state);
    let gave_up = state.waiting.join();
    let mut first = state.waiting.join();
    let mut second = state.waiting.join();
    drop(gave_up);
    assert!(hear(&mut state, credit(u32::MAX)));
    assert!(first.try_recv().is_ok() && second.try_recv().is_err());
    // There is credit, and it is not this one's turn.
    assert_eq!(ask(&mut state).0, Begin::Waits);
    state.waiting.turn_is_over();
    state.pass_on();
    assert!(second.try_recv().is_ok());
}

#[test]
fn no_more_channels_are_open_than_the_server_allows() {
    let mut state = State::new(&hello(u32::MAX, 1), 1);
    ask(&mut state);
    assert_eq!(ask(&mut state).0, Begin::Waits);
    // One that nobody waits for is open until the server ends it.
    state.cancel(1);
    assert_eq!(ask(&mut state).0, Begin::Waits);
    assert!(hear(&mut state, came(1, Kind::End, b"")));
    assert!(matches!(ask(&mut state).0, Begin::Begun(2, _)));
}

#[test]
fn a_call_that_is_too_large_sends_nothing_and_takes_no_number() {
    let large = Hello {
        frame_bytes: 10,
        ..hello(100, 100)
    };
    let mut state = State::new(&large, 1);
    assert!(matches!(ask(&mut state).0, Begin::TooLarge(bytes) if bytes > 10));
    assert_eq!(state.queued_bytes(), 0);
    assert_eq!(state.open_count(), 0);
}

#[test]
fn a_server_that_sends_beyond_its_credit_is_found_out() {
    let mut state = state(u32::MAX);
    let (channel, mut arrives) = open(&mut state, 20);
    // Above zero: it may send, and so go below.
    assert!(hear(&mut state, came(channel, Kind::Data, &[0; 30])));
    assert!(matches!(here(&mut arrives), Ok(Arrived::Message(..))));
    assert!(!hear(&mut state, came(channel, Kind::Data, b"")));
    state.give_back(channel, 23);
    assert!(hear(&mut state, came(channel, Kind::Data, b"")));
}

#[test]
fn the_connection_has_credit_again_for_what_is_in_an_inbox_and_a_paused_channel_has_none() {
    let mut state = state(u32::MAX);
    let (paused, _arrives) = open(&mut state, i64::from(CONNECTION_BYTES) * 3);
    sent(&mut state);
    let body = vec![0; 1 << 20];
    let mut given = 0;
    for _ in 0..40 {
        assert!(hear(&mut state, came(paused, Kind::Data, &body)));
        let mut message = Bytes::from(state.take());
        while let Some(frame) = Frame::take(&mut message).unwrap() {
            let Credit { channel, bytes } = Credit::decode(&frame).unwrap();
            assert_eq!(channel, 0);
            given += bytes;
        }
    }
    assert!(given > 32 << 20, "{given}");
}

#[test]
fn what_breaks_the_rules_is_an_error() {
    for frame in [
        came(1, Kind::Data, b""),
        came(9, Kind::Data, b""),
        came(9, Kind::End, b""),
        came(0, Kind::Hello, b""),
        came(1, Kind::Cancel, b""),
        came(1, Kind::Call, b""),
        came(0, Kind::Credit, b"xyz"),
        came(0, Kind::GoAway, b"xyz"),
        came(1, Kind::Error, b""),
    ] {
        let mut state = state(u32::MAX);
        ask(&mut state);
        let kind = frame.kind;
        assert!(!hear(&mut state, frame), "{kind:?}");
    }
    let mut state = state(u32::MAX);
    ask(&mut state);
    assert!(hear(&mut state, came(1, Kind::End, b"")));
    assert!(!hear(&mut state, came(1, Kind::End, b"")), "an end comes once");
}

#[test]
fn a_server_that_leaves_has_not_begun_what_is_above_its_last_channel() {
    let mut state = state(u32::MAX);
    let (_, mut first) = ask(&mut state);
    let (_, mut second) = ask(&mut state);
    let mut turn = state.waiting.join();
    let goaway = GoAway {
        last: 1,
        why: CallError::new(Code::ShuttingDown, Class::Transient, "it stops"),
    };
    assert!(hear(&mut state, put(|out| goaway.put(out))));
    let not_begun = second.as_mut().unwrap().try_recv().unwrap();
    assert!(matches!(not_begun, Err(Fault::NotBegun(_))));
    assert!(first.as_mut().unwrap().try_recv().is_err(), "it goes on");
    assert!(matches!(turn.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    assert_eq!(ask(&mut state).0, Begin::Elsewhere);
    assert!(!state.is_closing());
    assert!(hear(&mut state, came(1, Kind::End, b"done")));
    assert_eq!(first.unwrap().try_recv().unwrap().unwrap(), "done");
    assert!(state.is_closing());
}

#[test]
fn a_call_that_an_expired_token_ends_begins_elsewhere_if_nothing_of_it_came() {
    let mut state = state(u32::MAX);
    let (_, waits) = ask(&mut state);
    assert!(hear(&mut state, fails(1, Code::TokenExpired)));
    assert!(matches!(waits.unwrap().try_recv().unwrap(), Err(Fault::NotBegun(_))));
    assert_eq!(state.phase, Phase::Retired);

    let mut state = State::new(&hello(u32::MAX, 100), 1);
    let (channel, mut arrives) = open(&mut state, 100);
    assert!(hear(&mut state, came(channel, Kind::Data, b"x")));
    assert!(hear(&mut state, fails(channel, Code::TokenExpired)));
    assert!(matches!(here(&mut arrives), Ok(Arrived::Message(..))));
    assert!(matches!(here(&mut arrives), Ok(Arrived::Over(Err(Fault::Failed(_))))));
}

#[test]
fn whoever_waits_learns_that_the_connection_is_gone() {
    let mut state = state(u32::MAX);
    let (_, waits) = ask(&mut state);
    state.end();
    assert!(matches!(
        waits.unwrap().try_recv(),
        Err(oneshot::error::TryRecvError::Closed)
    ));
    assert_eq!(ask(&mut state).0, Begin::Elsewhere);
}

#[test]
fn a_message_holds_whole_frames() {
    let mut out = Vec::new();
    for bytes in [10, 20, 100] {
        frame(&mut out, (1, Kind::Data), |_| {}, |out| out.extend(vec![0; bytes]));
    }
    assert_eq!(whole_frames(&out, 1000), 22 + 32 + 112);
    assert_eq!(whole_frames(&out, 60), 22 + 32);
    assert_eq!(whole_frames(&out, 54), 22 + 32);
    assert_eq!(whole_frames(&out, 53), 22);
    assert_eq!(whole_frames(&out, 1), 22, "one frame at least");
}

#[test]
fn a_frame_that_requires_what_is_not_known_ends_its_call_alone() {
    let requires = |channel, kind| {
        let later = Field {
            name: "later",
            is_required: true,
            value: b"",
        };
        put(|out| frame(out, (channel, kind), |out| later.put(out), |_| {}))
    };
    let mut state = state(u32::MAX);
    let (reads, mut arrives) = open(&mut state, 1000);
    let (_, waits) = ask(&mut state);
    sent(&mut state);
    assert!(hear(&mut state, requires(reads, Kind::Data)));
    assert!(matches!(here(&mut arrives), Ok(Arrived::Over(Err(Fault::Protocol(why)))) if why.contains("later")));
    assert_eq!(sent(&mut state), [(reads, Kind::Cancel)]);
    assert!(hear(&mut state, requires(2, Kind::End)));
    assert!(matches!(waits.unwrap().try_recv(), Ok(Err(Fault::Protocol(_)))));
    // Of the connection it is nobody's alone.
    assert!(!hear(&mut state, requires(0, Kind::Credit)));
}

#[test]
fn a_call_that_was_cancelled_gets_no_more_than_it_had_credit_for() {
    let mut state = state(u32::MAX);
    let (reads, _arrives) = open(&mut state, 20);
    state.cancel(reads);
    assert!(hear(&mut state, came(reads, Kind::Data, &[0; 30])));
    assert!(!hear(&mut state, came(reads, Kind::Data, b"")));
}

#[test]
fn credit_beyond_all_bounds_is_not_made_use_of() {
    let mut state = State::new(&hello(u32::MAX, u32::MAX), 1);
    for _ in 0..3 {
        assert!(hear(&mut state, credit(u32::MAX)));
    }
    let call = Call::Trim(
        SegmentPath::new(&"x".repeat(512), &"y".repeat(400)).unwrap(),
        Sequence(1),
    );
    let route = || Route::Result(oneshot::channel().0);
    while matches!(state.begin(&opening(&call), false, route), Begin::Begun(..)) {
        assert!(state.queued_bytes() <= CREDIT_MAX as usize + 1000);
    }
    assert!(state.queued_bytes() > CREDIT_MAX as usize - 1000);
}

#[test]
fn a_ping_has_eight_bytes_and_what_it_makes_wait_is_bounded() {
    let mut state = state(u32::MAX);
    for _ in 0..100_000 {
        assert!(hear(&mut state, came(0, Kind::Ping, &[7; 8])));
    }
    assert!(state.queued_bytes() < 100_000);
    for body in [&b""[..], &[0; 9], &[0; 1 << 20]] {
        assert!(!hear(&mut state, came(0, Kind::Ping, body)));
    }
}

#[test]
fn a_frame_larger_than_we_said_is_an_error() {
    let mut state = state(u32::MAX);
    let (reads, _arrives) = open(&mut state, i64::MAX);
    let fits = FRAME_BYTES_MAX - HEAD_BYTES;
    assert!(hear(&mut state, came(reads, Kind::Data, &vec![0; fits])));
    assert!(!hear(&mut state, came(reads, Kind::End, &vec![0; fits + 1])));
}

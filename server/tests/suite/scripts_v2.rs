//! The client against servers of v2 that follow a script: what no real server of ours does, or not on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use streamkit_client::record::{self, Condition, Expected, Record, SegmentPath, Sequence, Timestamp};
use streamkit_client::*;
use streamkit_protocol::v2::{
    self, Call, CallError, Class, Code, Details, Frame, GoAway, Hello, Kind, ReadDone, WorkersTold, frame,
};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request as Handshake, Response};

use crate::fixture::{Listener, Stream, Via, over_v2};
use crate::peer::{PATIENCE, STORE};

/// A server's side of a connection of v2.
pub struct Peer {
    socket: WebSocketStream<Box<dyn Stream>>,
    message: Bytes,
}

pub const CREDIT: u32 = 1 << 20;

impl Peer {
    /// A client's connection, and both hellos.
    pub async fn accept(listener: &mut Listener, credit: u32) -> Self {
        let mut peer = Self::bare(listener).await;
        let hello = Hello {
            frame_bytes: 1 << 20,
            channels: 100,
            credit,
            features: Vec::new(),
        };
        peer.say(|out| hello.put(out)).await;
        assert_eq!(peer.next().await.unwrap().kind, Kind::Hello);
        peer
    }

    pub async fn bare(listener: &mut Listener) -> Self {
        #[expect(clippy::result_large_err, reason = "so the library asks for it")]
        let speak = |asks: &Handshake, mut answer: Response| -> Result<Response, ErrorResponse> {
            let offered = &asks.headers()["sec-websocket-protocol"];
            assert_eq!(offered, "streamkit.v2, streamkit.v1");
            let v2 = v2::SUBPROTOCOL.parse().unwrap();
            answer.headers_mut().insert("sec-websocket-protocol", v2);
            Ok(answer)
        };
        let stream = listener.accept().await;
        Self {
            socket: tokio_tungstenite::accept_hdr_async(stream, speak).await.unwrap(),
            message: Bytes::new(),
        }
    }

    pub async fn say(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        put(&mut out);
        let _ = self.socket.send(Message::Binary(out.into())).await;
    }

    pub async fn says(&mut self, channel: u32, kind: Kind, body: &[u8]) {
        self.say(|out| frame(out, (channel, kind), |_| {}, |out| out.extend_from_slice(body)))
            .await;
    }

    pub async fn fails(&mut self, channel: u32, error: &CallError) {
        let mut body = Vec::new();
        error.put(&mut body);
        self.says(channel, Kind::Error, &body).await;
    }

    pub async fn leaves(&mut self, last: u32) {
        let why = CallError::new(Code::ShuttingDown, Class::Transient, "it stops");
        self.say(|out| GoAway { last, why }.put(out)).await;
    }

    pub async fn stored(&mut self, channel: u32, sequence: u64, is_known: bool) {
        let sequence = Sequence(sequence);
        let appended = Appended {
            position: 9,
            timestamp: Timestamp(5),
            durability: Durability::Disk,
            is_known,
            sections: vec![(sequence, sequence)],
        };
        let mut body = Vec::new();
        appended.put(&mut body);
        self.says(channel, Kind::End, &body).await;
    }

    /// The client's next frame; `None` once it is gone.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::take(&mut self.message).unwrap() {
                return Some(frame);
            }
            match self.socket.next().await?.ok()? {
                Message::Binary(message) => self.message = message,
                _ => return None,
            }
        }
    }

    /// Its next call.
    pub async fn call(&mut self) -> Option<(u32, Call)> {
        loop {
            let frame = self.next().await?;
            if frame.kind == Kind::Call {
                return Some((frame.channel, Call::decode(&frame.body).unwrap().unwrap()));
            }
        }
    }

    pub async fn append(&mut self) -> (u32, v2::Append) {
        match self.call().await {
            Some((channel, Call::Append(append))) => (channel, append),
            other => panic!("{other:?}"),
        }
    }
}

pub fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

fn paid() -> Append {
    Append::behind(path(), vec![Record::new("paid")])
}

async fn an_append_whose_answer_is_lost_is_made_again_under_its_id_and_succeeds_once(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let (_, first) = Peer::accept(&mut listener, CREDIT).await.append().await;
        // The connection is cut there. Meanwhile it is stored.
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, again) = peer.append().await;
        assert_eq!(first, again);
        peer.stored(channel, 1, true).await;
        peer.next().await
    });
    let client = client.build();
    let appended = client.store(STORE).append(paid()).await.unwrap();
    assert_eq!((appended.is_known, appended.position), (true, 9));
    client.close().await;
    assert!(tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap().is_none());
}

async fn an_append_that_nobody_answers_in_time_may_be_stored_or_not(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        loop {
            Peer::accept(&mut listener, CREDIT).await.append().await;
        }
    });
    let store = client.timeout(Duration::from_secs(1)).build().store(STORE);
    let error = store.append(paid()).await.unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");
    assert!(error.is_transient() && !error.is_not_stored());
}

async fn a_server_that_leaves_finishes_what_it_has_begun_and_the_rest_begins_anew(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut leaving = Peer::accept(&mut listener, CREDIT).await;
        for _ in 0..2 {
            leaving.append().await;
        }
        leaving.leaves(1).await;
        let mut next = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = next.append().await;
        next.stored(channel, 2, false).await;
        leaving.stored(1, 1, false).await;
        // The client closes what is of no use any more.
        assert!(leaving.call().await.is_none());
        next.call().await;
    });
    let store = client.build().store(STORE);
    let (first, second) = tokio::join!(store.append(paid()), store.append(paid()));
    let mut sequences = [first.unwrap().sections[0].0.0, second.unwrap().sections[0].0.0];
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2]);
}

async fn calls_wait_for_the_credit_of_the_server_in_their_order(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        // One call at a time.
        let mut peer = Peer::accept(&mut listener, 1).await;
        let mut ids = Vec::new();
        for number in 1..=5 {
            let (frame, append) = (peer.next().await.unwrap(), number);
            assert_eq!((frame.kind, frame.channel), (Kind::Call, append));
            let Some(Call::Append(append)) = Call::decode(&frame.body).unwrap() else {
                panic!("{frame:?}")
            };
            ids.push(append.id);
            let early = tokio::time::timeout(Duration::from_millis(50), peer.call()).await;
            assert!(early.is_err(), "a call without credit");
            peer.stored(number, 1, false).await;
            let bytes = u32::try_from(frame.bytes()).unwrap();
            peer.says(0, Kind::Credit, &bytes.to_le_bytes()).await;
        }
        ids
    });
    let store = client.build().store(STORE);
    let all: Vec<Append> = (0..5).map(|_| paid()).collect();
    let asked: Vec<_> = all.iter().map(|append| append.id).collect();
    let calls = all.into_iter().map(|append| store.append(append));
    let done = tokio::time::timeout(PATIENCE, futures_util::future::try_join_all(calls)).await;
    done.unwrap().unwrap();
    assert_eq!(server.await.unwrap(), asked);
}

async fn a_call_without_credit_gives_up_in_time_and_was_not_begun(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, 0).await;
        assert!(peer.call().await.is_none());
    });
    let client = client.timeout(Duration::from_millis(300)).build();
    let error = client.store(STORE).append(paid()).await.unwrap_err();
    assert!(
        matches!(error, Error::NotBegun(_)) && error.is_not_stored(),
        "{error:?}"
    );
    client.close().await;
}

async fn a_call_that_is_too_large_for_the_server_is_invalid_and_the_next_goes_on(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = peer.append().await;
        assert_eq!(channel, 1);
        peer.stored(channel, 1, false).await;
        peer.next().await;
    });
    let store = client.build().store(STORE);
    let large = Append::behind(path(), vec![Record::new(vec![0; 2 << 20])]);
    let error = store.append(large).await.unwrap_err();
    assert!(
        matches!(&error, Error::Invalid(why) if why.contains("too large")),
        "{error:?}"
    );
    store.append(paid()).await.unwrap();
}

/// What a read would be answered with that has nothing.
fn nothing() -> Vec<u8> {
    let done = ReadDone {
        entries: 0,
        cursor: record::LogCursor::default(),
    };
    let mut body = Vec::new();
    done.put(&mut body);
    body
}

async fn a_server_that_sends_beyond_its_credit_is_left_with_an_error(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        for _ in 0..2 {
            let mut peer = Peer::accept(&mut listener, CREDIT).await;
            let (channel, call) = peer.call().await.unwrap();
            let Call::Read(read) = call else { panic!("{call:?}") };
            // Nobody takes it: the window is all there is.
            let mut sent = 0;
            while sent <= read.credit + (1 << 20) {
                peer.says(channel, Kind::Data, &vec![0; 1 << 20]).await;
                sent += 1 << 20;
            }
            assert!(peer.call().await.is_none());
        }
    });
    let store = client.build().store(STORE);
    let mut batches = store.read(Read::segment(path()));
    let error = tokio::time::timeout(PATIENCE, batches.next()).await.unwrap();
    assert!(error.unwrap().is_err(), "no batches are made of zeroes");
    let error = batches.try_next().await;
    assert!(matches!(error, Ok(None)), "it is over: {error:?}");
}

async fn what_a_read_promises_and_does_not_bring_is_an_error(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let (channel, _) = peer.call().await.unwrap();
        let done = ReadDone {
            entries: 1,
            cursor: record::LogCursor::default(),
        };
        let mut body = Vec::new();
        done.put(&mut body);
        peer.says(channel, Kind::End, &body).await;
        let (channel, _) = peer.call().await.unwrap();
        peer.says(channel, Kind::End, b"").await;
        let (channel, _) = peer.call().await.unwrap();
        peer.says(channel, Kind::End, &nothing()).await;
        peer.next().await;
    });
    let store = client.build().store(STORE);
    for _ in 0..2 {
        let read: Result<Vec<Batch>, _> = store.read(Read::segment(path())).try_collect().await;
        assert!(matches!(read, Err(Error::Protocol(_))), "{read:?}");
    }
    let read: Vec<Batch> = store.read(Read::segment(path())).try_collect().await.unwrap();
    assert_eq!(read, [Batch::End(record::LogCursor::default())]);
}

async fn a_dropped_call_is_cancelled_unless_it_is_an_append(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let mut kinds = Vec::new();
        while kinds.len() < 5 {
            let frame = peer.next().await.unwrap();
            kinds.push((frame.channel, frame.kind));
            if frame.channel == 3 {
                peer.says(3, Kind::End, &nothing()).await;
                break;
            }
        }
        peer.next().await;
        kinds
    });
    let client = client.build();
    let store = client.store(STORE);
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, store.append(paid())).await.is_err());
    assert!(tokio::time::timeout(soon, store.spaces()).await.is_err());
    let _: Vec<Batch> = store.read(Read::segment(path())).try_collect().await.unwrap();
    client.close().await;
    let kinds = server.await.unwrap();
    let expected = [(1, Kind::Call), (2, Kind::Call), (2, Kind::Cancel), (3, Kind::Call)];
    assert_eq!(kinds, expected);
}

async fn errors_have_what_their_codes_have(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let permanent = |code, details: Details| CallError::new(code, Class::Permanent, "why").with(&details);
    let told = [
        permanent(Code::Conflict, Details::Conflict(vec![(path(), Sequence(7))])),
        permanent(Code::OtherRecords, Details::Position(8)),
        permanent(Code::FencedOff, Details::Token(record::FencingToken(9))),
        permanent(Code::Damaged, Details::Damaged(vec![path()])),
        permanent(Code::AccessDenied, Details::None),
        CallError::new(Code::Overloaded, Class::Transient, "why").after(Duration::from_millis(250)),
        CallError::new(Code::UnknownOutcome, Class::Unknown, "why"),
        // One that this client does not know is told by its class.
        permanent(Code::Unknown(999), Details::None),
    ];
    let count = told.len();
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        for error in told {
            let (channel, _) = peer.append().await;
            peer.fails(channel, &error).await;
        }
        peer.next().await;
    });
    let store = client.build().store(STORE);
    let mut errors = Vec::new();
    for _ in 0..count {
        errors.push(store.append(paid()).await.unwrap_err());
    }
    let [conflict, other, fenced, damaged, denied, overloaded, unknown, refused] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert!(matches!(conflict, Error::Conflicts { heads, .. } if heads[..] == [(path(), Sequence(7))]));
    assert!(matches!(other, Error::OtherRecords { position: 8 }));
    assert!(matches!(fenced, Error::FencedOff { token: 9 }));
    assert!(damaged.is_damage() && !damaged.is_transient());
    assert!(matches!(denied, Error::AccessDenied));
    assert_eq!(overloaded.retry_after(), Some(Duration::from_millis(250)));
    assert!(overloaded.is_transient() && overloaded.is_not_stored());
    assert!(matches!(unknown, Error::Unknown(_)));
    assert!(matches!(refused, Error::Refused(_)));
}

async fn chunks_whose_answers_are_lost_are_sent_again_in_their_order(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, u32::MAX).await;
        let mut first = Vec::new();
        for _ in 0..2 {
            first.push(peer.append().await.1);
        }
        drop(peer);
        let mut peer = Peer::accept(&mut listener, u32::MAX).await;
        let mut next = 1;
        for n in 0..3 {
            let (channel, append) = peer.append().await;
            if let Some(first) = first.get(n) {
                assert_eq!(*first, append);
            }
            let [section] = &append.sections[..] else { panic!() };
            assert_eq!(section.first_sequence, Sequence(next));
            let last = next + section.records.len() as u64 - 1;
            let appended = Appended {
                position: next,
                timestamp: Timestamp(5),
                durability: Durability::Disk,
                is_known: n == 0,
                sections: vec![(Sequence(next), Sequence(last))],
            };
            let mut body = Vec::new();
            appended.put(&mut body);
            peer.says(channel, Kind::End, &body).await;
            next = last + 1;
        }
        peer.next().await;
    });
    let client = client.build();
    let records = vec![NewRecord::new("x"); 25_000];
    let produced = client.store(STORE).produce_all("s", "a", 1, records).await.unwrap();
    assert_eq!((produced.first_sequence, produced.last_sequence), (1, 25_000));
    client.close().await;
    server.await.unwrap();
}

async fn a_call_tells_the_trace_for_which_it_is_made(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let mut traces = Vec::new();
        while traces.len() < 2 {
            let call = peer.next().await.unwrap();
            traces.push(call.fields.trace());
            peer.stored(call.channel, 1, false).await;
        }
        peer.next().await;
        traces
    });
    let trace = Trace {
        trace_id: [1; 16],
        span_id: [2; 8],
        flags: 1,
    };
    let current = Arc::new(Mutex::new(Some(trace)));
    let source = current.clone();
    let client = client.trace_source(move || *source.lock().unwrap()).build();
    client.store(STORE).append(paid()).await.unwrap();
    *current.lock().unwrap() = None;
    client.store(STORE).append(paid()).await.unwrap();
    client.close().await;
    assert_eq!(server.await.unwrap(), [Some(trace), None]);
}

/// A server that takes no calls at all is none.
async fn a_hello_that_allows_no_calls_is_told_at_once(via: Via) {
    for (channels, frame_bytes) in [(0, 1 << 20), (100, 0)] {
        let (mut listener, client) = Listener::new(via).await;
        tokio::spawn(async move {
            let mut peer = Peer::bare(&mut listener).await;
            let hello = Hello {
                frame_bytes,
                channels,
                credit: 1,
                features: Vec::new(),
            };
            peer.say(|out| hello.put(out)).await;
            peer.next().await;
        });
        let client = client.retry(RetryPolicy::NEVER).build();
        let error = client.store(STORE).append(paid()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Connect { cause, .. } if cause.contains("no calls")),
            "{error:?}"
        );
    }
}

/// It speaks of nothing that this client knows.
async fn a_server_that_requires_what_nobody_knows_is_named(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut peer = Peer::bare(&mut listener).await;
        let hello = Hello {
            frame_bytes: 1 << 20,
            channels: 1,
            credit: 1,
            features: vec!["!later".to_owned()],
        };
        peer.say(|out| hello.put(out)).await;
        peer.next().await;
    });
    let client = client.retry(RetryPolicy::NEVER).build();
    let error = client.connect().await.unwrap_err();
    assert!(error.to_string().contains("later"), "{error}");
}

async fn a_server_without_a_subprotocol_and_one_of_v1_are_spoken_to_in_v1(via: Via) {
    for subprotocol in [None, Some("streamkit.v1")] {
        let (mut listener, client) = Listener::new(via).await;
        tokio::spawn(async move {
            #[expect(clippy::result_large_err, reason = "so the library asks for it")]
            let speak = |_: &Handshake, mut answer: Response| -> Result<Response, ErrorResponse> {
                if let Some(name) = subprotocol {
                    answer
                        .headers_mut()
                        .insert("sec-websocket-protocol", name.parse().unwrap());
                }
                Ok(answer)
            };
            let stream = listener.accept().await;
            let mut socket = tokio_tungstenite::accept_hdr_async(stream, speak).await.unwrap();
            let asked = socket.next().await.unwrap().unwrap();
            let asked = streamkit_protocol::Frame::decode(asked.to_text().unwrap().as_bytes()).unwrap();
            let head = streamkit_protocol::FrameHead::new(asked.store_id, asked.channel_id);
            for message in [br#""s""#.to_vec(), streamkit_protocol::Terminal::Close.encode()] {
                let text = String::from_utf8(head.data(&message)).unwrap();
                socket.send(Message::Text(text.into())).await.unwrap();
            }
            socket.next().await;
        });
        let store = client.build().store(STORE);
        assert_eq!(store.spaces().await.unwrap(), ["s"]);
        let conditional = paid().under(Condition {
            path: path(),
            expected: Expected::Exists,
        });
        let error = store.append(conditional).await.unwrap_err();
        assert!(matches!(error, Error::NotInV1("append with conditions")), "{error:?}");
        let error = store
            .read(Read::log(Vec::new(), record::LogCursor::default()))
            .next()
            .await;
        assert!(matches!(error, Some(Err(Error::NotInV1("read by batches")))));
    }
}

async fn an_end_right_behind_an_inventory_is_heard_as_what_it_is_and_one_after_the_other_slows_it_down(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let mut full = CallError::new(Code::Overloaded, Class::Transient, "full");
        full.retry_after = 3_600_000;
        while let Some((channel, _)) = peer.call().await {
            // In one message.
            let inventory = WorkersTold::Inventory(Timestamp(1), Vec::new());
            peer.say(|out| {
                frame(out, (channel, Kind::Data), |_| {}, |out| inventory.put(out));
                frame(out, (channel, Kind::Error), |_| {}, |out| full.put(out));
            })
            .await;
        }
    });
    let client = client.timeout(Duration::from_secs(1)).build();
    let mut workers = client.store(STORE).workers();
    // It is asked again at once, and then when the server says: that is later than it waits.
    for _ in 0..2 {
        assert!(workers.next().await.unwrap().unwrap().is_empty());
    }
    let error = workers.next().await;
    assert!(matches!(error, Some(Err(Error::TryLater { .. }))), "{error:?}");
    drop(client);
    server.abort();
}

over_v2! {
    an_end_right_behind_an_inventory_is_heard_as_what_it_is_and_one_after_the_other_slows_it_down
    an_append_whose_answer_is_lost_is_made_again_under_its_id_and_succeeds_once
    an_append_that_nobody_answers_in_time_may_be_stored_or_not
    a_server_that_leaves_finishes_what_it_has_begun_and_the_rest_begins_anew
    calls_wait_for_the_credit_of_the_server_in_their_order
    a_call_without_credit_gives_up_in_time_and_was_not_begun
    a_call_that_is_too_large_for_the_server_is_invalid_and_the_next_goes_on
    a_server_that_sends_beyond_its_credit_is_left_with_an_error
    what_a_read_promises_and_does_not_bring_is_an_error
    a_dropped_call_is_cancelled_unless_it_is_an_append
    errors_have_what_their_codes_have
    chunks_whose_answers_are_lost_are_sent_again_in_their_order
    a_call_tells_the_trace_for_which_it_is_made
    a_hello_that_allows_no_calls_is_told_at_once
    a_server_that_requires_what_nobody_knows_is_named
    a_server_without_a_subprotocol_and_one_of_v1_are_spoken_to_in_v1
}

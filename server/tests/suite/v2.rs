//! Protocol v2 over real sockets, frame by frame.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_engine::{
    Condition, Entry, Expected, Filter, LogCursor, Metadata, Name, ReadSource, Record, SegmentPath, Sequence, StoreId,
    Timestamp, Wanted,
};
use streamkit_protocol::v2::{
    Append, Appended, Batches, Call, CallError, Class, Code, Credit, Details, Field, Follow, Frame, GoAway, Hello,
    Kind, OwnWorker, Read, ReadBatch, ReadDone, SUBPROTOCOL, SignOfLife, Told, Worker, Workers, WorkersTold, frame,
    names,
};
use streamkit_record::SegmentAppend;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::peer::*;

mod answers;
mod calls;
mod common;
mod compression;
mod floods;
mod live;

/// A client that speaks v2.
struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    came: VecDeque<Frame>,
    last: u32,
}

fn nothing(_: &mut Vec<u8>) {}

impl Peer {
    /// Connects; no hello was sent or read yet.
    async fn bare(host: &Host) -> Self {
        Self::of(host, "streamkit::*").await
    }

    /// The same for whom a scope says what he may.
    async fn of(host: &Host, scope: &str) -> Self {
        let mut request = format!("{}/streamz", host.url).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {}", token(&[scope])).parse().unwrap());
        headers.insert("sec-websocket-protocol", "streamkit.v2, streamkit.v1".parse().unwrap());
        let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        Self {
            socket,
            came: VecDeque::new(),
            last: 0,
        }
    }

    async fn connect(host: &Host) -> Self {
        let mut peer = Self::bare(host).await;
        peer.greets(&hello(1 << 20)).await;
        peer
    }

    async fn greets(&mut self, hello: &Hello) {
        let mut out = Vec::new();
        hello.put(&mut out);
        self.send(out).await;
        let greeting = self.next().await;
        assert!(Hello::decode(&greeting).unwrap().credit > 0);
    }

    /// Why the server ends the connection.
    async fn parted(&mut self) -> GoAway {
        loop {
            let came = self.next().await;
            if came.kind == Kind::GoAway {
                return GoAway::decode(&came).unwrap();
            }
        }
    }

    async fn send(&mut self, frames: Vec<u8>) {
        self.socket.send(Message::Binary(frames.into())).await.unwrap();
    }

    async fn next(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.came.pop_front() {
                return frame;
            }
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.unwrap();
            let Some(Ok(Message::Binary(mut message))) = next else {
                panic!("{next:?}")
            };
            while let Some(frame) = Frame::take(&mut message).unwrap() {
                self.came.push_back(frame);
            }
        }
    }

    /// Begins a call.
    async fn call(&mut self, call: &Call) -> u32 {
        self.last += 1;
        let mut out = Vec::new();
        frame(&mut out, (self.last, Kind::Call), nothing, |out| {
            call.put(StoreId(STORE), out)
        });
        self.send(out).await;
        self.last
    }

    /// All messages of a call, and how it ends. Credit that comes meanwhile is left out.
    async fn answer(&mut self, channel: u32) -> (Vec<Bytes>, Result<Bytes, CallError>) {
        let mut messages = Vec::new();
        loop {
            let came = self.next().await;
            match came.kind {
                Kind::Credit => {}
                Kind::Data if came.channel == channel => messages.push(came.body),
                Kind::End if came.channel == channel => return (messages, Ok(came.body)),
                Kind::Error if came.channel == channel => {
                    return (messages, Err(CallError::decode(&came.body).unwrap()));
                }
                other => panic!("{other:?} of {}", came.channel),
            }
        }
    }

    async fn append(&mut self, append: Append) -> Result<Appended, CallError> {
        let channel = self.call(&Call::Append(append)).await;
        let (messages, end) = self.answer(channel).await;
        assert!(messages.is_empty());
        end.map(|result| Appended::decode(&result).unwrap())
    }
}

fn hello(credit: u32) -> Hello {
    Hello {
        frame_bytes: 32 << 20,
        channels: 0,
        credit,
        features: vec!["later".into()],
    }
}

fn path() -> SegmentPath {
    SegmentPath::new("orders", "order-1").unwrap()
}

fn append(first: u64, payloads: &[Bytes]) -> Append {
    Append {
        id: Uuid::new_v4(),
        conflict_bytes: 0,
        fence: None,
        conditions: Vec::new(),
        sections: vec![SegmentAppend {
            path: path(),
            first_sequence: Sequence(first),
            records: payloads.iter().cloned().map(Record::new).collect(),
        }],
    }
}

fn all(credit: u32) -> Call {
    let source = ReadSource::Segment(path(), Sequence::FIRST, Sequence(u64::MAX));
    Call::Read(Read::all(source, credit))
}

/// What the messages of a read hold.
fn entries(messages: &[Bytes]) -> Vec<Entry> {
    let batches = messages.iter().map(|message| ReadBatch::decode(message).unwrap().batch);
    batched(&batches.collect::<Vec<_>>())
}

/// What batches hold.
fn batched(of: &[Bytes]) -> Vec<Entry> {
    let (mut batches, mut entries) = (Batches::default(), Vec::new());
    for batch in of {
        batches.read(batch, &mut entries).unwrap();
    }
    entries
}

#[tokio::test]
async fn what_was_appended_is_read_back() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let appended = peer.append(append(1, &["a".into(), "b".into()])).await.unwrap();
    assert_eq!(appended.sections, [(Sequence(1), Sequence(2))]);
    let appended = peer.append(append(3, &["c".into()])).await.unwrap();
    assert_eq!(appended.sections, [(Sequence(3), Sequence(3))]);
    let channel = peer.call(&all(1 << 20)).await;
    let (messages, end) = peer.answer(channel).await;
    end.unwrap();
    let read = entries(&messages);
    assert_eq!(
        read.iter().map(|entry| &entry.payload[..]).collect::<Vec<_>>(),
        [b"a", b"b", b"c"]
    );
    assert_eq!(read.iter().map(|entry| entry.sequence.0).collect::<Vec<_>>(), [1, 2, 3]);
    host.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_an_error_with_its_code_and_others_go_on() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    peer.append(append(1, &["a".into()])).await.unwrap();
    let error = peer.append(append(1, &["b".into()])).await.unwrap_err();
    assert_eq!((error.code, error.class), (Code::Conflict, Class::Permanent));
    assert_eq!(error.details(), Ok(Details::Conflict(vec![(path(), Sequence(1))])));
    // A verb that nobody knows, and a call that is cut.
    for (body, code) in [
        (vec![99; 17], Code::UnknownVerb),
        ([&[1][..], STORE.as_bytes()].concat(), Code::Invalid),
    ] {
        peer.last += 1;
        let mut out = Vec::new();
        frame(&mut out, (peer.last, Kind::Call), nothing, |out| {
            out.extend_from_slice(&body)
        });
        peer.send(out).await;
        let (_, end) = peer.answer(peer.last).await;
        assert_eq!(end.unwrap_err().code, code);
    }
    peer.append(append(2, &["b".into()])).await.unwrap();
    let spaces = peer.call(&Call::Spaces).await;
    let (messages, end) = peer.answer(spaces).await;
    end.unwrap();
    let [message] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(names(message), Ok(vec![Name::new("orders").unwrap()]));
    host.stop().await;
}

#[tokio::test]
async fn calls_far_beyond_the_window_pass_one_after_another() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let large = Bytes::from(vec![b'x'; 1_000_000]);
    for sequence in 1..=30 {
        peer.append(append(sequence, std::slice::from_ref(&large)))
            .await
            .unwrap();
    }
    host.stop().await;
}

#[tokio::test]
async fn a_read_that_is_not_wanted_waits_and_holds_up_no_other() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let large = Bytes::from(vec![b'x'; 100_000]);
    for sequence in 1..=20 {
        peer.append(append(sequence, std::slice::from_ref(&large)))
            .await
            .unwrap();
    }
    let paused = peer.call(&all(1)).await;
    // One message comes, however little was wanted; others go on meanwhile.
    peer.call(&Call::Spaces).await;
    let (mut first, mut of_other) = (Vec::new(), Vec::new());
    loop {
        let came = peer.next().await;
        match (came.channel == paused, came.kind) {
            (true, Kind::Data) => first.push(came.body),
            (false, Kind::Data) => of_other.push(came.body),
            (false, Kind::End) => break,
            (false, Kind::Credit) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(names(&of_other.concat()), Ok(vec![Name::new("orders").unwrap()]));
    assert!((1..4).contains(&first.len()), "{}", first.len());
    let mut out = Vec::new();
    Credit {
        channel: paused,
        bytes: u32::MAX,
    }
    .put(&mut out);
    let more = Credit {
        channel: 0,
        bytes: u32::MAX,
    };
    more.put(&mut out);
    peer.send(out).await;
    let (messages, end) = peer.answer(paused).await;
    end.unwrap();
    first.extend(messages);
    assert_eq!(entries(&first).len(), 20);
    host.stop().await;
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_and_closed() {
    let host = Host::start().await;
    let text = |peer: &mut Vec<Message>| peer.push(Message::Text("{}".into()));
    let before_hello = |peer: &mut Vec<Message>| {
        let mut out = Vec::new();
        frame(&mut out, (1, Kind::Call), nothing, |out| {
            Call::Spaces.put(StoreId(STORE), out)
        });
        peer.push(Message::Binary(out.into()));
    };
    let skipped = |peer: &mut Vec<Message>| {
        let mut out = Vec::new();
        hello(1).put(&mut out);
        frame(&mut out, (2, Kind::Call), nothing, |out| {
            Call::Spaces.put(StoreId(STORE), out)
        });
        peer.push(Message::Binary(out.into()));
    };
    let garbage = |peer: &mut Vec<Message>| peer.push(Message::Binary(Bytes::from_static(b"garbage")));
    for sends in [text as fn(&mut Vec<Message>), before_hello, skipped, garbage] {
        let mut peer = Peer::bare(&host).await;
        let mut messages = Vec::new();
        sends(&mut messages);
        for message in messages {
            peer.socket.send(message).await.unwrap();
        }
        let mut told = None;
        while let Some(Ok(message)) = tokio::time::timeout(PATIENCE, peer.socket.next()).await.unwrap() {
            if let Message::Binary(mut message) = message {
                while let Some(came) = Frame::take(&mut message).unwrap() {
                    if came.kind == Kind::GoAway {
                        told = Some(GoAway::decode(&came).unwrap());
                    }
                }
            }
        }
        assert_eq!(told.unwrap().why.code, Code::Protocol);
    }
    host.stop().await;
}

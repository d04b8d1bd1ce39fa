//! Peers whose frames overtake each other, as those of Go clients do when their queue is full: nothing is cut short in
//! silence.

use std::collections::VecDeque;

use futures_util::SinkExt as _;
use streamkit_protocol::{Control, Frame, FrameHead, Request, SegmentStatus, Terminal};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::fixture::{Via, over_both};
use crate::handshake::get;
use crate::peer::*;

/// Frames that Go clients queue.
const QUEUE: usize = 8192;

fn head() -> FrameHead {
    FrameHead::new(STORE, Uuid::new_v4())
}

/// Sends messages of a channel in one piece.
async fn send_together(peer: &mut Peer, head: FrameHead, messages: &[Vec<u8>]) {
    for message in messages {
        let frame = String::from_utf8(head.data(message)).unwrap();
        peer.socket.feed(Message::Text(frame.into())).await.unwrap();
    }
    peer.socket.flush().await.unwrap();
}

/// Answers pings until a channel ends; the last sequence that was acknowledged, and the end.
async fn ended(peer: &mut Peer, head: FrameHead, answers_pings: bool) -> (u64, Terminal) {
    use futures_util::StreamExt as _;
    let mut last = 0;
    loop {
        let next = tokio::time::timeout(std::time::Duration::from_secs(30), peer.socket.next()).await;
        let Some(Ok(Message::Text(text))) = next.expect("the server is silent") else {
            panic!("the connection ended");
        };
        let frame = Frame::decode(text.as_bytes()).unwrap();
        if frame.control == Control::Ping {
            if answers_pings {
                peer.send_text(String::from_utf8(Frame::connection(Control::Pong).encode()).unwrap())
                    .await;
            }
            continue;
        }
        assert_eq!(frame.channel_id, head.channel_id);
        let message = frame.message();
        match Terminal::decode(&message) {
            Some(end) => return (last, end),
            None => last = SegmentStatus::decode(&message).unwrap().last_sequence,
        }
    }
}

enum Said {
    Request,
    Record(u64),
    End,
}
use Said::{End, Record as R, Request as Req};

async fn say(said: &[Said]) -> (u64, Terminal) {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = head();
    let messages: Vec<Vec<u8>> = said
        .iter()
        .map(|said| match said {
            Req => produce("s", "a").encode(),
            R(n) => record(*n).into_bytes(),
            End => Terminal::Close.encode(),
        })
        .collect();
    send_together(&mut peer, head, &messages).await;
    let how = ended(&mut peer, head, true).await;
    let stored = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await.0.len();
    assert_eq!(stored as u64, how.0, "what is stored was acknowledged");
    how
}

#[tokio::test]
async fn records_behind_the_end_of_their_produce_are_taken_in_before_it_is_answered() {
    for said in [
        &[Req, R(1), R(2), End, R(3), R(4)][..],
        &[Req, End, R(1), R(2), R(3), R(4)],
        &[Req, R(1), R(4), End, R(2), R(3)],
        &[Req, R(2), R(1), R(4), R(3), End],
        &[Req, R(4), R(3), R(2), R(1), End],
        &[End, Req, R(1), R(2), R(3), R(4)],
        &[End, R(2), Req, R(1), R(3), R(4)],
        &[R(1), Req, R(2), R(3), R(4), End],
    ] {
        assert_eq!(say(said).await, (4, Terminal::Close));
    }
}

#[tokio::test]
async fn a_gap_that_nothing_fills_is_an_error_and_never_an_end() {
    assert_eq!(
        say(&[Req, R(1), R(3), End]).await,
        (0, refused("sequence gap: expected 2, got 3"))
    );
    assert_eq!(
        say(&[Req, R(1), R(9), R(7), R(2)]).await,
        (0, refused("sequence gap: expected 3, got 7"))
    );
    let (_, twice) = say(&[Req, R(1), R(3), R(3), R(2), End]).await;
    assert_eq!(twice, refused("sequence gap: expected 2, got 3"));
}

/// A connection over which another producer has sent more than what is taken for little.
async fn busy(host: &Host) -> Peer {
    let mut peer = host.connect().await;
    let mut messages = vec![produce("s", "other").encode()];
    messages.extend((1..=1000).map(|n| record(n).into_bytes()));
    send_together(&mut peer, head(), &messages).await;
    peer
}

#[tokio::test]
async fn a_small_produce_beside_others_is_whole_though_its_end_overtook_its_last_record() {
    let host = Host::start().await;
    let mut peer = busy(&host).await;
    let head = head();
    let small = [produce("s", "a").encode(), record(1).into(), Terminal::Close.encode()];
    send_together(&mut peer, head, &small).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    send_together(&mut peer, head, &[record(2).into()]).await;
    assert_eq!(ended(&mut peer, head, true).await, (2, Terminal::Close));
}

#[tokio::test]
async fn an_end_that_nothing_proves_is_none_when_its_connection_ends() {
    let host = Host::start().await;
    let mut peer = busy(&host).await;
    let head = head();
    let small = [produce("s", "a").encode(), record(1).into(), Terminal::Close.encode()];
    send_together(&mut peer, head, &small).await;
    peer.send_text("no frame".to_owned()).await;
    let mut ends = Vec::new();
    while let Some(frame) = peer.frame().await {
        if frame.channel_id == head.channel_id {
            ends.extend(Terminal::decode(&frame.message()));
        }
    }
    assert_eq!(ends, [refused("the peer sent a malformed frame")]);
    let mut other = host.connect().await;
    let stored = other.call(&Request::ConsumeSegment(consume("s", "a"))).await.0;
    assert!(stored.is_empty());
}

/// Sends messages of a channel in one piece that ends in the middle of the last one's frame, and returns the rest.
async fn send_but_half(peer: &mut Peer, head: FrameHead, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut frames: Vec<u8> = messages
        .iter()
        .flat_map(|message| crate::unread::masked(1, &head.data(message)))
        .collect();
    let half = frames.split_off(frames.len() - 50);
    send_bytes(peer, &frames).await;
    half
}

async fn send_bytes(peer: &mut Peer, bytes: &[u8]) {
    use tokio::io::AsyncWriteExt as _;
    peer.socket.get_mut().write_all(bytes).await.unwrap();
}

#[tokio::test]
async fn silence_in_the_middle_of_a_frame_ends_no_produce() {
    let host = Host::start().await;
    let mut peer = busy(&host).await;
    let head = head();
    let messages = [
        produce("s", "a").encode(),
        record(1).into(),
        Terminal::Close.encode(),
        record(2).into(),
    ];
    let half = send_but_half(&mut peer, head, &messages).await;
    // Longer than silence is waited for of a peer that answers no pings.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    send_bytes(&mut peer, &half).await;
    assert_eq!(ended(&mut peer, head, false).await, (2, Terminal::Close));
}

#[tokio::test]
async fn a_record_behind_the_answer_is_refused_once_and_counted() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = head();
    send_together(
        &mut peer,
        head,
        &[produce("s", "a").encode(), record(1).into(), Terminal::Close.encode()],
    )
    .await;
    assert_eq!(ended(&mut peer, head, true).await, (1, Terminal::Close));
    let late: Vec<Vec<u8>> = (2..5).map(|n| record(n).into_bytes()).collect();
    send_together(&mut peer, head, &late).await;
    let frame = peer.frame().await.unwrap();
    assert_eq!((&frame.control, frame.channel_id), (&Control::Error, head.channel_id));
    assert!(matches!(Terminal::decode(&frame.message()), Some(Terminal::Error(why)) if why.contains("is not stored")));
    peer.answers_ping().await;
    let metrics = get(&host, "/metrics", "").await;
    assert!(metrics.contains("streamkit_records_late_total 1"), "{metrics}");
}

async fn a_client_that_says_its_frames_are_in_order_is_told_of_a_gap_at_once(via: Via) {
    let host = Host::via(via).await;
    let client = crate::served::client::client(&host).store(STORE);
    let error = client
        .produce_all("s", "a", 2, [streamkit_client::NewRecord::new("x")])
        .await
        .unwrap_err();
    assert!(matches!(error, streamkit_client::Error::Conflict { .. }), "{error:?}");
    let metrics = get(&host, "/metrics", "").await;
    assert!(metrics.contains("streamkit_records_early_total 0"), "{metrics}");
}

/// Frames in the order in which a Go client's writer and its senders write them: a queue, and now and then, when it is full,
/// a frame that is written directly.
fn as_go_writes(frames: Vec<Vec<u8>>, mut dice: u64) -> Vec<Vec<u8>> {
    let mut roll = move |sides: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    let (mut queue, mut written) = (VecDeque::new(), Vec::new());
    let last = frames.len() - 1;
    for (n, frame) in frames.into_iter().enumerate() {
        if queue.len() < QUEUE {
            queue.push_back(frame);
            continue;
        }
        // The queue is full: the writer is as quick as the sender, or stalls for so long that the sender writes.
        if n == last || roll(2000) == 0 {
            written.push(frame);
            continue;
        }
        written.extend(queue.pop_front());
        queue.push_back(frame);
    }
    written.extend(queue);
    written
}

#[tokio::test]
async fn a_produce_whose_frames_overtake_each_other_as_a_go_clients_do_is_stored_whole() {
    const RECORDS: u64 = 12_000;
    let host = Host::start().await;
    for seed in 0..4 {
        let mut peer = host.connect().await;
        let head = head();
        let segment = seed.to_string();
        let mut messages = vec![produce("s", &segment).encode()];
        messages.extend((1..=RECORDS).map(|n| record(n).into_bytes()));
        messages.push(Terminal::Close.encode());
        let messages = as_go_writes(messages, seed + 1);
        assert_ne!(messages.last(), Some(&Terminal::Close.encode()), "the end overtakes");
        send_together(&mut peer, head, &messages).await;
        assert_eq!(ended(&mut peer, head, seed % 2 == 0).await, (RECORDS, Terminal::Close));
    }
    let metrics = get(&host, "/metrics", "").await;
    assert!(metrics.contains("streamkit_records_late_total 0"), "{metrics}");
}

async fn a_client_of_ours_stores_all_in_order_while_many_produce_over_one_connection(via: Via) {
    let host = Host::via(via).await;
    let store = crate::served::client::client(&host).store(STORE);
    let all = (0..8).map(|n| {
        let store = store.clone();
        async move {
            let records = vec![streamkit_client::NewRecord::new(vec![b'x'; 100]); 3000];
            let status = store.produce_all("s", &n.to_string(), 1, records).await.unwrap();
            assert_eq!(status.last_sequence, 3000);
        }
    });
    futures_util::future::join_all(all).await;
    let metrics = get(&host, "/metrics", "").await;
    assert!(metrics.contains("streamkit_records_early_total 0"), "{metrics}");
}

over_both! {
    a_client_that_says_its_frames_are_in_order_is_told_of_a_gap_at_once
    a_client_of_ours_stores_all_in_order_while_many_produce_over_one_connection
}

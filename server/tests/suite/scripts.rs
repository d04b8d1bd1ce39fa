//! The client against servers that follow a script: what no real server of ours does, or not on demand.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use streamkit_client::*;
use streamkit_protocol::{Frame, FrameHead, Request, Terminal};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Listener, Stream, Via, over_both};
use crate::peer::{PATIENCE, STORE};

/// A server that answers every frame with the frames of `answer`.
pub async fn scripted(via: Via, answer: impl Fn(&Frame) -> Vec<Vec<u8>> + Send + 'static) -> StoreClient {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut socket = accept(&mut listener).await;
        while let Some(frame) = next(&mut socket).await {
            for frame in answer(&frame) {
                send(&mut socket, frame).await;
            }
        }
    });
    client.build().store(STORE)
}

pub type Socket = WebSocketStream<Box<dyn Stream>>;

async fn accept(listener: &mut Listener) -> Socket {
    tokio_tungstenite::accept_async(listener.accept().await).await.unwrap()
}

pub async fn next(socket: &mut Socket) -> Option<Frame> {
    let message = socket.next().await?.ok()?;
    message.is_text().then(|| Frame::decode(&message.into_data()).unwrap())
}

pub async fn send(socket: &mut Socket, frame: Vec<u8>) {
    let text = String::from_utf8(frame).unwrap();
    let _ = socket.send(Message::Text(text.into())).await;
}

pub fn head(frame: &Frame) -> FrameHead {
    FrameHead::new(frame.store_id, frame.channel_id)
}

pub fn entry(space: &str, segment: &str, sequence: u64, timestamp: i64, bytes: usize) -> Vec<u8> {
    let entry = streamkit_protocol::Entry {
        space: space.to_owned(),
        segment: segment.to_owned(),
        sequence,
        timestamp,
        payload: streamkit_protocol::Payload(Some(vec![0; bytes].into())),
        ..Default::default()
    };
    entry.encode()
}

fn status(last_timestamp: i64) -> Vec<u8> {
    let status = Status {
        last_timestamp,
        ..Status::default()
    };
    status.encode()
}

/// Of a segment with the sequences from 1 to 25, since time 1.
fn segment_status(last_timestamp: i64) -> Vec<u8> {
    let status = Status {
        segment_count: 1,
        first_sequence: 1,
        first_timestamp: 1,
        last_sequence: 25,
        last_timestamp,
        ..Status::default()
    };
    status.encode()
}

/// Answers the first consume with the first 20 of these messages, 20 MB in all, the next with the rest, and a status call
/// with time 77. Returns the requests.
async fn overrun(
    via: Via,
    messages: Vec<Vec<u8>>,
    read: impl FnOnce(&StoreClient) -> Entries,
) -> (Vec<Entry>, Vec<Request>) {
    let stopped = Arc::new(Notify::new());
    let (stopping, rests) = (stopped.clone(), messages.clone());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let asked = requests.clone();
    let consumes = AtomicU32::new(0);
    let store = scripted(via, move |frame| {
        let head = head(frame);
        let message = frame.clone().message();
        if Terminal::decode(&message).is_some() {
            stopping.notify_one();
            return vec![];
        }
        let request = Request::decode(&message).unwrap();
        asked.lock().unwrap().push(request.clone());
        if let Request::GetStatus(asked) = &request {
            let status = if asked.segment.is_empty() {
                status
            } else {
                segment_status
            };
            return vec![head.data(&status(77)), head.data(&Terminal::Close.encode())];
        }
        if consumes.fetch_add(1, Ordering::Relaxed) == 0 {
            return rests[..20].iter().map(|message| head.data(message)).collect();
        }
        let from = match &request {
            Request::ConsumeSegment(read) => read.min_sequence as usize - 1,
            _ => 10,
        };
        let mut frames: Vec<Vec<u8>> = rests[from..].iter().map(|message| head.data(message)).collect();
        frames.push(head.data(&Terminal::Close.encode()));
        frames
    })
    .await;
    let mut entries = read(&store);
    let mut taken = vec![entries.next().await.unwrap().unwrap()];
    // It is not read until it has overrun.
    tokio::time::timeout(PATIENCE, stopped.notified()).await.unwrap();
    taken.extend(entries.try_collect::<Vec<_>>().await.unwrap());
    let requests = requests.lock().unwrap().clone();
    (taken, requests)
}

async fn a_segment_that_overran_is_asked_for_again_after_its_last_entry_within_its_bounds(via: Via) {
    let messages = (1..=25).map(|n| entry("s", "a", n, n as i64, 1 << 20)).collect();
    let (entries, requests) = overrun(via, messages, |store| {
        store.consume_segment(ConsumeSegment {
            to: 90,
            limit: 1000,
            after_time: -5,
            ..ConsumeSegment::all("s", "a")
        })
    })
    .await;
    assert!(entries.iter().map(|entry| entry.sequence).eq(1..=25));
    let Request::ConsumeSegment(rest) = &requests[3] else {
        panic!("{requests:?}")
    };
    assert!((2..20).contains(&rest.min_sequence), "{rest:?}");
    assert_eq!(
        (rest.max_sequence, rest.min_timestamp, rest.max_timestamp),
        (90, -5, 77)
    );
    assert_eq!(rest.limit, 1000 - (rest.min_sequence - 1));
    assert_eq!(requests.len(), 4);
}

async fn spaces_that_overran_are_asked_for_again_from_where_each_is_and_what_comes_twice_is_taken_once(via: Via) {
    // All in one millisecond, in two segments of space s; the second answer repeats what an unknown offset makes a server
    // repeat.
    let messages = (0..25)
        .map(|n| entry("s", if n % 2 == 0 { "a" } else { "b" }, n / 2 + 1, 5, 1 << 20))
        .collect();
    let (entries, requests) = overrun(via, messages, |store| store.consume(Consume::all(["s", "t"]))).await;
    assert_eq!(entries.len(), 25);
    for (n, entry) in entries.iter().enumerate() {
        assert_eq!(entry.sequence, n as u64 / 2 + 1);
    }
    let Request::Consume(rest) = &requests[2] else {
        panic!("{requests:?}")
    };
    let at = entries.iter().position(|entry| entry.offset() == rest.offsets["s"]);
    assert!((1..20).contains(&at.unwrap()));
    assert_eq!(rest.offsets["t"], LexKey::default());
    assert_eq!(rest.max_timestamp, 77);
}

async fn a_hole_and_a_stranger_in_a_read_of_spaces_are_errors(via: Via) {
    for (second, why) in [
        (entry("s", "a", 3, 5, 1), "expected 2, got 3"),
        (entry("s", "a", 1, 5, 1), "expected 2, got 1"),
        (entry("other", "a", 2, 5, 1), "an entry of other/a"),
    ] {
        let first = [entry("s", "a", 1, 5, 1), entry("s", "b", 9, 5, 1)];
        let messages = [first[0].clone(), first[1].clone(), second];
        let store = scripted(via, move |frame| {
            let head = head(frame);
            match Request::decode(&frame.clone().message()) {
                Ok(Request::GetStatus(_)) => {
                    vec![head.data(&segment_status(77)), head.data(&Terminal::Close.encode())]
                }
                _ => messages.iter().map(|message| head.data(message)).collect(),
            }
        })
        .await;
        for mut entries in [
            store.consume_space(ConsumeSpace::all("s")),
            store.consume(Consume::all(["s", "t"])),
        ] {
            entries.next().await.unwrap().unwrap();
            entries.next().await.unwrap().unwrap();
            let error = entries.next().await.unwrap().unwrap_err();
            assert!(matches!(&error, Error::Protocol(text) if text.contains(why)), "{error}");
            assert!(entries.next().await.is_none());
        }
    }
}

async fn an_end_with_any_kind_of_error_is_no_clean_end(via: Via) {
    for end in [
        r#"{"type":"mux::close","err":{"code":5}}"#,
        r#"{"type":"mux::close","err":false}"#,
    ] {
        let store = scripted(via, move |frame| vec![head(frame).data(end.as_bytes())]).await;
        let read = store.consume_segment(ConsumeSegment::all("s", "a"));
        let error = read.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
    }
    let store = scripted(via, |frame| vec![head(frame).error(&Terminal::Close.encode())]).await;
    assert!(store.spaces().await.is_err());
}

async fn reads_are_asked_again_over_a_new_connection_if_the_first_is_lost_before_the_answer(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        loop {
            // Every odd connection hangs up at its first request.
            next(&mut accept(&mut listener).await).await;
            let mut socket = accept(&mut listener).await;
            let request = next(&mut socket).await.unwrap();
            let message = entry("s", "a", 1, 5, 1);
            send(&mut socket, head(&request).data(&message)).await;
            send(&mut socket, head(&request).data(&Terminal::Close.encode())).await;
        }
    });
    let read = || client.clone().build().store(STORE);
    assert_eq!(read().peek("s", "a").await.unwrap().unwrap().sequence, 1);
    let entries = read().consume_segment(ConsumeSegment::all("s", "a"));
    assert_eq!(entries.try_collect::<Vec<_>>().await.unwrap().len(), 1);
}

async fn what_the_server_said_before_it_hung_up_counts_though_writing_failed(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut socket = accept(&mut listener).await;
        let request = next(&mut socket).await.unwrap();
        let status = SegmentStatus {
            space: "s".to_owned(),
            segment: "a".to_owned(),
            first_sequence: 1,
            last_sequence: 1,
            ..SegmentStatus::default()
        };
        send(&mut socket, head(&request).data(&status.encode())).await;
        let refused = Terminal::CloseError("sequence gap: expected 2, got 7".to_owned());
        send(&mut socket, head(&request).data(&refused.encode())).await;
        // The kernel resets a connection that is closed with unread bytes.
    });
    let store = client.build().store(STORE);
    let mut producer = store.produce("s", "a", 1).await.unwrap();
    let error = loop {
        match producer.send(&NewRecord::new(vec![0; 1 << 20])).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Conflict { head: 1, got: 7 }), "{error:?}");
    assert_eq!(producer.acknowledged(), 1);
}

async fn the_conflict_of_a_backend_that_does_not_tell_the_head_is_a_conflict(via: Via) {
    let store = scripted(via, |frame| {
        let message = frame.clone().message();
        match Request::decode(&message) {
            Ok(Request::Peek(_)) => vec![head(frame).data(&entry("s", "a", 4, 5, 1))],
            Ok(Request::Produce(_)) => {
                let why = Terminal::CloseError("sequence mismatch".to_owned());
                vec![head(frame).data(&why.encode())]
            }
            _ => vec![],
        }
    })
    .await;
    let error = store.produce_all("s", "a", 3, [NewRecord::new("x")]).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { head: 4, got: 3 }), "{error:?}");
}

/// A server that reads `bytes` at a time with a pause in between, and answers the produce when it has seen its end.
async fn slow_uplink() -> String {
    use tokio::io::AsyncReadExt as _;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let (tcp, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let (mut reading, mut writing) = tcp.into_split();
            let (mut out, mut back) = tokio::io::split(&mut far);
            let up = async {
                let mut buffer = vec![0; 128 << 10];
                while let Ok(count @ 1..) = reading.read(&mut buffer).await {
                    tokio::io::AsyncWriteExt::write_all(&mut back, &buffer[..count])
                        .await
                        .unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let down = tokio::io::copy(&mut out, &mut writing);
            tokio::join!(up, down)
        });
        let mut socket = tokio_tungstenite::accept_async(near).await.unwrap();
        let mut records = 0;
        while let Some(Ok(message)) = socket.next().await {
            let frame = Frame::decode(&message.into_data()).unwrap();
            let message = frame.clone().message();
            if Terminal::decode(&message).is_none() {
                records += 1;
                continue;
            }
            let status = SegmentStatus {
                space: "s".to_owned(),
                segment: "a".to_owned(),
                first_sequence: 1,
                last_sequence: records - 1,
                ..SegmentStatus::default()
            };
            for message in [status.encode(), Terminal::Close.encode()] {
                let text = String::from_utf8(head(&frame).data(&message)).unwrap();
                socket.send(Message::Text(text.into())).await.unwrap();
            }
        }
    });
    url
}

#[tokio::test]
async fn time_spent_on_a_slow_uplink_is_no_silence_of_the_server() {
    let url = slow_uplink().await;
    let client = Client::builder(url).token("t").timeout(Duration::from_secs(3));
    let store = client.build().store(STORE);
    // Much more than the kernel buffers, which no one can see through.
    let records = vec![NewRecord::new(vec![0; 1 << 20]); 12];
    let status = store.produce_all("s", "a", 1, records).await.unwrap();
    assert_eq!(status.last_sequence, 12);
}

async fn calls_that_wait_for_a_connection_give_up_in_time_and_share_one_dial(via: Via) {
    // A black hole: it takes connections and never answers the handshake.
    let (mut hole, client) = Listener::new(via).await;
    let accepted = Arc::new(AtomicU32::new(0));
    let counting = accepted.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(hole.accept().await);
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    let client = client.timeout(Duration::from_millis(300)).build();
    let store = client.store(STORE);
    let calls = (0..20).map(|_| store.peek("s", "a"));
    for done in futures_util::future::join_all(calls).await {
        assert!(matches!(done, Err(Error::Connect { .. })), "{done:?}");
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    // Closing waits for no dial, and ends those who wait for it.
    let waiting = tokio::spawn(async move { store.peek("s", "a").await });
    tokio::task::yield_now().await;
    client.close().await;
    assert!(matches!(
        waiting.await.unwrap(),
        Err(Error::Closed | Error::Connect { .. })
    ));
}

#[tokio::test]
async fn those_who_waited_for_a_dial_share_its_failure() {
    let asked = Arc::new(AtomicU32::new(0));
    let asking = asked.clone();
    let client = Client::builder("ws://127.0.0.1:1")
        .token_source(move || {
            asking.fetch_add(1, Ordering::Relaxed);
            async { Ok("t".to_owned()) }
        })
        .retry(RetryPolicy {
            attempts: 3,
            ..RetryPolicy::DEFAULT
        })
        .build();
    let store = client.store(STORE);
    let calls = (0..20).map(|_| store.peek("s", "a"));
    for done in futures_util::future::join_all(calls).await {
        assert!(matches!(done, Err(Error::Connect { .. })), "{done:?}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_record_whose_sending_was_given_up_is_not_sent_and_nothing_is_lost() {
    let url = slow_uplink().await;
    let store = Client::builder(url).token("t").build().store(STORE);
    let mut producer = store.produce("s", "a", 1).await.unwrap();
    let (mut taken, mut given_up) = (0, 0);
    while taken < 12 {
        let record = NewRecord::new(vec![0; 1 << 20]);
        let send = producer.send(&record);
        match tokio::time::timeout(Duration::from_millis(1), send).await {
            Ok(sequence) => {
                taken += 1;
                assert_eq!(sequence.unwrap(), taken);
            }
            Err(_) => given_up += 1,
        }
    }
    assert!(given_up > 0);
    // The server counts what it gets.
    assert_eq!(producer.finish().await.unwrap().unwrap().last_sequence, 12);
}

async fn ranges_of_a_server_that_lists_names_alone_are_read_off_the_entries(via: Via) {
    let answer = |request: Request| match request {
        Request::GetSegments(_) => vec![br#""a""#.to_vec(), br#""b""#.to_vec(), br#""c""#.to_vec()],
        Request::Peek(peek) if peek.segment == "a" => vec![entry("s", "a", 9, 90, 1)],
        Request::Peek(peek) => vec![entry("s", &peek.segment, 1, 10, 1)],
        Request::ConsumeSegment(read) if read.segment == "a" => vec![entry("s", "a", 4, 40, 1)],
        Request::ConsumeSegment(read) => vec![entry("s", &read.segment, 1, 10, 1)],
        other => panic!("{other:?} was asked"),
    };
    let store = scripted(via, move |frame| {
        let (head, message) = (head(frame), frame.clone().message());
        if Terminal::decode(&message).is_some() {
            return vec![];
        }
        let mut frames: Vec<Vec<u8>> = answer(Request::decode(&message).unwrap())
            .iter()
            .map(|message| head.data(message))
            .collect();
        frames.push(head.data(&Terminal::Close.encode()));
        frames
    })
    .await;
    let range = |s: &SegmentStatus| (s.segment.clone(), s.first_sequence, s.last_sequence, s.last_timestamp);
    let all = store.segment_statuses("s", "", 0).await.unwrap();
    let expected = [
        ("a".to_owned(), 4, 9, 90),
        ("b".to_owned(), 1, 1, 10),
        ("c".to_owned(), 1, 1, 10),
    ];
    assert_eq!(all.iter().map(range).collect::<Vec<_>>(), expected);
    let page = store.segment_statuses("s", "a", 1).await.unwrap();
    assert_eq!(page.iter().map(range).collect::<Vec<_>>(), expected[1..2]);
}

over_both! {
    a_segment_that_overran_is_asked_for_again_after_its_last_entry_within_its_bounds
    spaces_that_overran_are_asked_for_again_from_where_each_is_and_what_comes_twice_is_taken_once
    a_hole_and_a_stranger_in_a_read_of_spaces_are_errors
    an_end_with_any_kind_of_error_is_no_clean_end
    reads_are_asked_again_over_a_new_connection_if_the_first_is_lost_before_the_answer
    what_the_server_said_before_it_hung_up_counts_though_writing_failed
    the_conflict_of_a_backend_that_does_not_tell_the_head_is_a_conflict
    calls_that_wait_for_a_connection_give_up_in_time_and_share_one_dial
    ranges_of_a_server_that_lists_names_alone_are_read_off_the_entries
}

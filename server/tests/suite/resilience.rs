//! What a client sees when the link, the server or the token fails under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use streamkit_client::*;
use streamkit_protocol::{Frame, Terminal};
use streamkit_server_core::{Key, Limits};

use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Listener, Via, over_both};
use crate::peer::{Host, SECRET, STORE, token};
use crate::served::client::client;
use crate::served::relay::Relay;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    SocketDrop,
    Restart,
    TokenExpires,
}

#[derive(Clone, Copy, Debug)]
enum Read {
    Segment,
    Space,
    Spaces,
}

const ENTRIES: u64 = 3000;

/// Reads everything after an entry, or all.
fn read(store: &StoreClient, read: Read, after: Option<&Entry>) -> streamkit_client::Entries {
    let offset = after.map(Entry::offset).unwrap_or_default();
    match read {
        Read::Segment => {
            let from = after.map_or(1, |entry| entry.sequence + 1);
            store.consume_segment(ConsumeSegment::all("s", "a").from(from))
        }
        Read::Space => store.consume_space(ConsumeSpace {
            after: offset,
            ..ConsumeSpace::all("s")
        }),
        Read::Spaces => {
            let mut all = Consume::all(["s"]);
            all.spaces.insert("s".to_owned(), offset);
            store.consume(all)
        }
    }
}

/// Every fault under every way of reading: the stream is whole or ends with an error, never as if it were whole; the next call
/// reconnects, and reading on from the last entry gives exactly the rest.
async fn a_broken_read_ends_with_an_error_and_goes_on_without_gap_or_repeat(via: Via) {
    let ways = [Read::Segment, Read::Space, Read::Spaces];
    let faults = [Fault::SocketDrop, Fault::Restart, Fault::TokenExpires];
    let all = ways
        .into_iter()
        .flat_map(|way| faults.map(|fault| broken_read(via, way, fault)));
    futures_util::future::join_all(all).await;
}

async fn broken_read(via: Via, way: Read, fault: Fault) {
    // With a grace nothing of it would break.
    let limits = Limits {
        token_grace: Duration::ZERO,
        ..Limits::default()
    };
    let mut host = Host::with_limits(limits).await.by(via);
    let filler = client(&host);
    let big = NewRecord::new(vec![b'x'; 10_000]);
    // In transactions that are smaller than what is sent ahead.
    for first in (1..=ENTRIES).step_by(100) {
        let records = vec![big.clone(); 100];
        filler.store(STORE).produce_all("s", "a", first, records).await.unwrap();
    }
    filler.close().await;
    let relay = Relay::start(&host).await;
    let (reading, reconnected) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (begun, counting) = (reading.clone(), reconnected.clone());
    let client = relay
        .client
        .clone()
        .token_source(move || {
            let short = fault == Fault::TokenExpires && !begun.load(Ordering::Relaxed);
            let ttl = Duration::from_secs(if short { 2 } else { 3600 });
            let token = Key::hs256(SECRET).unwrap().mint(&["streamkit::*".to_owned()], ttl);
            async move { token.map_err(|error| error.to_string()) }
        })
        .retry(RetryPolicy::AGGRESSIVE)
        .on_reconnected(move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    let store = client.store(STORE);
    // On a busy machine a short-lived token may be over before anything is read with it.
    let (mut entries, mut last) = loop {
        let mut entries = read(&store, way, None);
        match entries.next().await.unwrap() {
            Ok(first) => break (entries, first),
            Err(error) => assert!(fault == Fault::TokenExpires, "{error}"),
        }
    };
    reading.store(true, Ordering::Relaxed);
    reconnected.store(0, Ordering::Relaxed);
    match fault {
        Fault::SocketDrop => relay.cut(),
        Fault::Restart => host = host.restart().await,
        // Tokens are good to the second.
        Fault::TokenExpires => tokio::time::sleep(Duration::from_millis(3100)).await,
    }
    let error = loop {
        match entries.next().await {
            Some(Ok(entry)) => {
                assert_eq!(entry.sequence, last.sequence + 1, "{way:?} {fault:?}");
                last = entry;
            }
            Some(Err(error)) => break error,
            // Over v2 it goes on behind its last entry. Over v1 one that was slower than its link does where its connection ended in
            // good order.
            None => {
                let goes_on = via != Via::V1 || fault != Fault::SocketDrop;
                let is_whole = last.sequence == ENTRIES && goes_on;
                assert!(
                    is_whole,
                    "a broken stream must not look like its end: {way:?} {fault:?}"
                );
                return host.stop().await;
            }
        }
    };
    assert!(
        last.sequence < ENTRIES,
        "{way:?} {fault:?}: it was over before the fault"
    );
    assert!(
        error.is_transient() || fault == Fault::TokenExpires,
        "{way:?} {fault:?}: {error:?}"
    );
    let rest: Vec<Entry> = read(&store, way, Some(&last)).try_collect().await.unwrap();
    let expected: Vec<u64> = (last.sequence + 1..=ENTRIES).collect();
    assert!(
        rest.iter().map(|entry| entry.sequence).eq(expected),
        "{way:?} {fault:?}"
    );
    assert_eq!(store.peek("s", "a").await.unwrap().unwrap().sequence, ENTRIES);
    assert_eq!(reconnected.load(Ordering::Relaxed), 1, "{way:?} {fault:?}");
    host.stop().await;
}

/// A server that answers the first request with frames of its own.
async fn scripted(via: Via, answers: impl Fn(&Frame) -> Vec<Vec<u8>> + Send + 'static) -> StoreClient {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await).await.unwrap();
        let first = socket.next().await.unwrap().unwrap();
        let request = Frame::decode(&first.into_data()).unwrap();
        for frame in answers(&request) {
            let text = String::from_utf8(frame).unwrap();
            socket.send(Message::Text(text.into())).await.unwrap();
        }
        while socket.next().await.is_some() {}
    });
    client.build().store(STORE)
}

const SPACE_NAMES: [&[u8]; 2] = [b"\"one\"", b"\"two\""];

async fn what_arrived_before_the_end_is_read_first_and_nothing_after_it(via: Via) {
    let store = scripted(via, |request| {
        let head = streamkit_protocol::FrameHead::new(request.store_id, request.channel_id);
        let mut frames: Vec<Vec<u8>> = SPACE_NAMES.iter().map(|name| head.data(name)).collect();
        frames.push(head.data(&Terminal::Close.encode()));
        frames.push(head.data(b"\"late\""));
        frames
    })
    .await;
    assert_eq!(store.spaces().await.unwrap(), ["one", "two"]);
}

async fn an_error_frame_is_an_error_and_no_end_of_stream(via: Via) {
    let store = scripted(via, |request| {
        let head = streamkit_protocol::FrameHead::new(request.store_id, request.channel_id);
        let mut frames: Vec<Vec<u8>> = SPACE_NAMES.iter().map(|name| head.data(name)).collect();
        frames.push(head.error(&Terminal::Error("access denied".to_owned()).encode()));
        frames
    })
    .await;
    let error = store.spaces().await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied), "{error:?}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_gone_though_it_is_pinged() {
    let limits = Limits {
        silence: Duration::from_millis(300),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peer = host.connect().await;
    let mut pings = 0;
    let closed = async {
        loop {
            match peer.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    assert_eq!(
                        Frame::decode(text.as_bytes()).unwrap().control,
                        streamkit_protocol::Control::Ping
                    );
                    pings += 1;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed)
        .await
        .expect("it is still connected");
    assert!(pings >= 2, "{pings}");
}

#[tokio::test]
async fn a_frame_that_is_longer_on_its_way_than_a_peer_may_be_silent_arrives() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let limits = Limits {
        silence: Duration::from_secs(1),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut tcp = crate::unread::raw(&host, &token(&["streamkit::*"])).await;
    let ping = crate::unread::masked(1, &Frame::connection(streamkit_protocol::Control::Ping).encode());
    for piece in ping.chunks(ping.len() / 12) {
        tcp.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("pong") {
        assert!(tcp.read_buf(&mut said).await.unwrap() > 0, "the connection ended");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let limits = Limits {
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut tcp = tokio::net::TcpStream::connect(host.url.trim_start_matches("ws://"))
        .await
        .unwrap();
    tcp.write_all(b"GET /streamz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut answer)).await;
    ended.expect("it is still connected").unwrap();
    // Others are served.
    host.connect().await.answers_ping().await;
}

over_both! {
    a_broken_read_ends_with_an_error_and_goes_on_without_gap_or_repeat
    what_arrived_before_the_end_is_read_first_and_nothing_after_it
    an_error_frame_is_an_error_and_no_end_of_stream
}

//! What a client sees when the link, the server or the token fails under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use streamkit_client::*;
use streamkit_protocol::{Frame, Terminal};
use streamkit_server_core::{Key, Limits};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{client, records};
use crate::peer::{Host, SECRET, STORE, token};
use crate::via::{Listener, Stream, Via, over_both, through};

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

/// Passes bytes on until it is told to drop the connections it has.
pub struct Relay {
    /// A client on the other side of it.
    pub client: Builder,
    cut: Arc<Notify>,
    stall: Arc<Notify>,
    shut: watch::Sender<bool>,
}

impl Relay {
    pub async fn start(host: &Host) -> Self {
        let (mut listener, client) = Listener::new(host.via).await;
        let (via, door) = (host.via, host.door.clone());
        let target = host.url.trim_start_matches("ws://").to_owned();
        let cut = Arc::new(Notify::new());
        let stall = Arc::new(Notify::new());
        let (shut, shuts) = watch::channel(false);
        let (cutting, stalling) = (cut.clone(), stall.clone());
        tokio::spawn(async move {
            loop {
                let near = listener.accept().await;
                let (target, door) = (target.clone(), door.clone());
                let faults = (cutting.clone(), stalling.clone());
                let mut shuts = shuts.clone();
                tokio::spawn(async move {
                    let _ = shuts.wait_for(|shut| !shut).await;
                    match via {
                        Via::Sockets | Via::V1 => relay(near, TcpStream::connect(target).await, faults).await,
                        Via::InProcess => relay(near, through(&door), faults).await,
                    }
                });
            }
        });
        Self {
            client,
            cut,
            stall,
            shut,
        }
    }

    /// From now on nothing passes over the connections it has, and they stay.
    pub fn stall(&self) {
        self.stall.notify_waiters();
    }

    /// From now on nothing passes, over those it has nor over others, until it opens.
    pub fn shut(&self) {
        self.shut.send_replace(true);
        self.stall();
    }

    /// Others pass from now on.
    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

async fn relay(mut near: Box<dyn Stream>, far: std::io::Result<impl Stream>, faults: (Arc<Notify>, Arc<Notify>)) {
    let (cut, stall) = faults;
    if let Ok(mut far) = far {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            () = cut.notified() => {}
            () = stall.notified() => cut.notified().await,
        }
    }
}

/// A connection that carries nothing any more, and that nobody closes, costs a few calls their time, not all that come.
#[tokio::test]
async fn a_connection_that_has_gone_silent_is_left() {
    let host = Host::start().await;
    let relay = Relay::start(&host).await;
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let client = client.timeout(Duration::from_millis(500)).build();
    let store = client.store(STORE);
    store.publish("s", "a", NewRecord::new("x")).await.unwrap();
    relay.stall();
    let mut silent = 0;
    while let Err(error) = store.spaces().await {
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        silent += 1;
        assert!(silent < 10, "it is not left");
    }
    assert!(silent > 0, "it was not silent");
    host.stop().await;
}

async fn calls_that_find_no_connection_share_one_dial(via: Via) {
    let host = Host::via(via).await;
    let asked = Arc::new(AtomicU32::new(0));
    let asking = asked.clone();
    let client = host
        .client()
        .token_source(move || {
            asking.fetch_add(1, Ordering::Relaxed);
            async { Ok(token(&["streamkit::*"])) }
        })
        .build();
    let store = client.store(STORE);
    let peeks = (0..50).map(|_| store.peek("s", "a"));
    let peeks = futures_util::future::join_all(peeks).await;
    assert!(peeks.into_iter().all(|peek| peek.unwrap().is_none()));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

async fn produces_under_a_stopping_server_end_and_keep_their_word(via: Via) {
    let host = Host::via(via).await;
    let client = host.client().retry(RetryPolicy::NEVER).build();
    let stopped = Arc::new(AtomicBool::new(false));
    let producers = (0..50).map(|n| {
        let (store, stopped) = (client.store(STORE), stopped.clone());
        tokio::spawn(async move {
            let (segment, mut acknowledged) = (format!("seg-{n:02}"), 0);
            while !stopped.load(Ordering::Relaxed) {
                match store.produce_all("s", &segment, acknowledged + 1, records(3)).await {
                    Ok(status) => acknowledged = status.last_sequence,
                    Err(_) => break,
                }
            }
            (segment, acknowledged)
        })
    });
    let producers: Vec<_> = producers.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let host = tokio::time::timeout(Duration::from_secs(20), host.restart())
        .await
        .unwrap();
    stopped.store(true, Ordering::Relaxed);
    let store = crate::client::client(&host).store(STORE);
    for producer in producers {
        let (segment, acknowledged) = tokio::time::timeout(Duration::from_secs(20), producer)
            .await
            .expect("a producer hangs")
            .unwrap();
        assert!(acknowledged > 0);
        let read = store.consume_segment(ConsumeSegment::all("s", &segment));
        let read: Vec<Entry> = read.try_collect().await.unwrap();
        assert!(
            read.len() as u64 >= acknowledged,
            "{segment}: {acknowledged} acknowledged"
        );
        assert_eq!(read.len() % 3, 0, "{segment}: half a chunk");
    }
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
    calls_that_find_no_connection_share_one_dial
    produces_under_a_stopping_server_end_and_keep_their_word
    what_arrived_before_the_end_is_read_first_and_nothing_after_it
    an_error_frame_is_an_error_and_no_end_of_stream
}

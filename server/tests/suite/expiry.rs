//! A session whose token expires: it begins no further calls, and those under way have a grace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use futures_util::TryStreamExt as _;
use streamkit_client::projection::Failure;
use streamkit_client::record::Entry;
use streamkit_client::{Client, ConsumeSegment, NewRecord};
use streamkit_engine::{Engine, EngineConfig};
use streamkit_protocol::{Control, Request, SubscribeToSegmentStatus, Terminal};
use streamkit_server_core::{Access, AccessError, Authenticate, Key, Limits, Scopes, Server};

use crate::fixture::{Via, over_v2};
use crate::peer::*;
use crate::served::projections::{Handled, InMemory, SOON, append, projection, until};

/// What a session that has expired answers a call with, of which it begins nothing.
fn expired() -> Terminal {
    Terminal::Error("the token expired".to_owned())
}

fn short_token(seconds: u64) -> String {
    let scopes = ["streamkit::*".to_owned()];
    Key::hs256(SECRET)
        .unwrap()
        .mint(&scopes, Duration::from_secs(seconds))
        .unwrap()
}

async fn with_grace(grace: Duration) -> Host {
    let limits = Limits {
        token_grace: grace,
        ..Limits::default()
    };
    Host::with_limits(limits).await
}

/// Calls until the session has expired.
async fn until_expired(peer: &mut Peer) {
    loop {
        let (_, end) = peer.call(&peek("s", "a")).await;
        if end == expired() {
            return;
        }
        assert_eq!(end, Terminal::Close);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn follow(segment: &str) -> Request {
    Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: segment.into(),
        heartbeat_interval_seconds: 0,
    })
}

#[tokio::test]
async fn a_call_under_way_completes_though_the_token_expires_and_the_session_ends_with_it() {
    let host = with_grace(Duration::from_secs(3600)).await;
    let mut peer = host.connect_with(&short_token(2)).await.unwrap();
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    until_expired(&mut peer).await;
    peer.send(head, record(2).as_bytes()).await;
    peer.send(head, &Terminal::Close.encode()).await;
    let (statuses, end) = peer.finish(head).await;
    assert_eq!((statuses.len(), end), (1, Terminal::Close));
    assert!(statuses[0].contains("\"last_sequence\":2"), "{}", statuses[0]);
    assert_eq!(peer.frame().await.unwrap().control, Control::Close);
    assert!(peer.frame().await.is_none());
}

#[tokio::test]
async fn a_call_under_way_ends_with_the_grace() {
    let host = with_grace(Duration::from_secs(1)).await;
    let mut peer = host.connect_with(&short_token(2)).await.unwrap();
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    assert_eq!(peer.finish(head).await, (vec![], refused("the token expired")));
    assert_eq!(peer.frame().await.unwrap().control, Control::Close);
    let mut other = host.connect().await;
    let (entries, _) = other.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!(entries.len(), 0, "what was not acknowledged is not stored");
}

/// A client whose calls are refused learns nothing from that; one whose connection closes dials again.
#[tokio::test]
async fn subscriptions_do_not_keep_a_session_that_takes_no_calls() {
    let host = with_grace(Duration::from_secs(3600)).await;
    let mut peer = host.connect_with(&short_token(2)).await.unwrap();
    let head = peer.open(&follow("*")).await;
    assert_eq!(peer.finish(head).await.1, refused("the token expired"));
    assert_eq!(peer.frame().await.unwrap().control, Control::Close);
}

/// Publishes one record after the other, until so many connections were made.
async fn publish(client: Client, segment: &str, connections: &AtomicU64) {
    let store = client.store(STORE);
    let mut published = 0;
    while connections.load(Ordering::Relaxed) < 4 {
        let status = store.publish("s", segment, NewRecord::new("x")).await.unwrap();
        published += 1;
        assert_eq!(status.last_sequence, published, "stored once");
        assert!(store.peek("s", segment).await.unwrap().is_some());
    }
}

async fn all_publish(client: &Client, connections: &AtomicU64) {
    let segments = ["a", "b", "c", "d"];
    futures_util::future::join_all(segments.map(|segment| publish(client.clone(), segment, connections))).await;
}

fn counted(client: streamkit_client::Builder) -> (Client, Arc<AtomicU64>) {
    let connections = Arc::<AtomicU64>::default();
    let count = connections.clone();
    let client = client.on_reconnected(move |connections| count.store(connections, Ordering::Relaxed));
    (client.build(), connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_fresh_tokens_loses_no_call() {
    let host = Host::start().await;
    let client = Client::builder(&host.url).token_source(async || Ok(short_token(2)));
    let (client, connections) = counted(client);
    all_publish(&client, &connections).await;
}

/// A read whose consumer is slower than the link goes on over the connection that comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_read_goes_on_though_the_token_expires_meanwhile() {
    let host = Host::start().await;
    let client = Client::builder(&host.url).token_source(async || Ok(short_token(3)));
    let (client, connections) = counted(client);
    let store = client.store(STORE);
    // More than a client keeps of what is sent ahead.
    let big = NewRecord::new(vec![b'x'; 1_000_000]);
    store.produce_all("s", "big", 1, vec![big; 40]).await.unwrap();
    for is_alone in [false, true] {
        let mut entries = store.consume_segment(ConsumeSegment::all("s", "big"));
        assert_eq!(entries.try_next().await.unwrap().unwrap().sequence, 1);
        let begun = connections.load(Ordering::Relaxed);
        match is_alone {
            // The server ends a session that nobody needs.
            true => tokio::time::sleep(Duration::from_millis(4100)).await,
            // The client has another one in time.
            false => {
                while connections.load(Ordering::Relaxed) < begun + 2 {
                    store.publish("s", "a", NewRecord::new("x")).await.unwrap();
                }
            }
        }
        for sequence in 2..=40 {
            assert_eq!(entries.try_next().await.unwrap().unwrap().sequence, sequence);
        }
        assert!(entries.try_next().await.unwrap().is_none());
    }
}

/// Lets everybody in, each for a moment.
struct Moments;

#[async_trait]
impl Authenticate for Moments {
    async fn authenticate(&self, _: &Parts) -> Result<Access, AccessError> {
        Ok(Access {
            scopes: Scopes::parse(["streamkit::*"]).unwrap(),
            expires_in: Duration::from_millis(200),
        })
    }
}

/// The clocks of client and server may differ, and a token may end before its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_know_when_its_session_expires_loses_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig::new(dir.path());
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let server = Server::new(Arc::new(engine.unwrap().unwrap()), Moments, Limits::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, connections) = counted(Client::builder(format!("ws://{}", listener.local_addr().unwrap())).token("x"));
    let accepting = server.clone();
    let serving = tokio::spawn(async move { accepting.serve(listener).await });
    all_publish(&client, &connections).await;
    serving.abort();
    server.shutdown().await;
}

/// Sessions end with their tokens, and the source of tokens is late with a fresh one.
async fn a_token_that_expires_is_replaced_even_if_the_next_comes_late(via: Via) {
    let host = with_grace(Duration::ZERO).await.by(via);
    let store = host.client().build().store(STORE);
    let source = Arc::new(Mutex::new(short_token(2)));
    let asked = source.clone();
    let client = host
        .client()
        .token_source(move || std::future::ready(Ok(asked.lock().unwrap().clone())))
        .retry(SOON);
    let handled = Handled::default();
    let counting = handled.clone();
    let handler = move |entry: Entry| {
        counting.add(&entry);
        std::future::ready(Ok::<(), Failure>(()))
    };
    append(&store, "a", &["1"]).await;
    let running = projection(&client.build().store(STORE)).start(handler, InMemory::default());
    until(&running, |progress| progress.handled == 1).await;
    until(&running, |progress| progress.begun_again > 0).await;
    append(&store, "a", &["2"]).await;
    *source.lock().unwrap() = short_token(3600);
    until(&running, |progress| progress.handled == 2).await;
    assert_eq!(handled.of("a"), [1, 2]);
    running.stop().await.unwrap();
    host.stop().await;
}

over_v2! {
    a_token_that_expires_is_replaced_even_if_the_next_comes_late
}

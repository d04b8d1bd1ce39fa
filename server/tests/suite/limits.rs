//! Limits that a peer meets: each is told, counted, and hinders nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use streamkit_engine::{Engine, EngineConfig, OpenError, StorageError, Store, StoreId, Stores};
use streamkit_protocol::{Request, SubscribeToSegmentStatus, SubscribeWorkers, Terminal};
use streamkit_server_core::{Key, Limits, Server};
use uuid::Uuid;

use crate::handshake::get;
use crate::peer::*;

/// How often a limit was met.
async fn hits(host: &Host, limit: &str) -> u64 {
    let text = host.server.metrics_text();
    let line = format!("streamkit_limits_hit_total{{limit=\"{limit}\"}} ");
    text.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap()
}

fn too_many() -> Terminal {
    Terminal::Error("too many active streams".to_owned())
}

fn follow() -> Request {
    Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: "a".into(),
        heartbeat_interval_seconds: 0,
    })
}

#[tokio::test]
async fn all_connections_together_have_so_many_channels_open_and_those_of_one_store_half() {
    let host = Host::with_limits(Limits {
        all_channels: 6,
        ..Limits::default()
    })
    .await;
    let (mut one, mut other) = (host.connect().await, host.connect().await);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(one.open(&produce("s", "a")).await);
    }
    one.answers_ping().await;
    assert_eq!(other.call(&Request::GetSpaces).await.1, too_many());
    assert_eq!(hits(&host, "all_channels").await, 1);
    let neighbour = other.open_in(Uuid::from_u128(2), &Request::GetSpaces).await;
    assert_eq!(other.finish(neighbour).await.1, Terminal::Close);
    one.send(open[0], &Terminal::Close.encode()).await;
    assert_eq!(one.finish(open[0]).await.1, Terminal::Close);
    while other.call(&Request::GetSpaces).await.1 != Terminal::Close {}
}

#[tokio::test]
async fn subscriptions_leave_channels_to_calls_and_half_of_them_to_other_stores() {
    let host = Host::with_limits(Limits {
        subscriptions: 4,
        ..Limits::default()
    })
    .await;
    let (mut one, mut other) = (host.connect().await, host.connect().await);
    assert_eq!(one.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    for _ in 0..2 {
        one.open(&follow()).await;
        one.frame().await.unwrap();
    }
    assert_eq!(other.call(&follow()).await.1, too_many());
    assert_eq!(hits(&host, "subscriptions").await, 1);
    assert_eq!(other.call(&Request::GetSpaces).await.1, Terminal::Close);
    let watch = Request::SubscribeWorkers(SubscribeWorkers::default());
    let watch = other.open_in(Uuid::from_u128(2), &watch).await;
    let inventory = other.frame().await.unwrap();
    assert_eq!(
        (inventory.channel_id, Terminal::decode(&inventory.message())),
        (watch.channel_id, None)
    );
}

#[tokio::test]
async fn one_tenant_has_half_of_all_connections() {
    let host = Host::with_limits(Limits {
        connections: 4,
        ..Limits::default()
    })
    .await;
    let [one, other] = [1, 2].map(|store| token(&[&format!("streamkit::{}", Uuid::from_u128(store))]));
    let _held = [
        host.connect_with(&one).await.unwrap(),
        host.connect_with(&one).await.unwrap(),
    ];
    assert!(host.connect_with(&one).await.is_err());
    assert_eq!(hits(&host, "connections").await, 1);
    let _another = (host.connect_with(&other).await.unwrap(), host.connect().await);
}

#[tokio::test]
async fn a_read_of_more_entries_than_one_may_have_never_looks_complete() {
    let host = Host::with_limits(Limits {
        consume_entries: 5,
        ..Limits::default()
    })
    .await;
    let mut peer = host.connect().await;
    let records: Vec<String> = (1..=6).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    peer.produce("s", "a", &records).await;
    let (entries, end) = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!(
        (entries.len(), end),
        (5, refused("a read has at most 5 entries: read on behind the last one"))
    );
    assert_eq!(hits(&host, "consume_entries").await, 1);
    for (from, limit) in [(2, 0), (1, 5)] {
        let read = streamkit_protocol::ConsumeSegment {
            min_sequence: from,
            limit,
            ..consume("s", "a")
        };
        let (entries, end) = peer.call(&Request::ConsumeSegment(read)).await;
        assert_eq!((entries.len(), end), (5, Terminal::Close));
    }
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_told_so() {
    let host = Host::with_limits(Limits {
        handshake_rate: 1,
        ..Limits::default()
    })
    .await;
    let mut peer = host.connect().await;
    let mut refused = 0;
    for _ in 0..30 {
        let answer = get(&host, "/healthz", "").await;
        refused += u64::from(answer.starts_with("HTTP/1.1 429 "));
    }
    assert!(
        refused > 0 && hits(&host, "handshake_rate").await == refused,
        "{refused}"
    );
    peer.answers_ping().await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_and_the_token_is_not_looked_at() {
    let host = Host::with_limits(Limits {
        origins: vec!["https://app.example".to_owned()],
        ..Limits::default()
    })
    .await;
    for (origin, status) in [
        ("Origin: https://evil.example\r\n", "403"),
        ("", "403"),
        ("Origin: https://app.example\r\n", "401"),
    ] {
        let answer = get(&host, "/streamz", origin).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {answer}");
    }
    assert!(get(&host, "/healthz", "").await.starts_with("HTTP/1.1 200 "));
}

/// Stores of which one opens and no other does, slowly.
struct Broken {
    engine: Engine,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Stores for Broken {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        if id == StoreId(STORE) {
            return Stores::store(&self.engine, id).await;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let path = "store".into();
        let source = Arc::new(std::io::Error::other("broken"));
        Err(StorageError::Io {
            operation: "open",
            path,
            source,
        }
        .into())
    }

    fn ready(&self) -> Result<(), StorageError> {
        self.engine.ready()
    }

    async fn close(&self) {
        self.engine.close().await;
    }
}

/// A server over such stores, and a peer of it.
async fn broken(pause: Duration) -> (Server, Peer, Arc<AtomicUsize>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig::new(dir.path());
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let asked = Arc::<AtomicUsize>::default();
    let broken = Broken {
        engine: engine.unwrap().unwrap(),
        asked: asked.clone(),
    };
    let limits = Limits {
        store_open_pause: pause,
        ..Limits::default()
    };
    let server = Server::new(Arc::new(broken), Key::hs256(SECRET).unwrap(), limits);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let accepting = server.clone();
    tokio::spawn(async move { accepting.serve(listener).await });
    let peer = connect(&url, &token(&["streamkit::*"])).await.unwrap();
    (server, peer, asked, dir)
}

/// After its pause one of many callers tries a store; the others are refused meanwhile.
#[tokio::test]
async fn behind_the_pause_of_a_circuit_breaker_one_of_many_tries() {
    let pause = Duration::from_secs(3);
    let (server, mut peer, asked, _dir) = broken(pause).await;
    let store = Uuid::from_u128(7);
    let unavailable = Terminal::Error("store unavailable".to_owned());
    for _ in 0..3 {
        let head = peer.open_in(store, &Request::GetSpaces).await;
        assert_eq!(peer.finish(head).await.1, unavailable);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    tokio::time::sleep(pause).await;
    for _ in 0..50 {
        peer.open_in(store, &Request::GetSpaces).await;
    }
    for _ in 0..50 {
        let frame = peer.frame().await.unwrap();
        assert_eq!(Terminal::decode(&frame.message()), Some(unavailable.clone()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4, "one tried");
    server.shutdown().await;
}

#[tokio::test]
async fn a_store_that_is_slow_to_open_keeps_no_other_of_its_connection_waiting() {
    let (server, mut peer, asked, _dir) = broken(Duration::ZERO).await;
    let slow = peer.open_in(Uuid::from_u128(7), &Request::GetSpaces).await;
    // Its answer comes behind this one, which was asked for later.
    assert_eq!(peer.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let end = peer.finish(slow).await.1;
    assert_eq!(end, Terminal::Error("store unavailable".to_owned()));
    server.shutdown().await;
}

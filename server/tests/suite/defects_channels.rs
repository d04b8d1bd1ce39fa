//! Channels that end, are refused, or get what they are not meant to get.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamkit_engine::{Engine, EngineConfig, OpenError, StorageError, Store, StoreId, Stores};
use streamkit_protocol::*;
use streamkit_server_core::Limits;
use uuid::Uuid;

use crate::budgets::metric;
use crate::peer::*;

/// Real stores. It remembers who was asked for, and fails as often as it is told.
struct Counting {
    engine: Engine,
    asked: Mutex<Vec<Uuid>>,
    failures: AtomicU32,
}

#[async_trait::async_trait]
impl Stores for Counting {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        self.asked.lock().unwrap().push(id.0);
        let fails = |left: u32| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails) {
            Ok(_) => Err(OpenError::Config("broken on purpose".into())),
            Err(_) => self.engine.store(id).await,
        }
    }
    fn ready(&self) -> Result<(), StorageError> {
        self.engine.ready()
    }
    async fn close(&self) {
        self.engine.close().await;
    }
}

async fn counting(limits: Limits) -> (Host, Arc<Counting>) {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig::new(dir.path());
    let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = opened.unwrap().unwrap();
    let stores = Arc::new(Counting {
        engine: engine.clone(),
        asked: Mutex::default(),
        failures: AtomicU32::new(0),
    });
    let host = Host::over(stores.clone(), engine, dir, limits, "127.0.0.1:0").await;
    (host, stores)
}

#[tokio::test]
async fn a_channel_that_is_refused_asks_for_no_store() {
    let (host, stores) = counting(Limits {
        channels: 1,
        ..Limits::default()
    })
    .await;
    let mut peer = host
        .connect_with(&token(&[
            &format!("streamkit::{STORE}"),
            &format!("streamkit::{}", Uuid::from_u128(8)),
        ]))
        .await
        .unwrap();
    let open = peer.open(&produce("s", "a")).await;
    // Beyond the limit; then of a store that the token does not open.
    for (store, why) in [(8, "too many active streams"), (9, "access denied")] {
        let head = peer.open_in(Uuid::from_u128(store), &peek("s", "a")).await;
        assert_eq!(peer.finish(head).await.1, Terminal::Error(why.into()));
    }
    peer.send(open, &Terminal::Close.encode()).await;
    assert_eq!(peer.finish(open).await.1, Terminal::Close);
    assert!(stores.asked.lock().unwrap().iter().all(|store| *store == STORE));
}

#[tokio::test]
async fn a_finished_call_gives_its_place_back() {
    let host = Host::with_limits(Limits {
        channels: 1,
        ..Limits::default()
    })
    .await;
    let mut peer = host.connect().await;
    peer.answers_pings = true;
    assert_eq!(peer.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    let segments = Request::GetSegments(GetSegments {
        space: "s".into(),
        ..Default::default()
    });
    let calls = [
        peek("s", "a"),
        Request::GetSpaces,
        segments,
        Request::ConsumeSegment(consume("s", "a")),
        Request::GetStatus(GetStatus::default()),
    ];
    for call in calls.iter().cycle().take(300) {
        let (answers, end) = peer.call(call).await;
        assert_eq!((answers.len(), end), (1, Terminal::Close), "{call:?}");
    }
}

#[tokio::test]
async fn a_store_that_opens_at_last_has_no_failures_behind_it() {
    let (host, stores) = counting(Limits::default()).await;
    let mut peer = host.connect().await;
    for _ in 0..3 {
        stores.failures.store(2, Ordering::Relaxed);
        for _ in 0..2 {
            let refused = peer.call(&peek("s", "a")).await.1;
            assert_eq!(refused, Terminal::Error("store unavailable".into()));
        }
        assert_eq!(peer.call(&peek("s", "a")).await.1, Terminal::Close);
    }
    assert_eq!(stores.asked.lock().unwrap().len(), 9, "each was tried");
}

#[tokio::test]
async fn what_comes_behind_an_error_of_the_peer_is_not_taken() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    let error = head.error(&Terminal::Error("gave up".into()).encode());
    peer.send_text(String::from_utf8(error).unwrap()).await;
    for behind in [record(1).into_bytes(), record(2).into_bytes(), Terminal::Close.encode()] {
        peer.send(head, &behind).await;
    }
    assert_eq!(peer.finish(head).await, (vec![], refused("remote error: gave up")));
    peer.answers_ping().await;
    assert!(peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":0,"));
}

/// Go servers close the older channel; a client of theirs never sends such a thing.
#[tokio::test]
async fn a_request_on_an_open_channel_is_input_of_that_channel_and_ends_it_once() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    peer.send(head, &peek("s", "a").encode()).await;
    let (messages, end) = peer.finish(head).await;
    assert!(messages.is_empty() && matches!(end, Terminal::CloseError(_)), "{end:?}");
    peer.answers_ping().await;
    assert!(peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":0,"));
}

#[tokio::test]
async fn what_a_silent_peer_has_open_ends_with_its_connection() {
    let host = Host::with_limits(Limits {
        silence: Duration::from_millis(400),
        ..Limits::default()
    })
    .await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    let follow = Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: "*".into(),
        heartbeat_interval_seconds: 1,
    });
    peer.open(&follow).await;
    // It hears, and what the server itself writes does not keep it alive.
    while peer.frame().await.is_some() {}
    while metric(&host, "streamkit_connections").await + metric(&host, "streamkit_subscriptions").await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(host.connect().await.call(&peek("s", "a")).await.0[0].contains("\"sequence\":0,"));
}

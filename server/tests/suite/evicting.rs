//! Who follows a store keeps it from no other: it is closed for those, and whoever follows it hears of the next commit all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamkit_engine::{Engine, EngineConfig, OpenError, Record, SegmentPath, StorageError, Store, StoreId, Stores};
use streamkit_protocol::*;
use streamkit_server_core::Limits;
use uuid::Uuid;

use crate::peer::*;

fn follow(segment: &str, heartbeat_interval_seconds: i64) -> Request {
    Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: segment.into(),
        heartbeat_interval_seconds,
    })
}

fn watch() -> Request {
    Request::SubscribeWorkers(SubscribeWorkers::default())
}

fn store(number: u128) -> Uuid {
    Uuid::from_u128(0x0b5e_0000 + number)
}

/// Stores that count how often they are asked for, and refuse for a while if they are told to.
struct Asked {
    engine: Engine,
    times: AtomicUsize,
    refuses: AtomicUsize,
}

#[async_trait::async_trait]
impl Stores for Asked {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        self.times.fetch_add(1, Ordering::SeqCst);
        match self.refuses.load(Ordering::SeqCst) {
            0 => self.engine.store(id).await,
            places => Err(OpenError::TooManyStores(places)),
        }
    }
    async fn store_to_read(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        self.engine.store_to_read(id).await
    }
    fn ready(&self) -> Result<(), StorageError> {
        self.engine.ready()
    }
    async fn close(&self) {
        self.engine.close().await;
    }
}

/// A server with places for so many stores.
async fn host(open_stores: usize) -> (Host, Arc<Asked>) {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig {
        open_stores,
        ..EngineConfig::new(dir.path())
    };
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = engine.unwrap().unwrap();
    let stores = Arc::new(Asked {
        engine: engine.clone(),
        times: AtomicUsize::new(0),
        refuses: AtomicUsize::new(0),
    });
    let host = Host::over(stores.clone(), engine, dir, Limits::default(), "127.0.0.1:0").await;
    (host, stores)
}

async fn append(peer: &mut Peer, store: Uuid, segment: &str, sequence: u64) {
    let head = peer.open_in(store, &produce("s", segment)).await;
    peer.send(head, record(sequence).as_bytes()).await;
    peer.send(head, &Terminal::Close.encode()).await;
    assert_eq!(peer.finish(head).await.1, Terminal::Close);
}

/// The next status, of a segment: its name and last sequence.
async fn told(peer: &mut Peer) -> (String, u64) {
    let message = peer.frame().await.expect("the connection ended").message().to_vec();
    let status = SegmentStatus::decode(&message).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&message)));
    (status.segment, status.last_sequence)
}

/// What each subscription heard last of each segment.
type Heads = BTreeMap<(String, Uuid), u64>;

/// The next status, which does not go back.
async fn hears_one(peer: &mut Peer, heads: &mut Heads) {
    let frame = peer.frame().await.expect("the connection ended");
    let channel = frame.channel_id;
    let status = SegmentStatus::decode(&frame.message()).unwrap();
    let last = status.last_sequence;
    let before = heads.insert((status.segment, channel), last).unwrap_or(0);
    assert!(before <= last, "{before} before {last}");
}

/// Statuses, until all subscriptions have heard what they have to.
async fn hears(peer: &mut Peer, heads: &mut Heads, expected: &[(&str, u64)]) {
    while !heads
        .iter()
        .map(|((segment, _), last)| (&**segment, *last))
        .eq(expected.iter().copied())
    {
        hears_one(peer, heads).await;
    }
}

/// Has one store after the other opened, so that all others are closed.
async fn evict(peer: &mut Peer, stores: std::ops::Range<u128>) {
    for number in stores {
        append(peer, store(number), "evicts", 1).await;
    }
}

#[tokio::test]
async fn followers_of_more_stores_than_may_be_open_keep_none_of_them_and_hear_of_all() {
    let (host, _) = host(2).await;
    let mut followers = Vec::new();
    for number in 1..=5 {
        let scope = format!("streamkit::{}", store(number));
        let mut follower = host.connect_with(&token(&[&scope])).await.unwrap();
        append(&mut follower, store(number), "a", 1).await;
        let mut heads = Heads::new();
        follower.open_in(store(number), &follow("a", 0)).await;
        follower.open_in(store(number), &follow("*", 0)).await;
        hears(&mut follower, &mut heads, &[("a", 1), ("a", 1)]).await;
        followers.push((follower, heads));
    }
    let mut peer = host.connect().await;
    append(&mut peer, store(6), "a", 1).await;
    let head = peer.open_in(store(6), &peek("s", "a")).await;
    assert_eq!(peer.finish(head).await.1, Terminal::Close);
    for round in 2..=3 {
        for (number, (follower, heads)) in (1..).zip(&mut followers) {
            append(&mut peer, store(number), "a", round).await;
            hears(follower, heads, &[("a", round), ("a", round)]).await;
        }
    }
    for (number, (follower, heads)) in (1..).zip(&mut followers) {
        append(&mut peer, store(number), "b", 1).await;
        hears(follower, heads, &[("a", 3), ("a", 3), ("b", 1)]).await;
        follower.answers_ping().await;
    }
    host.stop().await;
}

#[tokio::test]
async fn who_looks_at_the_workers_of_a_store_keeps_it_from_no_other() {
    let (host, _) = host(1).await;
    let mut observers = Vec::new();
    for number in 1..=3 {
        let mut observer = host.connect().await;
        observer.open_in(store(number), &watch()).await;
        let inventory = observer.frame().await.unwrap().message().to_vec();
        assert!(matches!(
            WorkerMessage::decode(&inventory),
            Ok(WorkerMessage::Inventory(_))
        ));
        observers.push(observer);
    }
    append(&mut host.connect().await, store(4), "a", 1).await;
    for observer in &mut observers {
        observer.answers_ping().await;
    }
    host.stop().await;
}

#[tokio::test]
async fn a_closed_store_is_opened_for_its_followers_only_when_there_is_something_to_tell() {
    let (host, stores) = host(1).await;
    let mut peer = host.connect().await;
    let mut follower = host.connect().await;
    append(&mut peer, store(1), "a", 1).await;
    follower.open_in(store(1), &follow("*", 1)).await;
    assert_eq!(told(&mut follower).await, ("a".to_owned(), 1));
    evict(&mut peer, 2..4).await;
    assert_eq!(told(&mut follower).await, ("*".to_owned(), 0), "a heartbeat");
    let before = stores.times.load(Ordering::SeqCst);
    // For longer than any time after which it might be looked at.
    for _ in 0..7 {
        assert_eq!(told(&mut follower).await, ("*".to_owned(), 0));
    }
    assert_eq!(stores.times.load(Ordering::SeqCst), before);
    // Whoever reads it has it opened, and nothing is new.
    let head = peer.open_in(store(1), &peek("s", "a")).await;
    assert_eq!(peer.finish(head).await.1, Terminal::Close);
    evict(&mut peer, 4..6).await;
    assert_eq!(told(&mut follower).await, ("*".to_owned(), 0));
    append(&mut peer, store(1), "b", 1).await;
    while told(&mut follower).await != ("b".to_owned(), 1) {}
    host.stop().await;
}

#[tokio::test]
async fn what_is_appended_beside_the_server_to_a_closed_store_is_heard_too() {
    let (host, _) = host(1).await;
    let mut peer = host.connect().await;
    let mut follower = host.connect().await;
    // Nothing is there yet.
    follower.open_in(store(1), &follow("a", 0)).await;
    follower.answers_ping().await;
    for sequence in 1..=2 {
        evict(&mut peer, 2 * u128::from(sequence)..2 * u128::from(sequence) + 2).await;
        let head = peer.open_in(store(1), &peek("s", "a")).await;
        assert_eq!(peer.finish(head).await.1, Terminal::Close);
        let beside = host.engine.store(StoreId(store(1))).await.unwrap();
        let path = SegmentPath::new("s", "a").unwrap();
        beside.publish(&path, vec![Record::new("x")]).await.unwrap();
        drop(beside);
        assert_eq!(told(&mut follower).await, ("a".to_owned(), sequence));
    }
    host.stop().await;
}

#[tokio::test]
async fn a_follower_whose_store_has_no_place_hears_heartbeats_and_the_news_when_it_has_one() {
    let (host, stores) = host(1).await;
    let mut peer = host.connect().await;
    let mut follower = host.connect().await;
    append(&mut peer, store(1), "a", 1).await;
    follower.open_in(store(1), &follow("a", 1)).await;
    assert_eq!(told(&mut follower).await, ("a".to_owned(), 1));
    evict(&mut peer, 2..3).await;
    stores.refuses.store(1, Ordering::SeqCst);
    let beside = host.engine.store(StoreId(store(1))).await.unwrap();
    let path = SegmentPath::new("s", "a").unwrap();
    beside.publish(&path, vec![Record::new("x")]).await.unwrap();
    drop(beside);
    let before = stores.times.load(Ordering::SeqCst);
    while stores.times.load(Ordering::SeqCst) < before + 2 {
        assert_eq!(told(&mut follower).await, ("a".to_owned(), 0), "a heartbeat");
    }
    stores.refuses.store(0, Ordering::SeqCst);
    while told(&mut follower).await != ("a".to_owned(), 2) {}
    host.stop().await;
}

#[tokio::test]
async fn followers_of_a_store_that_is_deleted_or_damaged_while_it_is_closed_are_told_so() {
    type Harm = fn(&std::path::Path);
    let deleted: Harm = |store| std::fs::remove_dir_all(store).unwrap();
    let damaged: Harm = |store| {
        for file in std::fs::read_dir(store).unwrap() {
            std::fs::write(file.unwrap().path(), [0xff; 8192]).unwrap();
        }
    };
    let produces = || produce("s", "a");
    let reads = || peek("s", "a");
    for (harm, asks, opens) in [
        (deleted, produces as fn() -> Request, true),
        (deleted, reads, true),
        (damaged, produces, false),
        (damaged, reads, false),
    ] {
        let (host, _) = host(1).await;
        let mut peer = host.connect().await;
        let mut follower = host.connect().await;
        append(&mut peer, store(1), "a", 1).await;
        follower.open_in(store(1), &follow("a", 0)).await;
        assert_eq!(told(&mut follower).await, ("a".to_owned(), 1));
        evict(&mut peer, 2..4).await;
        harm(&host.data().join("stores").join(store(1).to_string()));
        let head = peer.open_in(store(1), &asks()).await;
        peer.send(head, &Terminal::Close.encode()).await;
        peer.finish(head).await;
        let frame = follower.frame().await.unwrap();
        assert_eq!(frame.control, Control::Error);
        let end = Terminal::decode(&frame.message());
        assert_eq!(end, Some(Terminal::Error("store unavailable".into())));
        // Where it opens again, as another one, it can be followed again.
        if opens {
            append(&mut peer, store(1), "a", 1).await;
            follower.open_in(store(1), &follow("a", 0)).await;
            assert_eq!(told(&mut follower).await, ("a".to_owned(), 1));
            append(&mut peer, store(1), "a", 2).await;
            assert_eq!(told(&mut follower).await, ("a".to_owned(), 2));
        }
        host.stop().await;
    }
}

/// Stores are closed and opened all the time, also while they are written to and first statuses are made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_status_is_lost_or_goes_back_where_stores_are_closed_all_the_time() {
    const STORES: u128 = 6;
    const ENTRIES: u64 = 20;
    let (host, _) = host(2).await;
    let (mut peer, engine) = (host.connect().await, host.engine.clone());
    peer.answers_pings = true;
    let writing = tokio::spawn(async move {
        for sequence in 1..=ENTRIES {
            for number in 0..STORES {
                append(&mut peer, store(number), "a", sequence).await;
            }
        }
    });
    let writing_beside = tokio::spawn(async move {
        for _ in 1..=ENTRIES {
            for number in (0..STORES).rev() {
                let beside = engine.store(StoreId(store(number))).await.unwrap();
                let path = SegmentPath::new("s", "b").unwrap();
                beside.publish(&path, vec![Record::new("x")]).await.unwrap();
            }
        }
    });
    let all = (0..STORES).flat_map(|number| ["a", "b", "*"].map(|segment| (number, segment)));
    let followers = all.map(|(number, segment)| {
        let url = host.url.clone();
        tokio::spawn(async move {
            let mut peer = connect(&url, &token(&["streamkit::*"])).await.unwrap();
            peer.answers_pings = true;
            let mut heads = Heads::new();
            let segments = if segment == "*" { 2 } else { 1 };
            let mut subscriptions = 0;
            while subscriptions < 5 || heads.len() < 5 * segments || heads.values().any(|head| *head < ENTRIES) {
                if subscriptions < 5 {
                    peer.open_in(store(number), &follow(segment, 0)).await;
                    subscriptions += 1;
                }
                hears_one(&mut peer, &mut heads).await;
            }
        })
    });
    for follower in followers.collect::<Vec<_>>() {
        follower.await.unwrap();
    }
    writing.await.unwrap();
    writing_beside.await.unwrap();
    let evicted = host.engine.figures().unwrap().evicted_stores;
    assert!(evicted >= ENTRIES, "only {evicted} stores were closed");
    host.stop().await;
}

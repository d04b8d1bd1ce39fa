//! What can be seen of what was committed: all of it, at once, by everybody, and nothing twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use streamkit_client::{Entry as Read, NewRecord};
use streamkit_engine::{Engine, EngineConfig, StoreId, Stores as _, TailMark};
use streamkit_protocol::*;
use streamkit_server_core::{Hint, Key, Limits, MessageBus, Server};
use tokio::sync::watch;
use uuid::Uuid;

use crate::peer::*;
use crate::served::client::client;

const OTHER: Uuid = Uuid::from_u128(0x0b5e_77ed);

fn follow(space: &str, segment: &str) -> Request {
    Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: space.into(),
        segment: segment.into(),
        heartbeat_interval_seconds: 0,
    })
}

fn space(name: &str) -> Request {
    Request::ConsumeSpace(ConsumeSpace {
        space: name.into(),
        ..Default::default()
    })
}

fn list(name: &str) -> Request {
    Request::GetSegments(GetSegments {
        space: name.into(),
        ..Default::default()
    })
}

async fn told(peer: &mut Peer) -> SegmentStatus {
    let frame = peer.frame().await.expect("the connection ended");
    SegmentStatus::decode(&frame.message()).unwrap()
}

async fn append(peer: &mut Peer, space: &str, segment: &str, sequence: u64) {
    let (statuses, end) = peer.produce(space, segment, &[&record(sequence)]).await;
    assert_eq!((statuses.len(), end), (1, Terminal::Close));
}

#[tokio::test]
async fn a_produce_that_waits_for_input_hides_nothing_and_holds_up_nobody() {
    let host = Host::start().await;
    let (mut waiting, mut peer) = (host.connect().await, host.connect().await);
    append(&mut peer, "s", "before", 1).await;
    let open = waiting.open(&produce("s", "waiting")).await;
    waiting.send(open, record(1).as_bytes()).await;
    waiting.answers_ping().await;
    append(&mut peer, "s", "a", 1).await;
    assert!(peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":1,"));
    assert_eq!(peer.call(&space("s")).await.0.len(), 2);
    // In the segment itself, too: whoever waits has no claim to it.
    let status = client(&host).store(STORE).publish("s", "a", NewRecord::new("x")).await;
    assert_eq!(status.unwrap().last_sequence, 2);
    let mut follower = host.connect().await;
    follower.open(&follow("s", "*")).await;
    assert_eq!(told(&mut follower).await.segment, "a");
    assert_eq!(told(&mut follower).await.segment, "before");
    waiting.send(open, &Terminal::Close.encode()).await;
    assert_eq!(waiting.finish(open).await.1, Terminal::Close);
    assert_eq!(told(&mut follower).await.segment, "waiting");
}

/// By a producer that was answered, and by a follower that was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_of_a_commit_can_read_it() {
    let host = Host::start().await;
    let (mut producer, mut reader, mut follower) = (host.connect().await, host.connect().await, host.connect().await);
    producer.answers_pings = true;
    follower.open(&follow("s", "*")).await;
    follower.answers_ping().await;
    let mut offset = LexKey::default();
    for sequence in 1..=150 {
        let (statuses, _) = producer.produce("s", "a", &[&record(sequence)]).await;
        assert_eq!(statuses.len(), 1);
        let last = Entry::decode(reader.call(&peek("s", "a")).await.0[0].as_bytes()).unwrap();
        assert_eq!(last.sequence, sequence);
        // Behind the last offset of the space, where a hole would stay a hole.
        let new = Request::ConsumeSpace(ConsumeSpace {
            space: "s".into(),
            offset: offset.clone(),
            ..Default::default()
        });
        let new = reader.call(&new).await.0;
        let new: Vec<Entry> = new.iter().map(|one| Entry::decode(one.as_bytes()).unwrap()).collect();
        assert!(new.iter().map(|entry| entry.sequence).eq([sequence]));
        offset = SpaceOffset {
            space: "s".into(),
            timestamp: last.timestamp,
            segment: "a".into(),
            sequence,
        }
        .encode();
        let heard = told(&mut follower).await.last_sequence;
        let read = Request::ConsumeSegment(ConsumeSegment {
            min_sequence: heard,
            ..consume("s", "a")
        });
        assert!(!reader.call(&read).await.0.is_empty(), "told {heard}");
    }
}

/// In whatever order their segments sort, and however many share a millisecond.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_keeps_offsets_misses_nothing_of_many_writers_and_reads_nothing_twice() {
    const EACH: u64 = 150;
    let host = Host::start().await;
    let writers = ["z", "y", "m", "c", "b", "a"].map(|segment| {
        let store = client(&host).store(STORE);
        tokio::spawn(async move {
            for sequence in 1..=EACH {
                let one = [NewRecord::new("x")];
                store.produce_all("s", segment, sequence, one).await.unwrap();
            }
        })
    });
    let store = client(&host).store(STORE);
    let (mut offset, mut heads) = (LexKey::default(), std::collections::BTreeMap::<String, u64>::new());
    let reading = async {
        while heads.values().sum::<u64>() < EACH * 6 {
            let new = store.consume_space(streamkit_client::ConsumeSpace {
                after: offset.clone(),
                ..streamkit_client::ConsumeSpace::all("s")
            });
            for entry in new.try_collect::<Vec<Read>>().await.unwrap() {
                offset = entry.offset();
                let head = heads.entry(entry.segment).or_default();
                assert_eq!(entry.sequence, *head + 1);
                *head += 1;
            }
        }
    };
    tokio::time::timeout(2 * PATIENCE, reading)
        .await
        .expect("something was skipped");
    for done in join_all(writers).await {
        done.unwrap();
    }
    assert!(
        heads.len() == 6 && heads.values().all(|head| *head == EACH),
        "{heads:?}"
    );
}

#[tokio::test]
async fn a_segment_whose_first_produce_failed_is_listed_once_it_is_there() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let failed = peer.produce("s", "a", &[&record(7)]).await;
    assert_eq!(failed, (vec![], refused("sequence gap: expected 1, got 7")));
    for listed in [&Request::GetSpaces, &list("s")] {
        assert!(peer.call(listed).await.0.is_empty(), "nothing is there yet");
    }
    append(&mut peer, "s", "a", 1).await;
    assert_eq!(peer.call(&Request::GetSpaces).await.0, ["\"s\""]);
    assert_eq!(peer.call(&list("s")).await.0, ["\"a\""]);
    peer.open(&follow("s", "*")).await;
    assert_eq!(told(&mut peer).await.segment, "a");
}

#[tokio::test]
async fn a_time_below_leaves_out_what_is_older_and_ends_no_read() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let mut times = Vec::new();
    for sequence in 1..=3 {
        append(&mut peer, "s", "a", sequence).await;
        let last = Entry::decode(peer.call(&peek("s", "a")).await.0[0].as_bytes()).unwrap();
        times.push(last.timestamp);
        // A commit of the next millisecond, at the earliest.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    assert!(times.is_sorted_by(|one, next| one < next));
    let offset = SpaceOffset {
        space: "s".into(),
        timestamp: times[0],
        segment: "a".into(),
        sequence: 1,
    };
    for (min_timestamp, expected) in [(times[0] - 1, 3), (times[0], 2), (times[1], 1), (times[2], 0)] {
        let reads = [
            Request::ConsumeSegment(ConsumeSegment {
                min_timestamp,
                ..consume("s", "a")
            }),
            Request::ConsumeSpace(ConsumeSpace {
                space: "s".into(),
                min_timestamp,
                ..Default::default()
            }),
            Request::Consume(Consume {
                offsets: [("s".to_owned(), LexKey::default())].into(),
                min_timestamp,
                ..Default::default()
            }),
        ];
        for read in reads {
            assert_eq!(peer.call(&read).await.0.len(), expected, "{read:?}");
        }
        // An offset that is older than the time.
        let behind = Request::ConsumeSpace(ConsumeSpace {
            space: "s".into(),
            offset: offset.encode(),
            min_timestamp,
            ..Default::default()
        });
        assert_eq!(peer.call(&behind).await.0.len(), expected.min(2));
    }
}

#[tokio::test]
async fn a_null_record_freezes_nothing() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    for _ in 0..20 {
        let (statuses, end) = peer.produce("s", "a", &["null"]).await;
        assert!(statuses.is_empty() && matches!(end, Terminal::CloseError(_)), "{end:?}");
    }
    for segment in ["a", "b"] {
        append(&mut peer, "s", segment, 1).await;
        assert!(peer.call(&peek("s", segment)).await.0[0].contains("\"sequence\":1,"));
    }
    assert_eq!(peer.call(&space("s")).await.0.len(), 2);
    peer.open(&follow("s", "b")).await;
    assert_eq!(told(&mut peer).await.last_sequence, 1);
}

#[tokio::test]
async fn names_that_begin_alike_are_told_apart_by_every_verb() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    for (space, segment, entries) in [("a", "order-1", 1), ("a", "order-12", 3), ("ab", "order-1", 2)] {
        for sequence in 1..=entries {
            append(&mut peer, space, segment, sequence).await;
        }
    }
    let last = Entry::decode(peer.call(&peek("a", "order-1")).await.0[0].as_bytes()).unwrap();
    assert_eq!((last.sequence, &*last.segment), (1, "order-1"));
    assert_eq!(
        peer.call(&Request::ConsumeSegment(consume("a", "order-1")))
            .await
            .0
            .len(),
        1
    );
    assert_eq!(peer.call(&space("a")).await.0.len(), 4);
    assert_eq!(peer.call(&list("a")).await.0, ["\"order-1\"", "\"order-12\""]);
    let status = Request::GetStatus(GetStatus {
        space: "a".into(),
        ..Default::default()
    });
    let status = Status::decode(peer.call(&status).await.0[0].as_bytes()).unwrap();
    assert_eq!((status.segment_count, status.entry_count), (2, 4));
    let mut follower = host.connect().await;
    follower.open(&follow("a", "order-1")).await;
    assert_eq!(told(&mut follower).await.last_sequence, 1);
    append(&mut peer, "a", "order-12", 4).await;
    append(&mut peer, "ab", "order-1", 3).await;
    append(&mut peer, "a", "order-1", 2).await;
    assert_eq!(told(&mut follower).await.last_sequence, 2);
    let delete = Request::Delete(Delete {
        space: "a".into(),
        segment: "order-1".into(),
    });
    assert_eq!(peer.call(&delete).await.1, Terminal::Close);
    assert_eq!(peer.call(&list("a")).await.0, ["\"order-12\""]);
    assert!(peer.call(&peek("ab", "order-1")).await.0[0].contains("\"sequence\":3,"));
}

#[tokio::test]
async fn a_store_that_is_closed_for_another_loses_neither_its_followers_nor_its_leases() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig {
        open_stores: 1,
        ..EngineConfig::new(dir.path())
    };
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = engine.unwrap().unwrap();
    let host = Host::over(Arc::new(engine.clone()), engine, dir, Limits::default(), "127.0.0.1:0").await;
    let (mut peer, mut follower) = (host.connect().await, host.connect().await);
    append(&mut peer, "s", "a", 1).await;
    let acquire = |holder: &str| {
        Request::LeaseAcquire(LeaseAcquire {
            key: "k".into(),
            holder: holder.into(),
            ttl_seconds: 600,
        })
    };
    let granted = peer.call(&acquire("one")).await.0;
    follower.open(&follow("s", "a")).await;
    assert_eq!(told(&mut follower).await.last_sequence, 1);
    let other = peer.open_in(OTHER, &produce("s", "a")).await;
    peer.send(other, record(1).as_bytes()).await;
    peer.send(other, &Terminal::Close.encode()).await;
    assert_eq!(peer.finish(other).await.1, Terminal::Close, "it gave its place away");
    append(&mut peer, "s", "a", 2).await;
    assert_eq!(told(&mut follower).await.last_sequence, 2);
    assert_eq!(peer.call(&acquire("two")).await.0, ["{\"ok\":false}"]);
    let again = peer.call(&acquire("one")).await.0;
    assert_eq!(
        LeaseResult::decode(again[0].as_bytes()).unwrap().ok,
        LeaseResult::decode(granted[0].as_bytes()).unwrap().ok
    );
    host.stop().await;
}

/// Says nothing, and is dead for those who listen.
struct DeadBus;

impl MessageBus for DeadBus {
    fn announce(&self, _: StoreId, _: TailMark) {}
    fn listen(&self, _: StoreId) -> watch::Receiver<Hint> {
        watch::Sender::new(Hint::default()).subscribe()
    }
}

#[tokio::test]
async fn a_bus_that_is_dead_fails_no_append_and_those_who_follow_hear_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig::new(dir.path());
    let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = opened.unwrap().unwrap();
    let key = Key::hs256(SECRET).unwrap();
    let server = Server::on_bus(Arc::new(engine.clone()), key, Limits::default(), Arc::new(DeadBus));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let accepting = server.clone();
    let serving = tokio::spawn(async move { accepting.serve(listener).await });
    let all = token(&["streamkit::*"]);
    let (mut peer, mut follower) = (connect(&url, &all).await.unwrap(), connect(&url, &all).await.unwrap());
    follower.open(&follow("s", "a")).await;
    for sequence in 1..=10 {
        append(&mut peer, "s", "a", sequence).await;
    }
    while told(&mut follower).await.last_sequence < 10 {}
    serving.abort();
    server.shutdown().await;
    engine.close().await;
}

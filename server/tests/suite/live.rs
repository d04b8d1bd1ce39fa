//! What is told as it happens: statuses of segments and spaces that are followed, workers that come and go, leases.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_engine::{SegmentAppend, SegmentPath, Sequence, StoreId, Stores as _, Transaction};
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

fn workers(worker_id: Uuid, heartbeat_interval_seconds: i64) -> Request {
    Request::SubscribeWorkers(SubscribeWorkers {
        worker_id,
        metadata: [("role".to_owned(), "test".to_owned())].into(),
        heartbeat_interval_seconds,
    })
}

/// The next message of a channel.
async fn next(peer: &mut Peer, head: FrameHead) -> Vec<u8> {
    let frame = peer.frame().await.expect("the connection ended");
    assert_eq!(frame.channel_id, head.channel_id);
    frame.message().to_vec()
}

async fn status(peer: &mut Peer, head: FrameHead) -> SegmentStatus {
    SegmentStatus::decode(&next(peer, head).await).unwrap()
}

async fn inventory(peer: &mut Peer, head: FrameHead) -> Vec<u128> {
    loop {
        if let WorkerMessage::Inventory(inventory) = WorkerMessage::decode(&next(peer, head).await).unwrap() {
            return inventory
                .workers
                .iter()
                .map(|worker| worker.worker_id.as_u128())
                .collect();
        }
    }
}

async fn append(host: &Host, segment: &str, first: u64) {
    let mut peer = host.connect().await;
    let (statuses, end) = peer.produce("s", segment, &[&record(first)]).await;
    assert_eq!((statuses.len(), end), (1, Terminal::Close));
}

#[tokio::test]
async fn a_follower_of_a_segment_hears_what_is_and_what_becomes_of_it_alone() {
    let host = Host::start().await;
    append(&host, "a", 1).await;
    append(&host, "a1", 1).await;
    let mut peer = host.connect().await;
    let head = peer.open(&follow("a", 0)).await;
    assert_eq!(status(&mut peer, head).await.last_sequence, 1);
    append(&host, "a1", 2).await;
    append(&host, "a", 2).await;
    let told = status(&mut peer, head).await;
    assert_eq!((&*told.segment, told.first_sequence, told.last_sequence), ("a", 1, 2));
    assert!(!told.heartbeat && told.last_timestamp >= told.first_timestamp);
    // As Go clients do when they have enough.
    peer.send(head, &Terminal::CloseError("context canceled".into()).encode())
        .await;
    assert_eq!(peer.finish(head).await, (vec![], refused("context canceled")));
    append(&host, "a", 3).await;
    peer.answers_ping().await;
}

#[tokio::test]
async fn a_follower_of_a_space_hears_all_of_it_by_name_and_then_each_that_changes() {
    let host = Host::start().await;
    for segment in ["b", "a", "c"] {
        append(&host, segment, 1).await;
    }
    let mut peer = host.connect().await;
    let head = peer.open(&follow("*", 0)).await;
    for segment in ["a", "b", "c"] {
        assert_eq!(status(&mut peer, head).await.segment, segment);
    }
    append(&host, "new", 1).await;
    append(&host, "b", 2).await;
    let mut heads = BTreeMap::new();
    while heads.len() < 2 {
        let told = status(&mut peer, head).await;
        heads.insert(told.segment, told.last_sequence);
    }
    assert_eq!(heads, [("b".to_owned(), 2), ("new".to_owned(), 1)].into());
}

#[tokio::test]
async fn what_is_appended_beside_the_server_is_heard_too() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = peer.open(&follow("a", 0)).await;
    peer.answers_ping().await;
    let store = host.engine.store(StoreId(STORE)).await.unwrap();
    let path = SegmentPath::new("s", "a").unwrap();
    store
        .publish(&path, vec![streamkit_engine::Record::new("x")])
        .await
        .unwrap();
    assert_eq!(status(&mut peer, head).await.last_sequence, 1);
}

#[tokio::test]
async fn heartbeats_come_at_once_and_name_what_is_followed() {
    let host = Host::start().await;
    append(&host, "a", 1).await;
    let mut peer = host.connect().await;
    let head = peer.open(&follow("*", 1)).await;
    assert!(!status(&mut peer, head).await.heartbeat, "the snapshot comes first");
    for _ in 0..2 {
        let told = status(&mut peer, head).await;
        let expected = SegmentStatus {
            space: "s".into(),
            segment: "*".into(),
            heartbeat: true,
            ..Default::default()
        };
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_slow_follower_hears_the_newest_status_of_each_segment_and_keeps_nobody_waiting() {
    const SEGMENTS: u64 = 2000;
    let host = Host::start().await;
    let mut slow = host.connect().await;
    let head = slow.open(&follow("*", 0)).await;
    slow.answers_ping().await;
    let store = host.engine.store(StoreId(STORE)).await.unwrap();
    // All of them in one commit, so that a slow disk does not make the peer too slow.
    for round in 1..=5 {
        let segments = (0..SEGMENTS).map(|segment| SegmentAppend {
            path: SegmentPath::new("s", &format!("{segment} {}", "long".repeat(100))).unwrap(),
            first_sequence: Sequence(round),
            records: vec![streamkit_engine::Record::new("x")],
        });
        let transaction = Transaction {
            id: Uuid::new_v4(),
            segments: segments.collect(),
            fence: None,
            conditions: Vec::new(),
        };
        store.append(transaction).await.unwrap();
    }
    let mut heads = BTreeMap::new();
    while heads.len() < SEGMENTS as usize || heads.values().any(|head| *head < 5) {
        let told = status(&mut slow, head).await;
        let before = heads.insert(told.segment, told.last_sequence).unwrap_or(0);
        assert!(before <= told.last_sequence, "no status goes back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_status_goes_back_also_where_a_snapshot_is_made_while_it_changes() {
    let host = Host::start().await;
    let store = host.engine.store(StoreId(STORE)).await.unwrap();
    let appending = tokio::spawn(async move {
        for _ in 0..150 {
            for segment in 0..6 {
                let path = SegmentPath::new("s", &segment.to_string()).unwrap();
                store
                    .publish(&path, vec![streamkit_engine::Record::new("x")])
                    .await
                    .unwrap();
            }
        }
    });
    let mut peer = host.connect().await;
    let mut heads: BTreeMap<(Uuid, String), u64> = BTreeMap::new();
    while !appending.is_finished() {
        let head = peer.open(&follow("*", 0)).await;
        for _ in 0..20 {
            let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(200), peer.frame()).await else {
                break;
            };
            let channel = frame.channel_id;
            let message = frame.message();
            if Terminal::decode(&message).is_some() {
                continue;
            }
            let told = SegmentStatus::decode(&message).unwrap();
            let before = heads.insert((channel, told.segment), told.last_sequence).unwrap_or(0);
            assert!(before <= told.last_sequence, "{before} before {}", told.last_sequence);
        }
        peer.send(head, &Terminal::CloseError("context canceled".into()).encode())
            .await;
    }
}

#[tokio::test]
async fn a_server_that_stops_tells_followers_and_workers() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let following = peer.open(&follow("a", 0)).await;
    peer.answers_ping().await;
    host.stop().await;
    let frame = peer.frame().await.unwrap();
    assert_eq!(frame.channel_id, following.channel_id);
    assert_eq!(
        Terminal::decode(&frame.message()),
        Some(refused("the server is shutting down"))
    );
}

#[tokio::test]
async fn no_new_segment_is_named_like_all_of_them() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let (statuses, end) = peer.produce("s", "*", &[&record(1)]).await;
    assert!(statuses.is_empty());
    let Terminal::CloseError(why) = end else {
        panic!("{end:?}")
    };
    assert!(why.contains("`*`") && why.contains("all segments"), "{why}");
    // One that is there already goes on.
    let store = host.engine.store(StoreId(STORE)).await.unwrap();
    let path = SegmentPath::new("s", "*").unwrap();
    store
        .publish(&path, vec![streamkit_engine::Record::new("x")])
        .await
        .unwrap();
    assert_eq!(peer.produce("s", "*", &[&record(2)]).await.1, Terminal::Close);
}

#[tokio::test]
async fn observers_see_workers_of_their_store_come_and_go() {
    let host = Host::start().await;
    let (mut observer, mut one, mut two) = (host.connect().await, host.connect().await, host.connect().await);
    let observing = observer.open(&workers(Uuid::nil(), 0)).await;
    assert!(inventory(&mut observer, observing).await.is_empty());
    let second = two.open(&workers(Uuid::from_u128(2), 0)).await;
    assert_eq!(inventory(&mut two, second).await, [2], "itself, too");
    assert_eq!(inventory(&mut observer, observing).await, [2]);
    one.open(&workers(Uuid::from_u128(1), 0)).await;
    assert_eq!(inventory(&mut observer, observing).await, [1, 2]);
    let mut elsewhere = host.connect().await;
    let other = elsewhere.open_in(Uuid::from_u128(9), &workers(Uuid::nil(), 0)).await;
    assert!(inventory(&mut elsewhere, other).await.is_empty());
    // One leaves, the other is cut off.
    two.send(second, &Terminal::Close.encode()).await;
    assert_eq!(inventory(&mut observer, observing).await, [1]);
    drop(one);
    assert!(inventory(&mut observer, observing).await.is_empty());
}

#[tokio::test]
async fn a_worker_hears_the_server_renews_without_telling_others_and_gives_way_to_its_like() {
    let host = Host::start().await;
    let id = Uuid::from_u128(7);
    let (mut first, mut second) = (host.connect().await, host.connect().await);
    let head = first.open(&workers(id, 1)).await;
    assert_eq!(inventory(&mut first, head).await, [7], "before the first heartbeat");
    let mut beats = 0;
    while beats < 2 {
        match WorkerMessage::decode(&next(&mut first, head).await).unwrap() {
            WorkerMessage::Presence(beat) => {
                assert!(beat.heartbeat && beat.worker_id == id && beat.timestamp > 0);
                beats += 1;
            }
            WorkerMessage::Inventory(inventory) => assert_eq!(inventory.workers.len(), 1),
        }
    }
    let renewal = WorkerMessage::Presence(Presence {
        worker_id: id,
        heartbeat: false,
        timestamp: 4_102_444_800_000,
    });
    first.send(head, &renewal.encode()).await;
    let again = second.open(&workers(id, 0)).await;
    assert_eq!(inventory(&mut second, again).await, [7]);
    let end = loop {
        if let Some(end) = Terminal::decode(&next(&mut first, head).await) {
            break end;
        }
    };
    assert_eq!(end, refused("worker_id registered by another stream"));
    let other = WorkerMessage::Presence(Presence {
        worker_id: Uuid::from_u128(8),
        ..Presence::default()
    });
    second.send(again, &other.encode()).await;
    let end = loop {
        if let Some(end) = Terminal::decode(&next(&mut second, again).await) {
            break end;
        }
    };
    assert_eq!(end, refused("a presence of another worker_id than this stream's"));
}

fn acquire(key: &str, holder: &str, ttl_seconds: i64) -> LeaseAcquire {
    LeaseAcquire {
        key: key.into(),
        holder: holder.into(),
        ttl_seconds,
    }
}

async fn lease(peer: &mut Peer, request: Request) -> LeaseResult {
    let (answers, end) = peer.call(&request).await;
    assert_eq!((answers.len(), end), (1, Terminal::Close));
    LeaseResult::decode(answers[0].as_bytes()).unwrap()
}

#[tokio::test]
async fn a_lease_is_one_holders_and_survives_a_restart() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let granted = lease(&mut peer, Request::LeaseAcquire(acquire("leader", "a", 60))).await;
    assert!(granted.ok && granted.fencing_token > 0);
    assert!(
        !lease(&mut peer, Request::LeaseAcquire(acquire("leader", "b", 60)))
            .await
            .ok
    );
    let host = host.restart().await;
    let mut peer = host.connect().await;
    assert!(
        !lease(&mut peer, Request::LeaseAcquire(acquire("leader", "b", 60)))
            .await
            .ok
    );
    assert!(
        !lease(&mut peer, Request::LeaseRenew(acquire("leader", "b", 60)))
            .await
            .ok
    );
    assert_eq!(
        lease(&mut peer, Request::LeaseRenew(acquire("leader", "a", 60))).await,
        granted
    );
    let release = |holder: &str| {
        let (key, holder) = ("leader".into(), holder.into());
        Request::LeaseRelease(LeaseRelease { key, holder })
    };
    assert!(!lease(&mut peer, release("b")).await.ok);
    assert!(lease(&mut peer, release("a")).await.ok);
    assert!(!lease(&mut peer, release("a")).await.ok);
    let next = lease(&mut peer, Request::LeaseAcquire(acquire("leader", "b", 60))).await;
    assert!(next.ok && next.fencing_token > granted.fencing_token);
}

#[tokio::test]
async fn a_lease_request_that_cannot_be_granted_is_answered_in_the_words_of_go_servers() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    for (key, holder, ttl, message) in [
        ("", "", 0, "lease key must not be empty"),
        ("k", "", 0, "lease holder must not be empty"),
        ("k", "h", 0, "ttl_seconds must be positive"),
        ("k", "h", -1, "ttl_seconds must be positive"),
        ("k", "h", 86_401, "ttl_seconds exceeds maximum of 86400"),
        ("k", "h", i64::MAX, "ttl_seconds exceeds maximum of 86400"),
    ] {
        for request in [Request::LeaseAcquire, Request::LeaseRenew] {
            let refused = lease(&mut peer, request(acquire(key, holder, ttl))).await;
            assert_eq!((refused.ok, &*refused.message), (false, message));
        }
    }
    assert!(
        lease(&mut peer, Request::LeaseAcquire(acquire("k", "h", 86_400)))
            .await
            .ok
    );
    let raw = peer.call(&Request::LeaseAcquire(acquire("k", "other", 1))).await.0;
    assert_eq!(raw, ["{\"ok\":false}"], "no field that a Go server does not send");
}

#[tokio::test]
async fn who_may_only_read_follows_and_is_granted_no_lease() {
    let host = Host::start().await;
    let mut peer = host.connect_with(&token(&["streamkit::*:read"])).await.unwrap();
    let head = peer.open(&Request::LeaseAcquire(acquire("k", "h", 9))).await;
    let frame = peer.frame().await.unwrap();
    assert_eq!((frame.control, frame.channel_id), (Control::Error, head.channel_id));
    let head = peer.open(&follow("a", 0)).await;
    peer.answers_ping().await;
    append(&host, "a", 1).await;
    assert_eq!(status(&mut peer, head).await.last_sequence, 1);
}

/// Many in one: the figures are in docs/PERFORMANCE.md; here, that all hear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_followers_on_one_connection_all_hear() {
    const FOLLOWERS: usize = 3000;
    let host = Host::with_limits(Limits::default()).await;
    append(&host, "a", 1).await;
    let mut peer = host.connect().await;
    for _ in 0..FOLLOWERS {
        peer.open(&follow("a", 0)).await;
    }
    for sequence in [1, 2] {
        if sequence == 2 {
            append(&host, "a", 2).await;
        }
        let mut heard = std::collections::BTreeSet::new();
        while heard.len() < FOLLOWERS {
            let frame = tokio::time::timeout(Duration::from_secs(60), peer.frame())
                .await
                .unwrap()
                .unwrap();
            let channel = frame.channel_id;
            let told = SegmentStatus::decode(&frame.message()).unwrap();
            assert!(told.last_sequence >= sequence);
            heard.insert(channel);
        }
    }
}

//! Followers that come again, leave, and ask for odd things.

use std::time::Duration;

use streamkit_protocol::*;
use uuid::Uuid;

use crate::budgets::metric;
use crate::peer::*;

fn follow(segment: &str, heartbeat_interval_seconds: i64) -> Request {
    Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: segment.into(),
        heartbeat_interval_seconds,
    })
}

fn watch(worker_id: Uuid) -> Request {
    Request::SubscribeWorkers(SubscribeWorkers {
        worker_id,
        ..Default::default()
    })
}

async fn told(peer: &mut Peer) -> SegmentStatus {
    let frame = peer.frame().await.expect("the connection ended");
    SegmentStatus::decode(&frame.message()).unwrap()
}

async fn append(host: &Host, segment: &str, sequence: u64) {
    let end = host.connect().await.produce("s", segment, &[&record(sequence)]).await.1;
    assert_eq!(end, Terminal::Close);
}

#[tokio::test]
async fn what_changed_while_nobody_followed_is_among_the_first_statuses_of_the_next() {
    let mut host = Host::start().await;
    append(&host, "a", 1).await;
    for restarts in [false, true] {
        for segment in ["*", "a"] {
            let mut peer = host.connect().await;
            peer.open(&follow(segment, 0)).await;
            assert_eq!(told(&mut peer).await.segment, "a");
        }
        let last = if restarts { 3 } else { 2 };
        append(&host, "a", last).await;
        append(&host, &format!("new {last}"), 1).await;
        if restarts {
            host = host.restart().await;
        }
        let mut peer = host.connect().await;
        peer.open(&follow("a", 0)).await;
        assert_eq!(told(&mut peer).await.last_sequence, last);
        let mut peer = host.connect().await;
        peer.open(&follow("*", 0)).await;
        assert_eq!(told(&mut peer).await.last_sequence, last);
        assert_eq!(told(&mut peer).await.segment, "new 2");
    }
}

#[tokio::test]
async fn a_follower_that_leaves_by_any_way_is_followed_for_no_longer() {
    let host = Host::start().await;
    append(&host, "a", 1).await;
    for way in 0..3 {
        let mut peer = host.connect().await;
        let heads = [peer.open(&follow("a", 0)).await, peer.open(&follow("*", 0)).await];
        told(&mut peer).await;
        told(&mut peer).await;
        assert_eq!(metric(&host, "streamkit_subscriptions").await, 2);
        match way {
            0 => drop(peer),
            1 => {
                let close = Frame::connection(Control::Close).encode();
                peer.send_text(String::from_utf8(close).unwrap()).await;
                while peer.frame().await.is_some() {}
            }
            _ => {
                for head in heads {
                    peer.send(head, &Terminal::CloseError("context canceled".into()).encode())
                        .await;
                    assert_eq!(peer.finish(head).await.1, refused("context canceled"));
                }
                // Nothing comes any more, and the connection goes on.
                append(&host, "a", 2).await;
                peer.answers_ping().await;
            }
        }
        while metric(&host, "streamkit_subscriptions").await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn those_who_follow_and_those_who_are_there_are_told_that_the_server_stops() {
    let host = Host::start().await;
    let mut peers = Vec::new();
    for request in [
        follow("a", 0),
        follow("*", 300),
        watch(Uuid::nil()),
        watch(Uuid::from_u128(1)),
    ] {
        let mut peer = host.connect().await;
        let head = peer.open(&request).await;
        // Once it answers what comes later, it has the request.
        let ping = Frame::connection(Control::Ping).encode();
        peer.send_text(String::from_utf8(ping).unwrap()).await;
        while peer.frame().await.unwrap().control != Control::Pong {}
        peers.push((peer, head));
    }
    host.stop().await;
    for (peer, head) in &mut peers {
        assert_eq!(peer.finish(*head).await.1, refused("the server is shutting down"));
    }
}

#[tokio::test]
async fn heartbeats_may_be_asked_for_in_any_number() {
    let host = Host::start().await;
    append(&host, "a", 1).await;
    for (seconds, beats) in [
        (0, false),
        (-1, false),
        (i64::MIN, false),
        (301, true),
        (i64::MAX, true),
    ] {
        let mut peer = host.connect().await;
        peer.open(&follow("a", seconds)).await;
        assert!(!told(&mut peer).await.heartbeat);
        if beats {
            let beat = told(&mut peer).await;
            assert!(beat.heartbeat && beat.segment == "a", "{seconds}");
        }
        peer.answers_ping().await;
    }
}

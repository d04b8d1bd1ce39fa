//! Workers: what their renewals tell, and to whom.

use futures_util::StreamExt as _;
use streamkit_protocol::*;
use uuid::Uuid;

use crate::peer::*;

fn watch(worker_id: u128) -> Request {
    Request::SubscribeWorkers(SubscribeWorkers {
        worker_id: Uuid::from_u128(worker_id),
        metadata: [("role".to_owned(), "test".to_owned())].into(),
        heartbeat_interval_seconds: 0,
    })
}

async fn inventory(peer: &mut Peer) -> WorkerInventory {
    let frame = peer.frame().await.expect("the connection ended");
    match WorkerMessage::decode(&frame.message()).unwrap() {
        WorkerMessage::Inventory(inventory) => inventory,
        other => panic!("{other:?}"),
    }
}

async fn renew(peer: &mut Peer, head: FrameHead, timestamp: i64) {
    let renewal = WorkerMessage::Presence(Presence {
        timestamp,
        ..Presence::default()
    });
    peer.send(head, &renewal.encode()).await;
    peer.answers_ping().await;
}

#[tokio::test]
async fn a_renewal_moves_the_time_of_its_worker_and_tells_nobody() {
    let host = Host::start().await;
    let (mut observer, mut worker) = (host.connect().await, host.connect().await);
    observer.open(&watch(0)).await;
    assert!(inventory(&mut observer).await.workers.is_empty());
    let head = worker.open(&watch(7)).await;
    inventory(&mut worker).await;
    let first = inventory(&mut observer).await.workers[0].last_seen_at;
    // Its own clock, however wrong; and the server's where it has none.
    for (said, seen) in [
        (4_102_444_800_000, 4_102_444_800_000..4_102_444_800_001),
        (7, 7..8),
        (0, first..i64::MAX),
        (-5, first..i64::MAX),
    ] {
        renew(&mut worker, head, said).await;
        let mut newcomer = host.connect().await;
        loop {
            newcomer.open(&watch(0)).await;
            let now = inventory(&mut newcomer).await.workers[0].last_seen_at;
            if seen.contains(&now) {
                break;
            }
        }
    }
    observer.answers_ping().await;
    // That a clock is far behind makes no worker go.
    renew(&mut worker, head, 1).await;
    assert_eq!(worker.call(&peek("s", "a")).await.1, Terminal::Close);
}

#[tokio::test]
async fn a_worker_that_sends_what_is_no_presence_is_gone_and_is_told_so() {
    let host = Host::start().await;
    let mut observer = host.connect().await;
    observer.open(&watch(0)).await;
    assert!(inventory(&mut observer).await.workers.is_empty());
    for odd in [
        record(1).into_bytes(),
        peek("s", "a").encode(),
        b"{".to_vec(),
        b"null".to_vec(),
    ] {
        let mut worker = host.connect().await;
        let head = worker.open(&watch(7)).await;
        assert_eq!(inventory(&mut observer).await.workers.len(), 1);
        worker.send(head, &odd).await;
        let end = worker.finish(head).await.1;
        assert!(matches!(end, Terminal::CloseError(_)), "{end:?}");
        assert!(inventory(&mut observer).await.workers.is_empty());
        worker.answers_ping().await;
    }
}

/// However many changes there were, whoever looks late sees what is.
#[tokio::test]
async fn a_slow_observer_sees_the_latest_workers() {
    let host = Host::start().await;
    let mut observer = host.connect().await;
    observer.open(&watch(0)).await;
    observer.answers_pings = true;
    let mut worker = host.connect().await;
    for id in 1..=300 {
        let head = worker.open(&watch(id)).await;
        if id <= 290 {
            let end = Terminal::CloseError("context canceled".into());
            worker.send(head, &end.encode()).await;
        }
    }
    // They themselves are no slow ones.
    tokio::spawn(async move { while worker.frame().await.is_some() {} });
    let expected: Vec<Uuid> = (291..=300).map(Uuid::from_u128).collect();
    let mut told = 0;
    loop {
        let now = inventory(&mut observer).await;
        told += 1;
        if now
            .workers
            .iter()
            .map(|worker| worker.worker_id)
            .eq(expected.iter().copied())
        {
            break;
        }
        assert!(told <= 700, "more than there were changes");
    }
}

#[tokio::test]
async fn a_worker_that_is_not_heard_of_is_gone_and_is_told_so() {
    let host = Host::start().await;
    let (mut observer, mut worker) = (host.connect().await, host.connect().await);
    (observer.answers_pings, worker.answers_pings) = (true, true);
    observer.open(&watch(0)).await;
    // One that is content with half a minute.
    let beats = Request::SubscribeWorkers(SubscribeWorkers {
        worker_id: Uuid::from_u128(7),
        heartbeat_interval_seconds: 10,
        ..Default::default()
    });
    let head = worker.open(&beats).await;
    let gone = async {
        while inventory(&mut observer).await.workers.is_empty() {}
        loop {
            // It takes longer than a server is silent otherwise.
            match tokio::time::timeout(2 * PATIENCE, observer.socket.next())
                .await
                .unwrap()
            {
                Some(Ok(message)) if message.is_text() => {
                    let frame = Frame::decode(&message.into_data()).unwrap();
                    if frame.control == Control::Data {
                        break String::from_utf8_lossy(&frame.message()).into_owned();
                    }
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    assert!(gone.await.contains("\"workers\":[]"));
    let end = worker.finish(head).await.1;
    assert!(
        matches!(&end, Terminal::CloseError(why) if why.contains("taken for gone")),
        "{end:?}"
    );
    worker.answers_ping().await;
}

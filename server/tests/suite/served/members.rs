//! Workers of the client: who is told of them, and that they stay.

use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::*;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, over_both, token};

fn worker(id: u128) -> NewWorker {
    let worker = NewWorker {
        heartbeat: Duration::from_secs(1),
        ..NewWorker::new(Uuid::from_u128(id))
    };
    worker.with("role", "test")
}

async fn told(workers: &mut Workers) -> Vec<Worker> {
    let told = tokio::time::timeout(PATIENCE, workers.next()).await.unwrap();
    told.unwrap().unwrap()
}

/// Until these are there, and nobody else.
async fn until(workers: &mut Workers, ids: &[u128]) -> Vec<Worker> {
    loop {
        let told = told(workers).await;
        if told.iter().map(|worker| worker.id.as_u128()).eq(ids.iter().copied()) {
            return told;
        }
    }
}

async fn a_worker_is_there_until_it_leaves_however_it_does(via: Via) {
    let host = Host::via(via).await;
    let client = host.client().build();
    let store = client.store(host.store);
    let watching = host.client().build().store(host.store);
    let mut workers = watching.workers();
    assert!(told(&mut workers).await.is_empty());
    let first = store.join(worker(1)).await.unwrap();
    let second = store.join(worker(2)).await.unwrap();
    assert!(matches!(first.phase(), LivePhase::Live) && first.id() == Uuid::from_u128(1));
    let there = until(&mut workers, &[1, 2]).await;
    assert_eq!(there[0].metadata["role"], "test");
    drop(first);
    until(&mut workers, &[2]).await;
    second.leave();
    second.ended().await.unwrap();
    assert!(matches!(second.phase(), LivePhase::Ended));
    until(&mut workers, &[]).await;
    let third = store.join(worker(3)).await.unwrap();
    until(&mut workers, &[3]).await;
    client.close().await;
    third.ended().await.unwrap();
    until(&mut workers, &[]).await;
    assert!(matches!(store.join(worker(4)).await.err(), Some(Error::Closed)));
    host.stop().await;
}

async fn it_says_again_and_again_that_it_is_there(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let _present = store.join(worker(1)).await.unwrap();
    let seen = async || told(&mut store.workers()).await[0].last_seen;
    let first = seen().await;
    while seen().await == first {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    host.stop().await;
}

async fn it_comes_again_after_a_cut_a_stalled_link_and_a_restart(via: Via) {
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let (sender, mut events) = mpsc::unbounded_channel();
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let client = client.retry(RetryPolicy::AGGRESSIVE);
    let client = client.on_live(move |event| _ = sender.send(event.clone())).build();
    let present = client.store(host.store).join(worker(1)).await.unwrap();
    let id = Uuid::from_u128(1);
    // The server may hear of it over the new connection before it hears that the old one is gone.
    let mut comes_again = async || {
        let mut was_gone = false;
        loop {
            match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
                LiveEvent::WorkerBroken { worker, .. } => was_gone = worker == id,
                LiveEvent::WorkerPresent { worker } if was_gone => return assert_eq!(worker, id),
                LiveEvent::WorkerPresent { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    };
    relay.cut();
    comes_again().await;
    relay.stall();
    comes_again().await;
    let observer = host.client().build().store(host.store);
    until(&mut observer.workers(), &[1]).await;
    let host = host.restart().await;
    comes_again().await;
    let observer = host.client().build().store(host.store);
    let mut workers = observer.workers();
    until(&mut workers, &[1]).await;
    drop(present);
    until(&mut workers, &[]).await;
    host.stop().await;
}

async fn whoever_comes_under_its_id_takes_its_place_and_it_is_told(via: Via) {
    let host = Host::via(via).await;
    let (store, other) = (
        host.client().build().store(host.store),
        host.client().build().store(host.store),
    );
    let first = store.join(worker(1)).await.unwrap();
    let second = other.join(worker(1)).await.unwrap();
    let error = tokio::time::timeout(PATIENCE, first.ended())
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    assert!(matches!(second.phase(), LivePhase::Live));
    host.stop().await;
}

async fn one_that_is_not_taken_in_is_told_why(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let too_long = worker(1).with("k", "v".repeat(70_000));
    for invalid in [too_long, NewWorker::new(Uuid::nil())] {
        let error = store.join(invalid).await.err();
        assert!(matches!(error, Some(Error::Invalid(_))), "{error:?}");
    }
    let too_much = (0..5).fold(worker(1), |worker, n| worker.with(n.to_string(), "v".repeat(60_000)));
    let error = store.join(too_much).await.err();
    assert!(matches!(error, Some(Error::Refused(_))), "{error:?}");
    let denied = host
        .client()
        .token(token(&[&format!("streamkit::{}", Uuid::from_u128(7))]));
    let denied = denied.build().store(host.store);
    assert!(matches!(denied.join(worker(1)).await.err(), Some(Error::AccessDenied)));
    let mut workers = denied.workers();
    assert!(matches!(workers.next().await, Some(Err(Error::AccessDenied))));
    assert!(workers.next().await.is_none());
    host.stop().await;
}

over_both! {
    a_worker_is_there_until_it_leaves_however_it_does
    it_says_again_and_again_that_it_is_there
    it_comes_again_after_a_cut_a_stalled_link_and_a_restart
    whoever_comes_under_its_id_takes_its_place_and_it_is_told
    one_that_is_not_taken_in_is_told_why
}

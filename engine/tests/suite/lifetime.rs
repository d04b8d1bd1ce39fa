//! Stores and engines that are closed, dropped, reopened and shared while they work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::*;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::gated::Gated;

const STORE: StoreId = StoreId(Uuid::from_u128(7));
const OTHER: StoreId = StoreId(Uuid::from_u128(8));
/// For what must come at all; nothing here depends on how soon.
const PATIENCE: Duration = Duration::from_secs(60);

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn config(dir: &Path, disk: &Gated) -> EngineConfig {
    EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir)
    }
}

fn small(first: u64) -> Transaction {
    Transaction::single(path("a"), Sequence(first), vec![Record::new("x")])
}

/// So large that no second one goes into its group, and that each takes an extent of its own.
fn large(first: u64) -> Transaction {
    Transaction::single(path("a"), Sequence(first), vec![Record::new(vec![0; 1_500_000])])
}

/// Appends that pile up behind a shut gate, queued in order.
async fn queue(store: &Arc<dyn Store>, disk: &Gated, sequences: std::ops::RangeInclusive<u64>) -> Vec<JoinHandle<()>> {
    disk.syncs.shut();
    let mut queued = Vec::new();
    for sequence in sequences {
        let store = Arc::clone(store);
        queued.push(tokio::spawn(async move {
            let _ = store.append(large(sequence)).await;
        }));
        // Long enough to be queued; were it not, the test would only show less.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let syncs = Arc::clone(&disk.syncs);
    tokio::task::spawn_blocking(move || syncs.wait_for_one()).await.unwrap();
    queued
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_store_is_opened_while_the_engine_closes() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = Engine::open(config(dir.path(), &disk)).unwrap();
    let store = engine.store(STORE).await.unwrap();
    store.append(small(1)).await.unwrap();
    disk.checkpoints.shut();
    let closing = tokio::spawn({
        let engine = engine.clone();
        async move { engine.close().await }
    });
    let checkpoints = Arc::clone(&disk.checkpoints);
    tokio::task::spawn_blocking(move || checkpoints.wait_for_one())
        .await
        .unwrap();
    let opened = engine.store(OTHER).await;
    assert!(
        matches!(opened, Err(OpenError::Storage(StorageError::Closed))),
        "it would outlive the folder's lock"
    );
    assert!(store.append(small(2)).await.is_err());
    disk.checkpoints.open();
    closing.await.unwrap();
    // A second close finds it done, and touches nothing of the next owner's.
    let next = Engine::open(config(dir.path(), &disk)).unwrap();
    disk.checkpoints.shut();
    tokio::time::timeout(PATIENCE, engine.close()).await.unwrap();
    disk.checkpoints.open();
    next.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_dropped_with_appends_queued_ends() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = Engine::open(config(dir.path(), &disk)).unwrap();
    let store = engine.store(STORE).await.unwrap();
    store.append(small(1)).await.unwrap();
    for task in queue(&store, &disk, 2..=9).await {
        task.abort();
        let _ = task.await;
    }
    let dropping = tokio::task::spawn_blocking(move || drop((store, engine)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    disk.syncs.open();
    tokio::time::timeout(PATIENCE, dropping).await.unwrap().unwrap();
    let next = Engine::open(config(dir.path(), &disk)).expect("the folder is free again");
    let head = next.store(STORE).await.unwrap().peek(&path("a")).await.unwrap();
    assert!(head.is_some_and(|entry| entry.sequence <= Sequence(9)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_while_appends_are_queued_and_stores_are_asked_for() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = Engine::open(config(dir.path(), &disk)).unwrap();
    let store = engine.store(STORE).await.unwrap();
    store.append(small(1)).await.unwrap();
    let queued = queue(&store, &disk, 2..=9).await;
    let closing = tokio::spawn({
        let engine = engine.clone();
        async move { engine.close().await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..3 {
        let engine = engine.clone();
        tokio::spawn(async move { engine.store(STORE).await.map(|_| ()) });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    disk.syncs.open();
    tokio::time::timeout(PATIENCE, closing).await.unwrap().unwrap();
    for task in queued {
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_store_takes_turns_with_the_others() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let config = EngineConfig {
        commit_threads: 1,
        extent_bytes: 64 << 20,
        ..config(dir.path(), &disk)
    };
    let engine = Engine::open(config).unwrap();
    let (busy, other) = (engine.store(STORE).await.unwrap(), engine.store(OTHER).await.unwrap());
    busy.append(large(1)).await.unwrap();
    busy.append(large(2)).await.unwrap();
    other.append(small(1)).await.unwrap();
    let queued = queue(&busy, &disk, 3..=8).await;
    let mut waiting = tokio::spawn(async move { other.append(small(2)).await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    // One sync ends the group that the busy store is at, with up to two for an extent it may add; the next is the other's.
    let mut groups = 0;
    loop {
        let syncs = Arc::clone(&disk.syncs);
        tokio::task::spawn_blocking(move || syncs.wait_for_one()).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(300), &mut waiting)
            .await
            .is_ok()
        {
            break;
        }
        groups += 1;
        assert!(groups <= 4, "it waits for the busy store to have nothing left to do");
        disk.syncs.let_through(1);
    }
    assert!(queued.iter().filter(|task| !task.is_finished()).count() >= 3);
    disk.syncs.open();
    for task in queued {
        task.await.unwrap();
    }
}

#[test]
fn threads_without_a_runtime_append_and_take_turns_with_those_that_have_one() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = Engine::open(config(dir.path(), &disk)).unwrap();
    let store = engine.open_store(STORE).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let append = |writer: usize, number: u64| {
        let record = Record::new(format!("{writer} {number}"));
        Transaction::single(path(&format!("w{writer}")), Sequence(number), vec![record])
    };
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 1..=200 {
                    let committed = store.append_blocking(append(writer, number)).unwrap();
                    assert_eq!(committed.segments[0].last_sequence, Sequence(number));
                }
                // A loser and a retry are answered as ever.
                let lost = store.append_blocking(append(writer, 100)).unwrap_err();
                assert!(
                    matches!(lost, AppendError::Rejected(Rejection::Conflict { .. })),
                    "{lost}"
                );
            });
        }
        for writer in 4..8 {
            let store = store.clone();
            runtime.spawn(async move {
                for number in 1..=200 {
                    store.append(append(writer, number)).await.unwrap();
                }
            });
        }
    });
    for writer in 0..4 {
        let head = runtime.block_on(store.peek(&path(&format!("w{writer}")))).unwrap();
        assert_eq!(head.map(|entry| entry.sequence), Some(Sequence(200)));
    }
    runtime.block_on(engine.close());
    let closed = store.append_blocking(append(0, 201)).unwrap_err();
    assert!(
        matches!(closed, AppendError::Rejected(Rejection::Storage(StorageError::Closed))),
        "{closed}"
    );
}

#[tokio::test]
async fn a_long_replay_is_done_once() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = Engine::open(config(dir.path(), &disk)).unwrap();
    let store = engine.store(STORE).await.unwrap();
    for first in (1..=6).map(|n| n * 1000 - 999) {
        let records = (0..1000).map(|_| Record::new(vec![0; 1000])).collect();
        let transaction = Transaction::single(path("a"), Sequence(first), records);
        store.append(transaction).await.unwrap();
    }
    engine.close().await;
    drop((store, engine));
    let checkpoint = dir.path().join("stores").join(STORE.to_string()).join("checkpoint");
    std::fs::remove_file(checkpoint).unwrap();
    let mut read = Vec::new();
    for _ in 0..2 {
        disk.take_bytes_read();
        let engine = Engine::open(config(dir.path(), &disk)).unwrap();
        engine.store(STORE).await.unwrap();
        engine.close().await;
        read.push(disk.take_bytes_read());
    }
    assert!(read[0] > 6_000_000 && read[1] < read[0] / 4, "{read:?}");
}

//! The room of one store, with nobody beside it.

use super::*;
use crate::limits::TRANSACTION_ENCODED_BYTES_MAX;
use crate::{
    AppendError, Engine, LocalStore, OpenError, Record, SegmentPath, Sequence, Store as _, StoreId, Stores as _,
    Transaction,
};

const DEADLINE: Duration = Duration::from_millis(50);

fn config(dir: &tempfile::TempDir, queue_deadline: Duration) -> EngineConfig {
    EngineConfig {
        queue_bytes: TRANSACTION_ENCODED_BYTES_MAX,
        queue_deadline,
        ..EngineConfig::new(dir.path())
    }
}

fn open(dir: &tempfile::TempDir, queue_deadline: Duration) -> (Engine, LocalStore) {
    let engine = Engine::open(config(dir, queue_deadline)).unwrap();
    let store = engine.open_store(StoreId(uuid::Uuid::from_u128(7))).unwrap();
    (engine, store)
}

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

fn one(first: u64) -> Transaction {
    Transaction::single(path(), Sequence(first), vec![Record::new("x")])
}

fn full<T: std::fmt::Debug>(answer: Result<T, AppendError>) {
    match answer {
        Err(AppendError::Rejected(Rejection::QueueFull { waited, full })) => {
            assert!(waited >= DEADLINE);
            assert_eq!(full, FullQueue::OfStore(TRANSACTION_ENCODED_BYTES_MAX));
        }
        other => panic!("expected a full queue, got {other:?}"),
    }
}

#[tokio::test]
async fn whatever_changes_a_store_is_told_at_the_deadline_that_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = open(&dir, DEADLINE);
    store.append(one(1)).await.unwrap();
    let all = store.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
    assert_eq!(store.room.queue.available_permits(), 0);
    full(store.append(one(2)).await);
    full(store.append_blocking(one(2)));
    full(store.trim(&path(), Sequence(1)).await);
    full(store.delete(&path()).await);
    assert!(store.writable().is_ok(), "nothing failed");
    assert_eq!(store.status().await.unwrap().entry_count, 1);
    drop(all);
    store.append_blocking(one(2)).unwrap();
    store.trim(&path(), Sequence(2)).await.unwrap();
    store.delete(&path()).await.unwrap();
    engine.close().await;
    assert_eq!(
        store.room.queue.available_permits(),
        units(TRANSACTION_ENCODED_BYTES_MAX)
    );
}

#[tokio::test]
async fn a_producer_that_gives_up_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, store) = open(&dir, crate::QUEUE_DEADLINE_MAX);
    let all = store.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
    for _ in 0..3 {
        assert!(tokio::time::timeout(DEADLINE, store.append(one(1))).await.is_err());
    }
    drop(all);
    assert_eq!(
        store.room.queue.available_permits(),
        units(TRANSACTION_ENCODED_BYTES_MAX)
    );
    store.append(one(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_wakes_those_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = open(&dir, crate::QUEUE_DEADLINE_MAX);
    let _all = store.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(one(1)).await }
    });
    let blocking = std::thread::spawn({
        let store = store.clone();
        move || store.append_blocking(one(1))
    });
    // Long enough to wait; were it not, the test would only show less.
    tokio::time::sleep(DEADLINE).await;
    engine.close().await;
    for answer in [waiting.await.unwrap(), blocking.join().unwrap()] {
        assert!(
            matches!(
                answer,
                Err(AppendError::Rejected(Rejection::Storage(StorageError::Closed)))
            ),
            "{answer:?}"
        );
    }
}

#[test]
fn the_deadline_has_a_range() {
    let dir = tempfile::tempdir().unwrap();
    for deadline in [Duration::ZERO, Duration::MAX] {
        match config(&dir, deadline).validate() {
            Err(OpenError::Config(why)) => assert_eq!(why, "queue_deadline must be in 1ms..=3600s"),
            other => panic!("{other:?}"),
        }
    }
    config(&dir, crate::QUEUE_DEADLINE_MIN).validate().unwrap();
    config(&dir, crate::QUEUE_DEADLINE_MAX).validate().unwrap();
}

/// An engine whose one budget is as large as the queue of one of its stores, and two of them.
fn two(dir: &tempfile::TempDir, queue_deadline: Duration) -> (Engine, [LocalStore; 2]) {
    let config = EngineConfig {
        queues_bytes: TRANSACTION_ENCODED_BYTES_MAX,
        ..config(dir, queue_deadline)
    };
    let engine = Engine::open(config).unwrap();
    let stores = [7, 8].map(|n| engine.open_store(StoreId(uuid::Uuid::from_u128(n))).unwrap());
    (engine, stores)
}

const ALL: usize = units(TRANSACTION_ENCODED_BYTES_MAX);

fn large(first: u64) -> Transaction {
    let payload = vec![7; OWN_UNITS * UNIT_BYTES];
    Transaction::single(path(), Sequence(first), vec![Record::new(payload)])
}

#[tokio::test]
async fn what_one_store_has_queued_keeps_small_requests_of_another_from_nothing_and_large_ones_until_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, [one, other]) = two(&dir, DEADLINE);
    let all = one.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
    assert_eq!(engine.queued_bytes(), Some(TRANSACTION_ENCODED_BYTES_MAX));
    other.append(self::one(1)).await.unwrap();
    other.trim(&path(), Sequence(1)).await.unwrap();
    for refused in [other.append(large(2)).await, other.append_blocking(large(2))] {
        let Err(AppendError::Rejected(Rejection::QueueFull { waited, full })) = refused else {
            panic!("{refused:?}")
        };
        assert!(waited >= DEADLINE);
        assert_eq!(full, FullQueue::OfAll(TRANSACTION_ENCODED_BYTES_MAX));
    }
    assert_eq!(other.room.queue.available_permits(), ALL, "who gives up keeps nothing");
    drop(all);
    other.append(large(2)).await.unwrap();
    engine.close().await;
    assert_eq!(
        (engine.queued_bytes(), one.room.budget.free.available_permits()),
        (Some(0), ALL)
    );
}

#[tokio::test]
async fn small_requests_take_room_of_their_store_or_of_all_whichever_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, [one, other]) = two(&dir, crate::QUEUE_DEADLINE_MAX);
    let mut all = Some(one.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap());
    for comes_of_all in [false, true] {
        let mut own = Some(other.room.take((OWN_UNITS - 1) * UNIT_BYTES).await.unwrap());
        let mut waits = pin!(other.append(self::one(1 + u64::from(comes_of_all))));
        assert!(tokio::time::timeout(DEADLINE, waits.as_mut()).await.is_err());
        drop(if comes_of_all { all.take() } else { own.take() });
        waits.await.unwrap();
    }
    assert_eq!(one.room.budget.free.available_permits(), ALL);
    assert_eq!(other.room.own.available_permits(), OWN_UNITS);
}

#[tokio::test]
async fn what_is_sent_without_waiting_for_answers_keeps_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, [other, store]) = two(&dir, crate::QUEUE_DEADLINE_MAX);
    let all = other.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
    let (mut first, mut second) = (pin!(store.append(large(1))), pin!(store.append(one(2))));
    assert!(tokio::time::timeout(DEADLINE, first.as_mut()).await.is_err());
    let went_past = tokio::time::timeout(DEADLINE, second.as_mut()).await;
    assert!(went_past.is_err(), "{went_past:?}");
    drop(all);
    let (first, second) = tokio::join!(first, second);
    assert!(first.unwrap().trx.number < second.unwrap().trx.number);
}

#[tokio::test]
async fn who_waits_for_the_room_of_all_hears_of_the_end_and_takes_nothing_along() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, [one, other]) = two(&dir, crate::QUEUE_DEADLINE_MAX);
    let all = one.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
    let own = other.room.take((OWN_UNITS - 1) * UNIT_BYTES).await.unwrap();
    let mut waits = pin!(other.append(large(1)));
    assert!(tokio::time::timeout(DEADLINE, waits.as_mut()).await.is_err());
    let mut small = pin!(other.append(self::one(1)));
    assert!(tokio::time::timeout(DEADLINE, small.as_mut()).await.is_err());
    engine.close().await;
    for answer in [waits.await, small.await] {
        assert!(
            matches!(
                answer,
                Err(AppendError::Rejected(Rejection::Storage(StorageError::Closed)))
            ),
            "{answer:?}"
        );
    }
    drop((all, own));
    assert_eq!(one.room.budget.free.available_permits(), ALL);
    assert_eq!(other.room.queue.available_permits(), ALL);
}

#[test]
fn one_store_queues_no_more_than_half_of_what_all_may() {
    let dir = tempfile::tempdir().unwrap();
    let queue_bytes = |queue_bytes, queues_bytes| {
        let config = EngineConfig {
            queue_bytes,
            queues_bytes,
            ..config(&dir, DEADLINE)
        };
        config.validate().unwrap();
        let deadlines = Arc::new(Deadlines::new(false).unwrap());
        let room = QueueBudget::new(&config, &QueuesBudget::new(&config, &deadlines));
        assert_eq!(room.queue.available_permits(), units(room.queue_bytes));
        room.queue_bytes
    };
    assert_eq!(queue_bytes(64 << 20, 256 << 20), 64 << 20);
    assert_eq!(queue_bytes(64 << 20, 100 << 20), 50 << 20);
    let largest = TRANSACTION_ENCODED_BYTES_MAX;
    assert_eq!(
        queue_bytes(64 << 20, largest),
        largest,
        "but always its largest transaction"
    );
}

#[test]
fn the_budget_holds_a_largest_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        queues_bytes: TRANSACTION_ENCODED_BYTES_MAX - 1,
        ..config(&dir, DEADLINE)
    };
    let refused = config.validate().unwrap_err().to_string();
    assert!(refused.contains("queues_bytes must be at least 27661312"), "{refused}");
}

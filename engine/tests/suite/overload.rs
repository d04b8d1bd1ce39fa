//! Producers that send more than the disk takes: they wait in turn, up to a deadline, and nothing acknowledged is
//! lost.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::*;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::gated::Gated;

const STORE: StoreId = StoreId(Uuid::from_u128(7));
/// Long enough that what has been spawned is queued by then; were it not, a test would only show less.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The smallest queue there may be: one of [`large`] fits, a second one does not.
fn open(dir: &tempfile::TempDir, disk: &Gated, queue_deadline: Duration) -> Engine {
    let config = EngineConfig {
        queue_bytes: limits::TRANSACTION_ENCODED_BYTES_MAX,
        queue_deadline,
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    };
    Engine::open(config).unwrap()
}

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn small(segment: &str) -> Transaction {
    Transaction::single(path(segment), Sequence(1), vec![Record::new("x")])
}

fn large(segment: &str) -> Transaction {
    let quarter = Record::new(vec![7; limits::RECORD_BYTES_MAX]);
    Transaction::single(path(segment), Sequence(1), vec![quarter; 4])
}

type Answer = JoinHandle<Result<Committed, AppendError>>;

async fn send(store: &LocalStore, transaction: Transaction) -> Answer {
    let store = store.clone();
    let sent = tokio::spawn(async move { store.append(transaction).await });
    tokio::time::sleep(A_MOMENT).await;
    sent
}

fn is_full(answer: &Result<Committed, AppendError>) -> bool {
    matches!(answer, Err(AppendError::Rejected(Rejection::QueueFull { .. })))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_of_a_disk_that_hangs_are_told_at_the_deadline_and_the_store_goes_on_when_it_moves() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = open(&dir, &disk, 3 * A_MOMENT);
    let store = engine.open_store(STORE).unwrap();
    store.append(small("first")).await.unwrap();
    disk.syncs.shut();
    let taken = send(&store, large("taken")).await;
    let blocking = std::thread::spawn({
        let store = store.clone();
        move || store.append_blocking(large("blocking"))
    });
    let (one, other) = tokio::join!(store.append(large("one")), store.append(large("other")));
    for answer in [one, other, blocking.join().unwrap()] {
        assert!(is_full(&answer), "{answer:?}");
        let said = answer.unwrap_err().to_string();
        assert!(said.starts_with("the store is overloaded: its queue of "), "{said}");
    }
    // What fits is let in again, now that the large ones gave up.
    let fits = send(&store, small("fits")).await;
    assert!(!taken.is_finished() && !fits.is_finished());
    disk.syncs.open();
    taken.await.unwrap().unwrap();
    fits.await.unwrap().unwrap();
    store.append(large("one")).await.unwrap();
    engine.close().await;
    let store = open(&dir, &disk, A_MOMENT).open_store(STORE).unwrap();
    let space = Name::new("s").unwrap();
    let all = store.segments(&space, Bound::Unbounded, 9).await.unwrap();
    let all: Vec<_> = all
        .into_iter()
        .map(|s| (s.path.segment.to_string(), s.last_sequence.0))
        .collect();
    let expected = [("first", 1), ("fits", 1), ("one", 4), ("taken", 4)];
    assert_eq!(all, expected.map(|(name, head)| (name.to_owned(), head)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_transaction_waits_for_those_before_it_and_for_nobody_after_it() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = open(&dir, &disk, QUEUE_DEADLINE_MAX);
    let store = engine.open_store(STORE).unwrap();
    store.append(small("first")).await.unwrap();
    disk.syncs.shut();
    let mut sent = Vec::new();
    for n in 0..3 {
        sent.push(send(&store, large(&format!("before-{n}"))).await);
    }
    sent.push(send(&store, small("small")).await);
    for n in 0..3 {
        sent.push(send(&store, large(&format!("after-{n}"))).await);
    }
    disk.syncs.open();
    let mut numbers = Vec::new();
    for answer in sent {
        numbers.push(answer.await.unwrap().unwrap().trx.number);
    }
    // Two that are let in at the same time may still change places.
    let small = numbers.remove(3);
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert!(numbers[1] < small && small < numbers[4], "{small} {numbers:?}");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_stores_have_queued_for_a_disk_that_hangs_stays_within_one_budget_and_small_requests_are_let_in() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let queues_bytes = 3 * limits::TRANSACTION_ENCODED_BYTES_MAX;
    let config = EngineConfig {
        queues_bytes,
        queue_deadline: 10 * A_MOMENT,
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(config).unwrap();
    let ids = 1..=6;
    let stores = ids.map(|number| engine.open_store(StoreId(Uuid::from_u128(number))).unwrap());
    let stores: Vec<LocalStore> = stores.collect();
    for store in &stores {
        store.append(small("first")).await.unwrap();
    }
    disk.syncs.shut();
    let (mut larges, mut smalls) = (Vec::new(), Vec::new());
    for store in &stores {
        larges.push(send(store, large("large")).await);
    }
    let queued = engine.queued_bytes().unwrap();
    assert!((queues_bytes / 2..=queues_bytes).contains(&queued), "{queued}");
    for store in &stores {
        smalls.push(send(store, small("small")).await);
    }
    for large in larges.drain(4..) {
        let refused = large.await.unwrap();
        assert!(is_full(&refused), "{refused:?}");
        let said = refused.unwrap_err().to_string();
        let begins = "the store is overloaded: the queues of all stores, ";
        assert!(said.starts_with(begins), "{said}");
    }
    disk.syncs.open();
    for answer in larges.into_iter().chain(smalls) {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(engine.queued_bytes(), Some(0));
    engine.close().await;
}

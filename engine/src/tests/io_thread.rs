//! The cost of an end of the I/O thread, or of a bug anywhere on the way to the disk: nobody waits for ever, nothing
//! acknowledged is lost, and stores with nothing under way go on.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::simulation::{Fault, Faults, Simulated};
use crate::{
    AppendError, Engine, EngineConfig, Record, Rejection, SegmentPath, SegmentRead, Sequence, StorageError, Store,
    StoreId, Stores as _, Transaction,
};

const STORES: u128 = 3;

fn config(disk: &Simulated) -> EngineConfig {
    EngineConfig {
        disk: Arc::new(disk.clone()),
        extent_bytes: 256 << 10,
        commit_threads: 1,
        read_threads: 1,
        keep_free_bytes: 0,
        ..EngineConfig::new("/data")
    }
}

fn engine(disk: &Simulated) -> Engine {
    Engine::open(config(disk)).expect("nothing is damaged")
}

fn id(store: u128) -> StoreId {
    StoreId(uuid::Uuid::from_u128(store + 1))
}

fn path(producer: u64) -> SegmentPath {
    SegmentPath::new("s", &format!("segment-{producer}")).unwrap()
}

fn one(producer: u64, sequence: u64) -> Transaction {
    let padding = "x".repeat((sequence * 7919 % 9000) as usize);
    let record = Record::new(format!("{producer} {sequence} {padding}"));
    Transaction::single(path(producer), Sequence(sequence), vec![record])
}

/// What a producer was told: so many are there, and perhaps one more.
struct Told {
    head: u64,
    perhaps: bool,
}

/// One after the other, until one is not acknowledged.
async fn produce(store: Arc<dyn Store>, producer: u64, count: u64) -> Told {
    for sequence in 1..=count {
        let (head, perhaps) = match store.append(one(producer, sequence)).await {
            Ok(_) => continue,
            Err(AppendError::Rejected(Rejection::Storage(_))) => (sequence - 1, false),
            Err(AppendError::Indeterminate(_)) => (sequence - 1, true),
            Err(error) => panic!("no reason to refuse: {error}"),
        };
        return Told { head, perhaps };
    }
    Told {
        head: count,
        perhaps: false,
    }
}

async fn head(store: &dyn Store, producer: u64) -> u64 {
    let mut reader = store.read_segment(SegmentRead::all(path(producer)));
    let mut head = 0;
    while let Some(batch) = reader.next_batch().await.expect("nothing is damaged") {
        for entry in batch {
            head += 1;
            assert_eq!(entry.sequence, Sequence(head));
        }
    }
    head
}

/// Producers on several stores while that happens, then a restart. How many stores halted.
async fn live(disk: &Simulated, what: &str, faults: Faults) -> usize {
    const PRODUCERS: u64 = 4;
    let running = engine(disk);
    let mut stores = Vec::new();
    for store in 0..STORES {
        let store = running.store(id(store)).await.unwrap();
        store.append(one(99, 1)).await.unwrap();
        stores.push(store);
    }
    disk.set_faults(faults);
    let mut producing = Vec::new();
    for store in &stores {
        for producer in 0..PRODUCERS {
            producing.push(tokio::spawn(produce(Arc::clone(store), producer, 20)));
        }
    }
    let mut told = Vec::new();
    for producing in producing {
        told.push(producing.await.unwrap());
    }
    disk.set_faults(Faults::default());
    let mut halted = 0;
    for (store, told) in stores.iter().zip(told.chunks(PRODUCERS as usize)) {
        let again = store.append(one(99, 2)).await;
        match store.writable() {
            Ok(()) => {
                assert!(again.is_ok(), "{what}: {again:?}");
                assert!(told.iter().all(|told| told.head == 20 || told.perhaps), "{what}");
            }
            Err(StorageError::Halted { .. }) => {
                halted += 1;
                let refused = matches!(
                    again,
                    Err(AppendError::Rejected(Rejection::Storage(StorageError::Halted { .. })))
                );
                assert!(refused, "{what}: {again:?}");
                assert!(running.ready().is_err(), "{what}: readiness says it");
            }
            Err(other) => panic!("{what}: {other}"),
        }
    }
    drop(stores);
    running.close().await;
    drop(running);
    let reopened = engine(&disk.after_worst_power_loss());
    for (number, told) in (0..STORES).zip(told.chunks(PRODUCERS as usize)) {
        let store = reopened
            .store(id(number))
            .await
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        for (producer, told) in (0..).zip(told) {
            let found = head(&*store, producer).await;
            let most = told.head + u64::from(told.perhaps);
            assert!(
                (told.head..=most).contains(&found),
                "{what}: {}, {found} found",
                told.head
            );
        }
        store
            .append(one(99, head(&*store, 99).await + 1))
            .await
            .expect("it is right again");
    }
    reopened.close().await;
    halted
}

fn disk(seed: u64, queue: bool) -> Simulated {
    let disk = Simulated::new(seed);
    if queue {
        disk.queue_writes(true);
    }
    disk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_panic_of_the_io_thread_each_producer_is_answered_and_other_stores_go_on() {
    let mut halted = 0;
    for seed in 1..=30 {
        let faults = Faults {
            queue_panics: Some(seed),
            ..Faults::default()
        };
        halted += live(&disk(seed, true), &format!("seed {seed}"), faults).await;
    }
    assert!(halted > 0, "or nothing was tested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_queue_of_writes_breaks_for_good_each_producer_is_answered_and_other_stores_go_on() {
    let mut halted = 0;
    for seed in 1..=30 {
        let disk = disk(seed, true);
        let faults = Faults {
            queue_breaks: Some(seed),
            ..Faults::default()
        };
        halted += live(&disk, &format!("seed {seed}"), faults).await;
    }
    assert!(halted > 0, "or nothing was tested");
}

#[tokio::test]
async fn once_the_queue_is_broken_commits_go_on_with_threads_and_it_says_so() {
    let disk = disk(1, true);
    let running = engine(&disk);
    assert_eq!(running.commit_method(), "io_uring");
    let store = running.store(id(0)).await.unwrap();
    store.append(one(0, 1)).await.unwrap();
    disk.set_faults(Faults {
        queue_breaks: Some(0),
        ..Faults::default()
    });
    // The first of two at a time goes through the queue.
    let _ = tokio::join!(produce(Arc::clone(&store), 1, 5), produce(Arc::clone(&store), 2, 5));
    for other in 1.. {
        if running.commit_method() == "threads" {
            break;
        }
        let other = running.store(id(100 + other)).await.unwrap();
        let _ = tokio::join!(produce(Arc::clone(&other), 1, 5), produce(other, 2, 5));
    }
    let third = running.store(id(2)).await.unwrap();
    assert_eq!(produce(Arc::clone(&third), 0, 10).await.head, 10);
    assert_eq!(third.commit_method(), Some("threads"));
    running.close().await;
}

/// Wherever the bug is: at the n-th call to the disk, whoever makes it panics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_thread_panics_at_whichever_call_nobody_waits_for_ever_and_nothing_acknowledged_is_lost() {
    let mut halted = 0;
    for queue in [false, true] {
        for nth in 0..60 {
            let disk = disk(nth + 1, queue);
            engine(&disk).close().await;
            // Behind what an open and three first appends take.
            let faults = Faults {
                at: Some((disk.calls() + 120 + 3 * nth, Fault::Panic, false)),
                ..Faults::default()
            };
            halted += live(&disk, &format!("queue {queue}, call {nth}"), faults).await;
        }
    }
    assert!(halted > 5, "or nothing was tested: {halted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_files_the_queue_does_not_take_commits_with_threads_and_says_so() {
    let disk = disk(1, true);
    disk.refuse_direct();
    let running = engine(&disk);
    let store = running.store(id(0)).await.unwrap();
    let producers = (0..4).map(|producer| tokio::spawn(produce(Arc::clone(&store), producer, 30)));
    for producer in producers.collect::<Vec<_>>() {
        assert_eq!(producer.await.unwrap().head, 30);
    }
    assert_eq!(disk.most_under_way(), 0, "none went through the queue");
    assert_eq!(store.commit_method(), Some("threads"));
    assert_eq!(running.commit_method(), "threads", "no store uses anything else");
    running.close().await;
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("a planned panic"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waker_that_panics_costs_nobody_but_its_owner() {
    for queue in [false, true] {
        let disk = disk(1, queue);
        let running = engine(&disk);
        let store = running.store(id(0)).await.unwrap();
        let waker = Waker::from(Arc::new(Panics));
        for sequence in 1..=20 {
            let mut badly = pin!(store.append(one(0, sequence)));
            let polled = badly.as_mut().poll(&mut Context::from_waker(&waker));
            let (one, other) = tokio::join!(store.append(one(1, sequence)), store.append(one(2, sequence)));
            assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
            if polled.is_pending() {
                badly.await.expect("it is answered all the same");
            }
        }
        assert!(store.writable().is_ok());
        running.close().await;
    }
}

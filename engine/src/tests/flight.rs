//! Many groups of a store under way, ending in any order, when a write fails or the power goes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::simulation::{Fault, Faults, Simulated};
use crate::{
    AppendError, Engine, EngineConfig, Record, Rejection, SegmentPath, SegmentRead, Sequence, Store, StoreId,
    Stores as _, Transaction,
};

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(7));
const PRODUCERS: usize = 4;

fn config(disk: &Simulated) -> EngineConfig {
    EngineConfig {
        disk: Arc::new(disk.clone()),
        extent_bytes: 256 << 10,
        commit_threads: 1,
        read_threads: 1,
        ..EngineConfig::new(PathBuf::from("/data"))
    }
}

fn engine(disk: &Simulated) -> Engine {
    Engine::open(config(disk)).expect("a crash never damages a store")
}

fn path(producer: usize) -> SegmentPath {
    SegmentPath::new("s", &format!("segment-{producer}")).unwrap()
}

fn text(producer: usize, sequence: u64) -> String {
    // From a few bytes to a few blocks.
    let padding = "x".repeat((sequence * 7919 % 9000) as usize);
    format!("{producer} {sequence} {padding}")
}

/// Sends ahead until a write fails or `count` are done; returns the head as acknowledged.
async fn produce(store: Arc<dyn Store>, producer: usize, mut head: u64, count: u64) -> u64 {
    let mut next = head + 1;
    let last = head + count;
    let mut sent = VecDeque::new();
    loop {
        while sent.len() < 4 && next <= last {
            let record = Record::new(text(producer, next));
            let transaction = Transaction::single(path(producer), Sequence(next), vec![record]);
            let store = Arc::clone(&store);
            sent.push_back(tokio::spawn(async move { store.append(transaction).await }));
            // The next one is to be queued behind it.
            tokio::task::yield_now().await;
            next += 1;
        }
        let Some(oldest) = sent.pop_front() else {
            return head;
        };
        match oldest.await.unwrap() {
            Ok(_) => head += 1,
            Err(
                AppendError::Indeterminate(_) | AppendError::Rejected(Rejection::Storage(_) | Rejection::NotReady(_)),
            ) => break,
            // Sent ahead of what could not be written, or came before it on another thread.
            Err(AppendError::Rejected(Rejection::Conflict { .. })) => break,
            Err(error) => panic!("no reason to refuse: {error}"),
        }
    }
    for behind in sent {
        let outcome = behind.await.unwrap();
        assert!(outcome.is_err(), "acknowledged behind one that was not");
    }
    head
}

async fn all(store: &Arc<dyn Store>, heads: &[u64], count: u64) -> Vec<u64> {
    let producers = heads
        .iter()
        .enumerate()
        .map(|(producer, &head)| tokio::spawn(produce(Arc::clone(store), producer, head, count)));
    let mut acknowledged = Vec::new();
    for producer in producers.collect::<Vec<_>>() {
        acknowledged.push(producer.await.unwrap());
    }
    acknowledged
}

async fn read(store: &dyn Store, producer: usize) -> u64 {
    let mut reader = store.read_segment(SegmentRead::all(path(producer)));
    let mut head = 0;
    while let Some(batch) = reader.next_batch().await.expect("a crash never damages a store") {
        for entry in batch {
            head += 1;
            assert_eq!(entry.sequence, Sequence(head));
            assert_eq!(
                entry.payload,
                text(producer, head).as_bytes(),
                "what stands there was sent"
            );
        }
    }
    head
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_groups_under_way_at_a_power_cut_none_that_was_acknowledged_is_lost() {
    let mut most_under_way = 0;
    for seed in 1..=60_u64 {
        let mut disk = Simulated::new(seed);
        engine(&disk).close().await;
        let mut heads = vec![0; PRODUCERS];
        for round in 0..3 {
            disk.queue_writes(true);
            disk.cut_power_after((seed * 31 + round * 17) % 190);
            let running = Engine::open(config(&disk)).ok();
            if let Some(running) = &running
                && let Ok(store) = running.store(STORE).await
            {
                heads = all(&store, &heads, 40).await;
            }
            drop(running);
            most_under_way = most_under_way.max(disk.most_under_way());
            disk = disk.after_power_loss();
            let reopened = engine(&disk);
            let store = reopened
                .store(STORE)
                .await
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            for (producer, head) in heads.iter_mut().enumerate() {
                let found = read(&*store, producer).await;
                assert!(found >= *head, "seed {seed}: {head} acknowledged, {found} left");
                *head = found;
            }
            drop((store, reopened));
        }
    }
    assert!(most_under_way > 2, "or nothing was tested here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_groups_of_a_store_are_under_way_and_seen_in_order() {
    let disk = Simulated::new(9);
    disk.queue_writes(true);
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    let watching = {
        let (store, mut tail) = (Arc::clone(&store), store.durable_tail());
        tokio::spawn(async move {
            let mut last = *tail.borrow();
            while tail.changed().await.is_ok() {
                let now = *tail.borrow_and_update();
                assert!(now > last, "the log only grows");
                last = now;
            }
            drop(store);
        })
    };
    // On a busy machine it may take more than one round until two meet.
    let mut head = 0;
    while head == 0 || disk.most_under_way() < 2 && head < 2000 {
        let heads = all(&store, &[head; PRODUCERS], 100).await;
        head += 100;
        assert_eq!(heads, [head; PRODUCERS]);
    }
    for producer in 0..PRODUCERS {
        assert_eq!(read(&*store, producer).await, head);
    }
    assert!(disk.most_under_way() > 1, "or nothing was tested here");
    watching.abort();
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_write_that_failed_nothing_is_acknowledged_and_reads_go_on() {
    let disk = Simulated::new(9);
    disk.queue_writes(true);
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    let heads = all(&store, &[0; PRODUCERS], 10).await;
    disk.set_faults(Faults {
        refuses_after: Some(25),
        ..Faults::default()
    });
    let mut failed = 0;
    let later = all(&store, &heads, 40).await;
    for (producer, &head) in later.iter().enumerate() {
        failed += usize::from(head < 50);
        assert_eq!(
            read(&*store, producer).await,
            head,
            "no more is seen than was acknowledged"
        );
    }
    assert!(failed > 0, "or nothing was tested here");
    assert!(store.writable().is_err() && running.ready().is_err());
}

/// Groups behind one whose write failed are in no log, whatever became of their own writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_as_durable_was_acknowledged_and_a_store_fails_once() {
    for seed in 1..40 {
        let disk = Simulated::new(seed);
        disk.queue_writes(true);
        let running = engine(&disk);
        let store = running.store(STORE).await.unwrap();
        let heads = all(&store, &[0; PRODUCERS], 10).await;
        disk.set_faults(Faults {
            at: Some((disk.calls() + seed, Fault::Device, false)),
            ..Faults::default()
        });
        let acknowledged: u64 = all(&store, &heads, 40).await.iter().sum();
        let figures = running.figures().unwrap();
        // The first group opens the log.
        assert_eq!(figures.group_transactions.sum, 1 + acknowledged, "seed {seed}");
        assert!(figures.sync_errors <= 1, "seed {seed}: {}", figures.sync_errors);
        running.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_producers_take_turns_keeps_no_other_waiting() {
    let disk = Simulated::new(9);
    disk.queue_writes(true);
    let running = engine(&disk);
    let busy = running.store(STORE).await.unwrap();
    let other = running.store(StoreId(uuid::Uuid::from_u128(8))).await.unwrap();
    let commits = Arc::new(AtomicU64::new(0));
    let producers: Vec<_> = (0..2)
        .map(|producer| {
            let (store, commits) = (Arc::clone(&busy), Arc::clone(&commits));
            tokio::spawn(async move {
                for sequence in 1.. {
                    let record = Record::new("x");
                    let transaction = Transaction::single(path(producer), Sequence(sequence), vec![record]);
                    store.append(transaction).await.unwrap();
                    commits.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for sequence in 1..=100 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let before = commits.load(Ordering::Relaxed);
        let record = Record::new("y");
        let transaction = Transaction::single(path(0), Sequence(sequence), vec![record]);
        other.append(transaction).await.unwrap();
        let passed = commits.load(Ordering::Relaxed) - before;
        assert!(passed < 400, "{passed} commits of another store came first");
    }
    for producer in producers {
        producer.abort();
    }
}

//! What the threads of a whole engine promise together, on the simulated disk.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::explore;
use super::time::FOR_EVER;
use crate::runtime::blocking;
use crate::runtime::sync::thread;
use crate::simulation::{Faults, Simulated};
use crate::{
    AppendError, CommitMethod, Engine, EngineConfig, LocalStore, Record, Rejection, SegmentPath, SegmentRead, Sequence,
    StorageError, Store as _, StoreId, Stores as _, Transaction,
};

pub(super) const STORE: StoreId = StoreId(uuid::Uuid::from_u128(7));

pub(super) fn config(disk: &Simulated, commit_method: CommitMethod) -> EngineConfig {
    EngineConfig {
        disk: Arc::new(disk.clone()),
        extent_bytes: 64 << 10,
        commit_method,
        commit_threads: 1,
        read_threads: 1,
        queue_deadline: FOR_EVER,
        ..EngineConfig::new("/data")
    }
}

fn disk() -> Simulated {
    let disk = Simulated::default();
    disk.queue_writes(true);
    disk
}

fn open(disk: &Simulated, method: CommitMethod) -> (Engine, LocalStore) {
    let engine = Engine::open(config(disk, method)).unwrap();
    let store = engine.open_store(STORE).unwrap();
    (engine, store)
}

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

fn one(sequence: u64) -> Transaction {
    Transaction::single(path(), Sequence(sequence), vec![Record::new("x")])
}

/// Appends at the head it was told last, until it is refused or `count` are in.
fn produce(store: &LocalStore, blocks: bool, count: u64) -> u64 {
    let (mut next, mut won) = (1, 0);
    while won < count {
        let answer = match blocks {
            true => store.append_blocking(one(next)),
            false => blocking::wait(None, store.append(one(next))),
        };
        match answer {
            Ok(_) => {
                won += 1;
                next += 1;
            }
            Err(AppendError::Rejected(Rejection::Conflict { head, .. })) => {
                assert!(head.0 >= next, "somebody else won it");
                next = head.0 + 1;
            }
            Err(AppendError::Rejected(Rejection::Storage(StorageError::Closed))) => break,
            Err(error) => panic!("no reason to refuse: {error}"),
        }
    }
    won
}

/// Each of them appends two, one blocking and one not.
fn two_producers(store: &LocalStore) -> [thread::JoinHandle<u64>; 2] {
    [true, false].map(|blocks| {
        let store = store.clone();
        thread::spawn(move || produce(&store, blocks, 2))
    })
}

/// What is there once the power was gone.
fn head(disk: &Simulated) -> u64 {
    let (engine, store) = open(&disk.after_worst_power_loss(), CommitMethod::Threads);
    let status = blocking::wait(None, store.segment_status(&path())).unwrap();
    blocking::wait(None, engine.close());
    status.map_or(0, |status| status.last_sequence.0)
}

fn each_method(orders: usize, life: impl Fn(CommitMethod) + Clone + Send + Sync + 'static) {
    for method in [CommitMethod::Threads, CommitMethod::Auto] {
        let life = life.clone();
        explore(orders, move || life(method));
    }
}

#[test]
fn of_two_producers_exactly_one_wins_each_sequence_and_both_are_answered() {
    each_method(1000, |method| {
        let disk = disk();
        let (engine, store) = open(&disk, method);
        let producers = two_producers(&store);
        let won: u64 = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
        assert_eq!(won, 4);
        blocking::wait(None, engine.close());
        drop((engine, store));
        assert_eq!(head(&disk), 4);
    });
}

#[test]
fn who_appends_while_the_engine_closes_is_answered_and_what_was_acknowledged_is_there() {
    each_method(1000, |method| {
        let disk = disk();
        let (engine, store) = open(&disk, method);
        let producers = two_producers(&store);
        blocking::wait(None, engine.close());
        drop((engine, store));
        let won: u64 = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
        assert_eq!(head(&disk), won);
    });
}

#[test]
fn whoever_drops_the_last_handle_ends_all_threads() {
    each_method(1000, |method| {
        let disk = disk();
        let (engine, store) = open(&disk, method);
        let holders = [0, 1].map(|_| {
            let store = store.clone();
            thread::spawn(move || {
                let mut append = pin!(store.append(one(1)));
                // Asked for, and then forgotten about.
                let asked = blocking::wait(None, poll_fn(|context| Poll::Ready(append.as_mut().poll(context))));
                drop(asked);
            })
        });
        drop(store);
        drop(engine);
        holders.into_iter().for_each(|holder| holder.join().unwrap());
    });
}

#[test]
fn a_reader_sees_what_was_acknowledged_before_and_in_order() {
    each_method(400, |method| {
        let disk = disk();
        let (engine, store) = open(&disk, method);
        store.append_blocking(one(1)).unwrap();
        let producer = {
            let store = store.clone();
            thread::spawn(move || (2..4).for_each(|sequence| drop(store.append_blocking(one(sequence)).unwrap())))
        };
        let mut reader = store.read_segment(SegmentRead::all(path()));
        let mut seen = 0;
        while let Some(batch) = blocking::wait(None, reader.next_batch()).unwrap() {
            for entry in batch {
                seen += 1;
                assert_eq!(entry.sequence, Sequence(seen));
            }
        }
        assert!((1..4).contains(&seen));
        producer.join().unwrap();
        drop((reader, store));
        drop(engine);
    });
}

/// The I/O thread ends while two stores are at work and the engine may be closing: `faults` when its queue gets its first
/// write.
fn answered_when_the_io_thread_ends(faults: Faults) {
    explore(1500, move || {
        let disk = disk();
        let (engine, store) = open(&disk, CommitMethod::Auto);
        let other = engine.open_store(StoreId(uuid::Uuid::from_u128(8))).unwrap();
        store.append_blocking(one(1)).unwrap();
        disk.set_faults(faults.clone());
        let producers = [&store, &store, &other].map(|store| {
            let store = store.clone();
            thread::spawn(move || {
                let path = SegmentPath::new("s", "b").unwrap();
                let mut acknowledged = 0;
                for sequence in 1..=2 {
                    let transaction = Transaction::single(path.clone(), Sequence(sequence), vec![Record::new("x")]);
                    match blocking::wait(None, store.append(transaction)) {
                        Ok(_) => acknowledged = sequence,
                        // It is answered: that is all that is asked for here.
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        });
        blocking::wait(None, engine.close());
        drop((engine, store, other));
        let acknowledged = producers.map(|producer| producer.join().unwrap());
        let (engine, store) = open(&disk.after_worst_power_loss(), CommitMethod::Threads);
        let path = SegmentPath::new("s", "b").unwrap();
        let status = blocking::wait(None, store.segment_status(&path)).unwrap();
        let head = status.map_or(0, |status| status.last_sequence.0);
        assert!(head >= acknowledged[0].max(acknowledged[1]));
        blocking::wait(None, engine.close());
    });
}

#[test]
fn who_appends_while_the_io_thread_panics_is_answered() {
    answered_when_the_io_thread_ends(Faults {
        queue_panics: Some(1),
        ..Faults::default()
    });
}

#[test]
fn who_appends_while_the_queue_of_writes_breaks_is_answered() {
    answered_when_the_io_thread_ends(Faults {
        queue_breaks: Some(1),
        ..Faults::default()
    });
}

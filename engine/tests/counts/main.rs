//! The costs of reading and appending in numbers that are the same on every machine: allocations, reads of files,
//! durable writes. The allocator counts for the whole process, so one test runs at a time.

mod disk;
mod follows;

use std::alloc::System;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disk::{Counting, Counts};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use streamkit_engine::*;
use tokio::runtime::Runtime;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const STORE: StoreId = StoreId(Uuid::from_u128(7));
const BYTES: usize = 256;

struct Fixture {
    disk: Counting,
    engine: Engine,
    runtime: Runtime,
    _alone: MutexGuard<'static, ()>,
}

impl Fixture {
    fn new() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = Counting::default();
        let engine = Engine::open(EngineConfig {
            disk: Arc::new(disk.clone()),
            ..EngineConfig::new("/data")
        });
        Self {
            disk,
            engine: engine.unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            _alone: alone,
        }
    }

    fn store(&self) -> LocalStore {
        self.engine.open_store(STORE).unwrap()
    }

    /// Everything as it is after a restart: what is sealed has its index file, and nothing is in memory.
    fn reopened(&mut self) -> LocalStore {
        self.runtime.block_on(self.engine.close());
        let config = EngineConfig {
            disk: Arc::new(self.disk.clone()),
            ..EngineConfig::new("/data")
        };
        self.engine = Engine::open(config).unwrap();
        self.store()
    }

    fn scan(&self, store: &LocalStore, read: SegmentRead) -> u64 {
        self.runtime.block_on(async {
            let mut reader = store.read_segment(read);
            let mut entries = 0;
            while let Some(batch) = reader.next_batch().await.unwrap() {
                entries += batch.len() as u64;
            }
            entries
        })
    }

    /// Of a scan of all that segment `a` has, reopened and with its files open: entries, allocations, what the disk was asked.
    fn second_scan(&mut self) -> (u64, usize, Counts) {
        let store = self.reopened();
        let scan = || self.scan(&store, SegmentRead::all(path("a")));
        scan();
        self.disk.take();
        let region = Region::new(ALLOCATOR);
        let entries = scan();
        let change = region.change();
        let (allocations, counts) = (change.allocations + change.reallocations, self.disk.take());
        println!("{allocations} allocations for {entries} entries, {counts:?}");
        (entries, allocations, counts)
    }
}

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("space", segment).unwrap()
}

fn append(store: &LocalStore, segment: &str, first: u64, count: usize, bytes: usize) {
    let records = (0..count).map(|_| Record::new(vec![b'x'; bytes])).collect();
    let transaction = Transaction::single(path(segment), Sequence(first), records);
    store.append_blocking(transaction).unwrap();
}

/// A thousand entries, each a transaction, with `apart` bytes of another segment between them.
fn scattered(store: &LocalStore, apart: usize) {
    for n in 1..=1000 {
        append(store, "a", n, 1, BYTES);
        append(store, "between", n, 1, apart);
    }
}

#[test]
fn a_sequential_scan_allocates_for_its_batches_and_not_for_its_entries() {
    let mut fixture = Fixture::new();
    let store = fixture.store();
    for n in 0..100 {
        append(&store, "a", n * 1000 + 1, 1000, BYTES);
    }
    let (entries, allocations, counts) = fixture.second_scan();
    assert_eq!(entries, 100_000);
    assert!(allocations < 1000, "{allocations} allocations");
    assert!(counts.extent_reads <= 2 * 100, "two a transaction: {counts:?}");
}

#[test]
fn a_scattered_scan_reads_each_entry_once_and_only_it() {
    let mut fixture = Fixture::new();
    let store = fixture.store();
    scattered(&store, 40_000);
    let (entries, allocations, counts) = fixture.second_scan();
    assert_eq!(entries, 1000);
    assert!(allocations < 300, "{allocations} allocations");
    assert!(counts.extent_reads <= 1010, "one an entry: {counts:?}");
    assert!(
        counts.extent_bytes < 1000 * 550,
        "about what the entries have: {counts:?}"
    );
    assert!(counts.index_reads < 100, "{counts:?}");
    assert_eq!(counts.sizes, 0, "extents never change theirs");
}

#[test]
fn a_point_read_reads_one_piece_of_its_extent_and_a_few_pages_of_its_index() {
    let mut fixture = Fixture::new();
    let store = fixture.store();
    scattered(&store, 40_000);
    let store = fixture.reopened();
    fixture.scan(&store, SegmentRead::all(path("a")));
    for n in [1, 2, 30, 77, 500, 640, 999] {
        fixture.disk.take();
        let read = SegmentRead {
            from: Sequence(n),
            to: Sequence(n),
            ..SegmentRead::all(path("a"))
        };
        let region = Region::new(ALLOCATOR);
        assert_eq!(fixture.scan(&store, read), 1);
        let change = region.change();
        let counts = fixture.disk.take();
        println!(
            "{n}: {} allocations, {counts:?}",
            change.allocations + change.reallocations
        );
        assert_eq!(counts.extent_reads, 1, "{counts:?}");
        assert!(counts.extent_bytes <= 4096, "{counts:?}");
        // Buckets, rows and names in each extent back from the newest, then the runs.
        assert!(counts.index_reads <= 4 * 6, "{counts:?}");
    }
}

#[test]
fn an_append_is_one_durable_write_and_few_allocations() {
    let fixture = Fixture::new();
    let store = fixture.store();
    append(&store, "a", 1, 1, BYTES);
    fixture.disk.take();
    let transactions: Vec<_> = (2..=101)
        .map(|n| Transaction::single(path("a"), Sequence(n), vec![Record::new(vec![b'x'; BYTES])]))
        .collect();
    let region = Region::new(ALLOCATOR);
    for transaction in transactions {
        store.append_blocking(transaction).unwrap();
    }
    let change = region.change();
    let counts = fixture.disk.take();
    let each = (change.allocations + change.reallocations) as f64 / 100.0;
    println!("{each} allocations an append, {counts:?}");
    assert_eq!(
        (counts.log_writes, counts.syncs),
        (100, 0),
        "a write a group, durable when it returns"
    );
    assert!(each < 20.0, "{each} allocations an append");
}

#[test]
fn a_thousand_readers_of_the_tail_read_no_file() {
    const ROUNDS: u64 = 20;
    const SEGMENTS: usize = 100;
    let fixture = Fixture::new();
    let store = fixture.store();
    append(&store, "0", 1, 1, BYTES);
    fixture.disk.take();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    for readers in [10, 1000] {
        let tasks: Vec<_> = (0..readers)
            .map(|reader| {
                let store = store.clone();
                let path = path(&format!("{readers}-{}", reader % SEGMENTS));
                let mut tail = store.durable_tail();
                runtime.spawn(async move {
                    let mut next = 1;
                    while next <= ROUNDS {
                        tail.changed().await.unwrap();
                        let read = SegmentRead {
                            from: Sequence(next),
                            ..SegmentRead::all(path.clone())
                        };
                        let mut reader = store.read_segment(read);
                        while let Some(batch) = reader.next_batch().await.unwrap() {
                            for entry in batch {
                                assert_eq!(entry.sequence, Sequence(next));
                                assert_eq!(entry.payload, format!("{path} {next}"));
                                next += 1;
                            }
                        }
                    }
                })
            })
            .collect();
        for round in 1..=ROUNDS {
            let segments = (0..SEGMENTS).map(|segment| {
                let path = path(&format!("{readers}-{segment}"));
                SegmentAppend {
                    records: vec![Record::new(format!("{path} {round}"))],
                    path,
                    first_sequence: Sequence(round),
                }
            });
            let transaction = Transaction {
                id: Uuid::new_v4(),
                segments: segments.collect(),
                fence: None,
                conditions: Vec::new(),
            };
            store.append_blocking(transaction).unwrap();
        }
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
        let counts = fixture.disk.take();
        println!("{readers} readers: {counts:?}");
        assert_eq!(counts.extent_reads, 0, "{readers} readers: {counts:?}");
    }
    // Nobody follows the tail any more: what is committed next is read from its file, as what was before.
    append(&store, "0", 2, 1, BYTES);
    assert_eq!(fixture.scan(&store, SegmentRead::all(path("0"))), 2);
    assert!(fixture.disk.take().extent_reads > 0);
}

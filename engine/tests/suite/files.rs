//! This engine's files: reopening, damage, locks and versions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use streamkit_engine::clock::Clock;
use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(7));

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("space", segment).unwrap()
}

fn config(dir: &Path) -> EngineConfig {
    EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir)
    }
}

async fn fill(store: &dyn Store, segments: u64, rounds: std::ops::RangeInclusive<u64>) {
    for round in rounds {
        for segment in 0..segments {
            let text = format!("{segment}/{round} {}", "x".repeat(300));
            let p = path(&format!("seg-{segment}"));
            store
                .append(Transaction::single(p, Sequence(round), vec![Record::new(text)]))
                .await
                .unwrap();
        }
    }
}

async fn check(store: &dyn Store, segments: u64, rounds: u64) {
    for segment in 0..segments {
        let p = path(&format!("seg-{segment}"));
        let mut reader = store.read_segment(SegmentRead::all(p));
        let mut next = 1;
        while let Some(batch) = reader.next_batch().await.unwrap() {
            for entry in batch {
                assert_eq!(entry.sequence, Sequence(next));
                assert!(entry.payload.starts_with(format!("{segment}/{next} ").as_bytes()));
                next += 1;
            }
        }
        assert_eq!(next, rounds + 1);
    }
}

fn extent_files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let store = dir.join("stores").join(STORE.to_string());
    let mut files: Vec<_> = std::fs::read_dir(store).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == kind));
    // One that is only prepared may go without loss.
    files.retain(|f| kind != "extent" || std::fs::read(f).unwrap()[10] == 0);
    files.sort();
    files
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[byte] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn clean(dir: &Path) -> VerifyReport {
    let report = verify(dir, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
    report
}

#[tokio::test]
async fn everything_is_there_after_a_clean_close() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let engine = Engine::open(config(dir.path())).unwrap();
        let store = engine.store(STORE).await.unwrap();
        fill(&*store, 5, round * 40 + 1..=round * 40 + 40).await;
        check(&*store, 5, round * 40 + 40).await;
        engine.close().await;
        let report = clean(dir.path());
        assert_eq!(report.stores[0].entries, 5 * (round * 40 + 40));
    }
    assert!(extent_files(dir.path(), "extent").len() > 2);
}

#[tokio::test]
async fn everything_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let engine = Engine::open(config(dir.path())).unwrap();
        let store = engine.store(STORE).await.unwrap();
        check(&*store, 5, round * 40).await;
        fill(&*store, 5, round * 40 + 1..=round * 40 + 40).await;
        drop((store, engine)); // no close: no checkpoint
    }
    clean(dir.path());
}

#[tokio::test]
async fn a_retry_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let trx = Transaction::single(path("a"), Sequence(1), vec![Record::new("x")]);
    let mut first = None;
    for round in 0..3 {
        let engine = Engine::open(config(dir.path())).unwrap();
        let store = engine.store(STORE).await.unwrap();
        let mut committed = store.append(trx.clone()).await.unwrap();
        assert_eq!(std::mem::take(&mut committed.was_there), round > 0);
        assert_eq!(*first.get_or_insert(committed.clone()), committed);
        engine.close().await;
    }
}

#[tokio::test]
async fn trims_and_deletes_last_with_and_without_a_checkpoint() {
    for close in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(config(dir.path())).unwrap();
        let store = engine.store(STORE).await.unwrap();
        fill(&*store, 3, 1..=60).await;
        store.trim(&path("seg-0"), Sequence(50)).await.unwrap();
        store.delete(&path("seg-1")).await.unwrap();
        if close {
            engine.close().await;
        }
        drop((store, engine));
        let engine = Engine::open(config(dir.path())).unwrap();
        let store = engine.store(STORE).await.unwrap();
        let status = store.segment_status(&path("seg-0")).await.unwrap().unwrap();
        assert_eq!(
            (status.first_sequence, status.last_sequence),
            (Sequence(50), Sequence(60))
        );
        assert_eq!(store.peek(&path("seg-1")).await.unwrap(), None);
        assert_eq!(store.status().await.unwrap().entry_count, 11 + 60);
        let mut spaces = std::collections::BTreeMap::new();
        spaces.insert(Name::new("space").unwrap(), None);
        let mut reader = store.read_spaces(SpacesRead {
            spaces,
            time: TimeRange::ALL,
            limit: u64::MAX,
        });
        let mut count = 0;
        while let Some(batch) = reader.next_batch().await.unwrap() {
            assert!(batch.iter().all(|e| e.path.segment.as_str() != "seg-1"));
            count += batch.len();
        }
        assert_eq!(count, 11 + 60);
        drop((reader, store, engine));
        clean(dir.path());
    }
}

#[tokio::test]
async fn a_missing_index_or_checkpoint_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 5, 1..=60).await;
    engine.close().await;
    drop(engine);
    let indexes = extent_files(dir.path(), "index");
    assert!(indexes.len() > 1);
    std::fs::remove_file(&indexes[0]).unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    check(&*engine.store(STORE).await.unwrap(), 5, 60).await;
    engine.close().await;
    drop(engine);
    assert_eq!(extent_files(dir.path(), "index"), indexes);
    std::fs::remove_file(dir.path().join("stores").join(STORE.to_string()).join("checkpoint")).unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    check(&*engine.store(STORE).await.unwrap(), 5, 60).await;
    drop(engine);
    clean(dir.path());
}

#[tokio::test]
async fn a_flipped_bit_in_a_sealed_extent_is_an_error_that_says_where_and_never_an_end_of_stream() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 1, 1..=400).await;
    engine.close().await;
    drop(engine);
    flip(&extent_files(dir.path(), "extent")[1], 20_000);
    let report = verify(dir.path(), &mut |_| {}).unwrap();
    assert!(!report.is_clean());
    assert_eq!(report.stores[0].damage[0].extent, 2);
    let engine = Engine::open(config(dir.path())).unwrap();
    let store = engine.store(STORE).await.unwrap();
    let mut reader = store.read_segment(SegmentRead::all(path("seg-0")));
    let mut read = 0;
    let error = loop {
        match reader.next_batch().await {
            Ok(Some(batch)) => read += batch.len(),
            Ok(None) => panic!("{read} entries, then a silent end"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            ReadError::Storage(StorageError::Corrupt {
                place: DamagedPlace::Extent { extent: 2, .. },
                ..
            })
        ),
        "{error}"
    );
    assert_eq!(
        store.peek(&path("seg-0")).await.unwrap().unwrap().sequence,
        Sequence(400)
    );
}

#[tokio::test]
async fn a_flipped_bit_before_the_durable_mark_refuses_to_open() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 1, 1..=20).await;
    drop(engine);
    flip(&extent_files(dir.path(), "extent")[0], 5_000);
    let engine = Engine::open(config(dir.path())).unwrap();
    let error = engine.store(STORE).await.err().expect("damage must be refused");
    assert!(
        matches!(
            error,
            OpenError::Storage(StorageError::Corrupt {
                place: DamagedPlace::Extent { extent: 1, .. },
                ..
            })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_truncated_extent_is_an_error_and_never_an_end_of_stream() {
    for sealed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(config(dir.path())).unwrap();
        fill(&*engine.store(STORE).await.unwrap(), 1, 1..=600).await;
        engine.close().await;
        drop(engine);
        let files = extent_files(dir.path(), "extent");
        let cut = if sealed { &files[1] } else { files.last().unwrap() };
        let file = std::fs::File::options().write(true).open(cut).unwrap();
        file.set_len(6_000).unwrap();
        drop(file);
        assert!(!verify(dir.path(), &mut |_| {}).unwrap().is_clean());
        let engine = Engine::open(config(dir.path())).unwrap();
        let Ok(store) = engine.store(STORE).await else {
            continue;
        };
        assert!(sealed, "a checkpoint tells of more than the open extent holds");
        let mut reader = store.read_segment(SegmentRead::all(path("seg-0")));
        let error = loop {
            match reader.next_batch().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ends as if it were whole"),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(
                error,
                ReadError::Storage(StorageError::Corrupt {
                    place: DamagedPlace::Extent { extent: 2, .. },
                    ..
                })
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 1, 1..=20).await;
    drop(engine);
    // The last group's last bytes never reached the disk.
    let file = &extent_files(dir.path(), "extent")[0];
    let mut bytes = std::fs::read(file).unwrap();
    let last = bytes.iter().rposition(|&b| b != 0).unwrap();
    bytes[last - 20..=last].fill(0);
    std::fs::write(file, bytes).unwrap();
    let report = clean(dir.path());
    assert!(report.stores[0].torn_tail.is_some());
    let engine = Engine::open(config(dir.path())).unwrap();
    let store = engine.store(STORE).await.unwrap();
    check(&*store, 1, 19).await;
    fill(&*store, 1, 20..=25).await;
    drop((store, engine));
    let engine = Engine::open(config(dir.path())).unwrap();
    check(&*engine.store(STORE).await.unwrap(), 1, 25).await;
    drop(engine);
    assert_eq!(clean(dir.path()).stores[0].torn_tail, None);
}

#[tokio::test]
async fn a_missing_extent_refuses_to_open() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 1, 1..=600).await;
    engine.close().await;
    drop(engine);
    let files = extent_files(dir.path(), "extent");
    for gone in [&files[1], &files[files.len() - 1]] {
        let bytes = std::fs::read(gone).unwrap();
        std::fs::remove_file(gone).unwrap();
        let engine = Engine::open(config(dir.path())).unwrap();
        assert!(engine.store(STORE).await.is_err());
        drop(engine);
        std::fs::write(gone, bytes).unwrap();
    }
    let engine = Engine::open(config(dir.path())).unwrap();
    check(&*engine.store(STORE).await.unwrap(), 1, 600).await;
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_directory_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    assert!(matches!(Engine::open(config(dir.path())), Err(OpenError::InUse { .. })));
    assert!(matches!(verify(dir.path(), &mut |_| {}), Err(OpenError::InUse { .. })));
    engine.close().await;
    Engine::open(config(dir.path())).unwrap();
}

/// A payload may hold anything, the header of a group too.
#[tokio::test]
async fn a_payload_that_poses_as_a_later_group_does_not_make_a_torn_tail_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut payload = Vec::new();
    for _ in 0..64 {
        let mut group = vec![0; format::group::GROUP_HEADER_BYTES];
        let header = format::group::GroupHeader {
            body_crc: 0,
            body_bytes: 0,
            chain: 0,
            transaction_count: 0,
            number: 1000,
            epoch: 1,
            durable: LogPosition { extent: 1, byte: 5200 },
            extent: 1,
            writer: Uuid::nil(),
            link: 0,
        };
        header.seal(0, &mut group);
        payload.extend_from_slice(&group);
        payload.push(0); // so that some stand on a multiple of 8
    }
    let tail = {
        let engine = Engine::open(config(dir.path())).unwrap();
        let store = engine.store(STORE).await.unwrap();
        let append = async |sequence, record| {
            let transaction = Transaction::single(path("a"), Sequence(sequence), vec![record]);
            store.append(transaction).await.unwrap();
        };
        append(1, Record::new("acknowledged")).await;
        let tail = LogPosition::of_local(*store.durable_tail().borrow()).byte as usize;
        append(2, Record::new(payload)).await;
        tail
    };
    // The second write as the loss of power may leave it: its first sector is not there.
    let extent = extent_files(dir.path(), "extent").remove(0);
    let mut bytes = std::fs::read(&extent).unwrap();
    bytes[tail..(tail / 512 + 1) * 512].fill(0);
    std::fs::write(&extent, bytes).unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    let store = engine.store(STORE).await.expect("nothing acknowledged is damaged");
    assert_eq!(
        store.peek(&path("a")).await.unwrap().map(|e| e.sequence),
        Some(Sequence(1))
    );
}

#[tokio::test]
async fn a_newer_format_is_told_apart_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 1, 1..=3).await;
    drop(engine);
    let extent = &extent_files(dir.path(), "extent")[0];
    let mut bytes = std::fs::read(extent).unwrap();
    bytes[8] = 9;
    std::fs::write(extent, bytes).unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    assert!(matches!(
        engine.store(STORE).await,
        Err(OpenError::NewerFormat { found: 9, .. })
    ));
    drop(engine);
    std::fs::write(dir.path().join("format"), "streamkit 2\n").unwrap();
    assert!(matches!(
        Engine::open(config(dir.path())),
        Err(OpenError::NewerFormat { found: 2, .. })
    ));
}

/// What looks like an extent may be one, also where it cannot be read or understood.
#[tokio::test]
async fn a_directory_without_its_format_file_gets_no_new_one_where_there_may_be_stores() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 1, 1..=3).await;
    engine.close().await;
    drop(engine);
    let format = dir.path().join("format");
    std::fs::remove_file(&format).unwrap();
    let extent = &extent_files(dir.path(), "extent")[0];
    let refused = |what: &str| {
        let refused = Engine::open(config(dir.path())).err().expect(what);
        assert!(matches!(refused, OpenError::DamagedFormat { .. }), "{what}: {refused}");
        assert!(!format.exists(), "{what}");
    };
    refused("whole");
    flip(extent, 60);
    refused("damaged");
    // Neither can be read, by nobody.
    std::fs::remove_file(extent).unwrap();
    std::fs::create_dir(extent).unwrap();
    refused("an extent that cannot be read");
    std::fs::remove_dir_all(dir.path().join("stores")).unwrap();
    std::fs::write(dir.path().join("stores"), "").unwrap();
    refused("stores that cannot be listed");
}

#[tokio::test]
async fn a_store_that_is_only_read_takes_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    let store = engine.store(STORE).await.unwrap();
    assert_eq!(store.peek(&path("a")).await.unwrap(), None);
    engine.close().await;
    assert_eq!(std::fs::read_dir(dir.path().join("stores")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_with_three_events_takes_less_than_a_megabyte() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineConfig::new(dir.path())).unwrap();
    fill(&*engine.store(STORE).await.unwrap(), 3, 1..=1).await;
    engine.close().await;
    let store = dir.path().join("stores").join(STORE.to_string());
    let bytes: u64 = std::fs::read_dir(store)
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes}");
}

struct Backwards(AtomicI64);

impl Clock for Backwards {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_sub(1000, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn times_never_go_backwards_though_the_clock_does_also_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = Timestamp(0);
    for round in 0..3 {
        let start = 1_000_000 - round * 100_000;
        let clock = Arc::new(Backwards(AtomicI64::new(start)));
        let engine = Engine::open(EngineConfig {
            clock,
            ..config(dir.path())
        })
        .unwrap();
        let store = engine.store(STORE).await.unwrap();
        for n in 1..=10 {
            let sequence = Sequence(round as u64 * 10 + n);
            let trx = Transaction::single(path("a"), sequence, vec![Record::new("x")]);
            let committed = store.append(trx).await.unwrap();
            assert!(committed.timestamp >= last);
            last = committed.timestamp;
        }
    }
}

#[tokio::test]
async fn a_store_that_somebody_holds_keeps_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(dir.path())).unwrap();
    let store = engine.store(STORE).await.unwrap();
    drop(engine);
    fill(&*store, 1, 1..=3).await;
    assert!(matches!(Engine::open(config(dir.path())), Err(OpenError::InUse { .. })));
    drop(store);
    let engine = Engine::open(config(dir.path())).unwrap();
    check(&*engine.store(STORE).await.unwrap(), 1, 3).await;
}

#[tokio::test]
async fn idle_stores_are_closed_for_others_and_come_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.open_stores = 8;
    config.open_deadline = std::time::Duration::from_secs(2);
    let engine = Engine::open(config).unwrap();
    let id = |n| StoreId(uuid::Uuid::from_u128(n));
    for n in 1..=100 {
        fill(&*engine.store(id(n)).await.unwrap(), 1, 1..=3).await;
    }
    for n in 1..=100 {
        let store = engine.store(id(n)).await.unwrap();
        check(&*store, 1, 3).await;
        fill(&*store, 1, 4..=5).await;
    }
    let mut held = Vec::new();
    for n in 1..=8 {
        held.push(engine.store(id(n)).await.unwrap());
    }
    assert!(matches!(engine.store(id(9)).await, Err(OpenError::TooManyStores(8))));
    drop(held);
    check(&*engine.store(id(9)).await.unwrap(), 1, 5).await;
}

//! Power cuts at every point, on the disk in memory. Acknowledged entries are there; others are there as a whole or
//! not at all; order and counts agree; and the store continues from there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::simulation::Simulated;
use crate::{
    AppendError, Dice, Engine, EngineConfig, Entry, OpenError, Record, Rejection, SegmentAppend, SegmentPath,
    SegmentRead, Sequence, Store, StoreId, Stores, Transaction, limits,
};

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(7));
const SEGMENTS: [&str; 3] = ["a", "b", "c"];

/// What a client remembers.
#[derive(Clone, Default)]
struct Remembered {
    acknowledged: BTreeMap<&'static str, Vec<String>>,
    /// The transaction whose outcome nobody told.
    unknown: BTreeMap<&'static str, Vec<String>>,
}

fn config(disk: &Simulated) -> EngineConfig {
    let mut config = EngineConfig::new(PathBuf::from("/data"));
    config.disk = Arc::new(disk.clone());
    // Large enough that the next extent is prepared ahead.
    config.extent_bytes = 2 * limits::EXTENT_BYTES_MIN;
    (config.commit_threads, config.read_threads) = (1, 1);
    config.keep_free_bytes = 0;
    config
}

fn engine(disk: &Simulated) -> Engine {
    Engine::open(config(disk)).expect("a crash never damages a store")
}

/// The power may go while an engine starts: then there is none.
fn try_engine(disk: &Simulated) -> Option<Engine> {
    Engine::open(config(disk)).ok()
}

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

/// Appends until the power goes or `count` are done.
async fn work(store: &dyn Store, dice: &mut Dice, count: u64, remembered: &mut Remembered) -> bool {
    for number in 0..count {
        let mut parts: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for _ in 0..=dice.below(2) {
            let segment = SEGMENTS[dice.below(3) as usize];
            let texts = (0..=dice.below(3)).map(|n| {
                let padding = "x".repeat(dice.below(3000) as usize);
                format!("{segment} {number} {n} {} {padding}", dice.any())
            });
            parts.insert(segment, texts.collect());
        }
        let segments = parts.iter().map(|(segment, texts)| SegmentAppend {
            path: path(segment),
            first_sequence: Sequence(remembered.acknowledged.get(segment).map_or(0, Vec::len) as u64 + 1),
            records: texts.iter().map(|text| Record::new(text.clone())).collect(),
        });
        let transaction = Transaction {
            id: uuid::Uuid::new_v4(),
            segments: segments.collect(),
            fence: None,
            conditions: Vec::new(),
        };
        match store.append(transaction).await {
            Ok(_) => {
                for (segment, texts) in parts {
                    remembered.acknowledged.entry(segment).or_default().extend(texts);
                }
            }
            Err(AppendError::Indeterminate(_)) => {
                remembered.unknown = parts;
                return false;
            }
            Err(AppendError::Rejected(Rejection::Storage(_) | Rejection::NotReady(_))) => return false,
            Err(error) => panic!("no reason to refuse: {error}"),
        }
    }
    true
}

async fn read(store: &dyn Store, segment: &str) -> Vec<Entry> {
    let mut reader = store.read_segment(SegmentRead::all(path(segment)));
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().await.expect("a crash never damages a store") {
        all.extend(batch);
    }
    all
}

/// Compares a store with what the client remembers; takes the unknown transaction in if it is there.
async fn compare(store: &dyn Store, remembered: &mut Remembered, seed: u64) {
    let mut unknown_there = None;
    for segment in SEGMENTS {
        let entries = read(store, segment).await;
        let texts: Vec<_> = entries
            .iter()
            .map(|e| String::from_utf8(e.payload.to_vec()).unwrap())
            .collect();
        assert!(
            entries.iter().zip(1..).all(|(e, n)| e.sequence == Sequence(n)),
            "seed {seed}"
        );
        let acknowledged = remembered.acknowledged.get(segment).cloned().unwrap_or_default();
        assert!(
            texts.len() >= acknowledged.len(),
            "seed {seed}: acknowledged entries of {segment} are gone"
        );
        assert_eq!(texts[..acknowledged.len()], acknowledged, "seed {seed}");
        let rest = &texts[acknowledged.len()..];
        let unknown = remembered.unknown.get(segment).cloned().unwrap_or_default();
        if !rest.is_empty() {
            assert_eq!(rest, unknown, "seed {seed}: half of a transaction is there");
        }
        if !unknown.is_empty() {
            let there = !rest.is_empty();
            assert_eq!(
                *unknown_there.get_or_insert(there),
                there,
                "seed {seed}: in one segment, not in another"
            );
        }
    }
    let unknown = std::mem::take(&mut remembered.unknown);
    if unknown_there == Some(true) {
        for (segment, texts) in unknown {
            remembered.acknowledged.entry(segment).or_default().extend(texts);
        }
    }
}

async fn crash_again_and_again(seed: u64, cuts: impl Fn(&mut Dice) -> u64) {
    let mut dice = Dice::new(seed);
    let mut disk = Simulated::new(seed);
    engine(&disk).close().await; // the folder's own files
    let mut remembered = Remembered::default();
    for _ in 0..4 {
        disk.cut_power_after(cuts(&mut dice));
        let running = try_engine(&disk);
        // The power may go while the store is opened: then there is nothing to write to.
        if let Some(running) = &running
            && let Ok(store) = running.store(STORE).await
            && work(&*store, &mut dice, 60, &mut remembered).await
            && dice.below(2) == 0
        {
            running.close().await;
        }
        drop(running);
        disk = disk.after_power_loss();
        let reopened = engine(&disk);
        let store = reopened
            .store(STORE)
            .await
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        compare(&*store, &mut remembered, seed).await;
        drop((store, reopened));
    }
}

#[tokio::test]
async fn after_any_crash_the_acknowledged_is_there_and_the_rest_is_whole_or_absent() {
    for seed in 1..=150 {
        crash_again_and_again(seed, |dice| dice.below(260)).await;
    }
}

#[tokio::test]
async fn every_point_of_the_first_appends_may_be_the_last() {
    for cut in 0..60 {
        for seed in 1..=3 {
            crash_again_and_again(seed, |_| cut).await;
        }
    }
}

/// A killed process leaves writes in the page cache that nobody synced. What the next one shows to readers, or takes for a
/// retry's answer, must not be lost with the power after all.
#[tokio::test]
async fn what_is_read_after_a_kill_survives_a_power_cut_that_follows() {
    for kill in 0..120 {
        let disk = Simulated::default();
        engine(&disk).close().await;
        disk.cut_power_after(kill);
        let killed = try_engine(&disk);
        if let Some(killed) = &killed
            && let Ok(store) = killed.store(STORE).await
        {
            work(&*store, &mut Dice::new(kill + 1), 30, &mut Remembered::default()).await;
        }
        drop(killed);
        disk.restore_power();
        let restarted = engine(&disk);
        let store = restarted.store(STORE).await.unwrap();
        let mut seen = BTreeMap::new();
        for segment in SEGMENTS {
            seen.insert(segment, read(&*store, segment).await);
        }
        let store = engine(&disk.after_worst_power_loss()).store(STORE).await.unwrap();
        for (segment, seen) in seen {
            let left = read(&*store, segment).await;
            assert!(
                left == seen,
                "kill {kill}: {} of {} entries of {segment} are left",
                left.len(),
                seen.len()
            );
        }
    }
}

/// Whatever write, sync or rename is the last one of a process: what the next one builds on it, and says is durable, is.
#[tokio::test]
async fn what_is_acknowledged_after_a_kill_survives_a_power_cut_that_follows() {
    for kill in 0..130 {
        let disk = Simulated::default();
        engine(&disk).close().await;
        disk.cut_power_after(kill);
        let killed = try_engine(&disk);
        if let Some(killed) = &killed
            && let Ok(store) = killed.store(STORE).await
        {
            work(&*store, &mut Dice::new(kill + 1), 40, &mut Remembered::default()).await;
        }
        drop(killed);
        disk.restore_power();
        let restarted = engine(&disk);
        let store = restarted.store(STORE).await.unwrap();
        let mut remembered = Remembered::default();
        for segment in SEGMENTS {
            let texts = read(&*store, segment).await.into_iter();
            let texts = texts.map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap());
            remembered.acknowledged.insert(segment, texts.collect());
        }
        assert!(work(&*store, &mut Dice::new(kill + 7), 3, &mut remembered).await);
        let store = engine(&disk.after_worst_power_loss()).store(STORE).await;
        let store = store.unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        compare(&*store, &mut remembered, kill).await;
    }
}

#[tokio::test]
async fn a_store_on_a_full_disk_opens_for_reading_though_an_index_file_is_missing() {
    let disk = Simulated::default();
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    let mut remembered = Remembered::default();
    assert!(work(&*store, &mut Dice::new(3), 1, &mut remembered).await);
    // One more extent, and nothing beside it.
    disk.set_room(Some(disk.used() + 2 * limits::EXTENT_BYTES_MIN as usize + 4096));
    let mut head = remembered.acknowledged.get("a").map_or(0, Vec::len) as u64;
    loop {
        let record = Record::new("x".repeat(4000));
        let transaction = Transaction::single(path("a"), Sequence(head + 1), vec![record]);
        match store.append(transaction).await {
            Ok(_) => head += 1,
            Err(error) => break assert!(matches!(error, AppendError::Rejected(Rejection::DiskFull)), "{error}"),
        }
    }
    drop(store);
    running.close().await;
    let restarted = engine(&disk);
    let store = restarted.store(STORE).await.expect("nothing is damaged");
    assert_eq!(read(&*store, "a").await.len() as u64, head);
}

#[tokio::test]
async fn a_transaction_too_large_for_a_full_disk_leaves_the_prepared_extent_to_others() {
    let disk = Simulated::default();
    let running = Engine::open(EngineConfig {
        extent_bytes: 4 * limits::EXTENT_BYTES_MIN,
        ..config(&disk)
    })
    .unwrap();
    let store = running.store(STORE).await.unwrap();
    let append = |sequence, bytes: usize| {
        let record = Record::new("x".repeat(bytes));
        store.append(Transaction::single(path("a"), Sequence(sequence), vec![record]))
    };
    for sequence in 1..=14 {
        append(sequence, 4000).await.unwrap();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while disk.used() < 5 * limits::EXTENT_BYTES_MIN as usize {
        assert!(
            std::time::Instant::now() < deadline,
            "the next extent is prepared ahead"
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    disk.set_room(Some(disk.used() + 4096)); // the header's block may still be on its way
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    disk.set_room(Some(disk.used()));
    assert!(append(15, 400_000).await.is_err());
    for sequence in 15..=20 {
        append(sequence, 4000).await.unwrap();
    }
}

/// Opened again by itself, the store would look sound, and nobody would look after its disk.
#[tokio::test]
async fn a_store_that_halted_is_not_closed_to_make_room() {
    let disk = Simulated::default();
    let running = Engine::open(EngineConfig {
        open_stores: 1,
        open_deadline: std::time::Duration::from_millis(200),
        ..config(&disk)
    })
    .unwrap();
    let other = StoreId(uuid::Uuid::from_u128(8));
    drop(running.store(other).await.unwrap());
    let store = running.store(STORE).await.expect("one at rest makes room");
    let mut remembered = Remembered::default();
    assert!(work(&*store, &mut Dice::new(5), 1, &mut remembered).await);
    disk.refuse_changes();
    assert!(!work(&*store, &mut Dice::new(6), 1, &mut remembered).await);
    disk.restore_power();
    drop(store);
    assert!(matches!(running.store(other).await, Err(OpenError::TooManyStores(1))));
    assert!(running.ready().is_err());
}

async fn append_large(store: &dyn Store, sequence: u64) -> Result<crate::Committed, AppendError> {
    let records = vec![Record::new("x".repeat(4000))];
    store
        .append(Transaction::single(path("a"), Sequence(sequence), records))
        .await
}

/// Appends until the disk is full; how many entries were acknowledged.
async fn append_until_full(store: &dyn Store) -> u64 {
    let mut acknowledged = 0;
    let refused = loop {
        match append_large(store, acknowledged + 1).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, AppendError::Rejected(Rejection::DiskFull)),
        "{refused}"
    );
    acknowledged
}

#[tokio::test]
async fn appends_are_refused_while_less_is_free_than_is_to_stay_free() {
    let disk = Simulated::default();
    let kept = 10 * limits::EXTENT_BYTES_MIN;
    let running = Engine::open(EngineConfig {
        keep_free_bytes: kept,
        ..config(&disk)
    })
    .unwrap();
    let store = running.store(STORE).await.unwrap();
    let append = async |sequence: u64| append_large(&*store, sequence).await;
    let room = disk.used() + 13 * limits::EXTENT_BYTES_MIN as usize;
    disk.set_room(Some(room));
    let acknowledged = append_until_full(&*store).await;
    assert!(acknowledged > 10, "{acknowledged} entries of 4 kB");
    // But for the indexes of what is there.
    assert!(room - disk.used() >= kept as usize / 10 * 9, "what is to stay free is");
    assert!(store.writable().is_ok(), "it passes");
    assert_eq!(read(&*store, "a").await.len() as u64, acknowledged);
    disk.set_room(Some(room + 10 * limits::EXTENT_BYTES_MIN as usize));
    append(acknowledged + 1).await.expect("there is more room now");
}

#[tokio::test]
async fn the_last_room_of_a_disk_is_used_by_a_smaller_extent() {
    let disk = Simulated::default();
    let running = Engine::open(EngineConfig {
        extent_bytes: 16 * limits::EXTENT_BYTES_MIN,
        ..config(&disk)
    })
    .unwrap();
    let store = running.store(STORE).await.unwrap();
    let append = async |sequence: u64| {
        let records = vec![Record::new("x".repeat(10_000))];
        store
            .append(Transaction::single(path("a"), Sequence(sequence), records))
            .await
    };
    append(1).await.unwrap();
    disk.set_room(Some(disk.used() + 2 * limits::EXTENT_BYTES_MIN as usize));
    let mut acknowledged = 1;
    while append(acknowledged + 1).await.is_ok() {
        acknowledged += 1;
    }
    assert!(
        acknowledged > 10,
        "{acknowledged} entries of 10 kB, with room for 128 KiB more"
    );
    disk.set_room(None);
    append(acknowledged + 1).await.expect("there is room again");
    assert_eq!(read(&*store, "a").await.len() as u64, acknowledged + 1);
}

/// Linux keeps pages it could not write, and calls them clean: what a restarted process reads back from them is on no disk.
#[tokio::test]
async fn what_a_failed_sync_left_in_the_page_cache_is_written_again_before_it_counts() {
    for seed in 1..=40 {
        let disk = Simulated::new(seed);
        let running = engine(&disk);
        let store = running.store(STORE).await.unwrap();
        let append = |number: u64| {
            let record = Record::new(format!("entry {number}"));
            Transaction::single(path("a"), Sequence(number), vec![record])
        };
        store.append(append(1)).await.unwrap();
        let second = append(2);
        disk.refuse_changes();
        let outcome = store.append(second.clone()).await;
        assert!(matches!(outcome, Err(AppendError::Indeterminate(_))), "{outcome:?}");
        disk.restore_power();
        drop((store, running));
        let restarted = engine(&disk);
        let store = restarted.store(STORE).await.unwrap();
        store.append(second).await.expect("a retry is answered");
        store.append(append(3)).await.unwrap();
        let after = engine(&disk.after_worst_power_loss());
        let store = after.store(STORE).await.expect("nothing is damaged");
        assert_eq!(read(&*store, "a").await.len(), 3, "seed {seed}");
    }
}

#[tokio::test]
async fn after_a_failed_sync_the_store_refuses_writes_and_goes_on_reading() {
    let disk = Simulated::default();
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    let mut remembered = Remembered::default();
    assert!(work(&*store, &mut Dice::new(5), 3, &mut remembered).await);
    disk.refuse_changes();
    assert!(!work(&*store, &mut Dice::new(6), 1, &mut remembered).await);
    assert!(store.writable().is_err() && running.ready().is_err());
    let refused = store
        .append(Transaction::single(path("d"), Sequence(1), vec![Record::new("x")]))
        .await;
    assert!(
        matches!(refused, Err(AppendError::Rejected(Rejection::Storage(_)))),
        "{refused:?}"
    );
    let written: usize = remembered.acknowledged.values().map(Vec::len).sum();
    let mut readable = 0;
    for segment in SEGMENTS {
        readable += read(&*store, segment).await.len();
    }
    assert_eq!(readable, written);
    assert!(disk.changes() > 0);
}

#[tokio::test]
async fn a_full_disk_refuses_appends_loses_nothing_and_is_over_once_there_is_room() {
    let disk = Simulated::default();
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    disk.set_room(Some(disk.used() + 5 * limits::EXTENT_BYTES_MIN as usize));
    let append = async |sequence: u64| append_large(&*store, sequence).await;
    let acknowledged = append_until_full(&*store).await;
    assert!(acknowledged > 15, "{acknowledged}");
    assert_eq!(read(&*store, "a").await.len() as u64, acknowledged);
    assert!(store.writable().is_ok(), "a full disk passes");
    assert!(append(acknowledged + 1).await.is_err());
    disk.set_room(None);
    append(acknowledged + 1).await.unwrap();
    drop((store, running));
    let store = engine(&disk.after_worst_power_loss()).store(STORE).await.unwrap();
    assert_eq!(read(&*store, "a").await.len() as u64, acknowledged + 1);
}

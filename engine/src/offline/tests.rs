//! Damage of every kind, and what each tool says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod at_least;
mod directory;
mod headers;
mod moved;
mod trimmed;
mod unproven;

use crate::backup::{FolderSource, Recheck, backup, backup_with};
use crate::disk::{Disk, OpenMode, read_all};
use crate::simulation::Simulated;
use crate::*;

const DIR: &str = "/data";
const STORES: [StoreId; 2] = [StoreId(uuid::Uuid::from_u128(1)), StoreId(uuid::Uuid::from_u128(2))];
const SEGMENTS: [&str; 5] = ["a", "b", "c", "d", "e"];

type Entries = BTreeMap<(StoreId, SegmentPath), Vec<Entry>>;

/// What was ever written, and what can be read of it.
struct History {
    disk: Simulated,
    ever: BTreeSet<(StoreId, SegmentPath, Sequence, Vec<u8>, i64, uuid::Uuid)>,
    readable: Entries,
}

fn config(disk: &Simulated, dir: &str) -> EngineConfig {
    let mut config = EngineConfig::new(PathBuf::from(dir));
    config.disk = Arc::new(disk.clone());
    config.extent_bytes = limits::EXTENT_BYTES_MIN;
    (config.commit_threads, config.read_threads) = (2, 1);
    config
}

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("s", segment).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

async fn read(store: &dyn Store) -> BTreeMap<SegmentPath, Vec<Entry>> {
    let mut all = BTreeMap::new();
    for segment in SEGMENTS {
        let mut entries = Vec::new();
        let mut reader = store.read_segment(SegmentRead::all(path(segment)));
        while let Some(batch) = reader.next_batch().await.unwrap() {
            entries.extend(batch);
        }
        all.insert(path(segment), entries);
    }
    all
}

fn read_all_stores(disk: &Simulated, dir: &str) -> Entries {
    run(async {
        let engine = Engine::open(config(disk, dir)).unwrap();
        let mut all = Entries::new();
        for id in STORES {
            let store = engine.store(id).await.unwrap();
            all.extend(
                read(&*store)
                    .await
                    .into_iter()
                    .map(|(path, entries)| ((id, path), entries)),
            );
        }
        engine.close().await;
        all
    })
}

/// Two stores of some extents, opened several times; with trims, a delete, and groups of several transactions.
fn history(seed: u64) -> History {
    let disk = Simulated::new(seed);
    let mut dice = Dice::new(seed);
    let mut ever = BTreeSet::new();
    for life in 0..3 {
        run(async {
            let engine = Engine::open(config(&disk, DIR)).unwrap();
            for id in STORES {
                let store = engine.store(id).await.unwrap();
                for round in 0..12 {
                    let mut tasks = Vec::new();
                    for (number, segment) in SEGMENTS.into_iter().enumerate() {
                        let head = store
                            .peek(&path(segment))
                            .await
                            .unwrap()
                            .map_or(Sequence(0), |last| last.sequence);
                        let text = format!("{segment} {life} {round} {}", "x".repeat(dice.below(900) as usize));
                        let record = Record {
                            payload: text.into(),
                            metadata: Metadata::from_pairs([("n", number.to_string())]),
                        };
                        let records = vec![record; 1 + dice.below(3) as usize];
                        tasks.push((head, Transaction::single(path(segment), head.next(), records)));
                    }
                    let calls = tasks.iter().map(|(_, transaction)| {
                        let (store, transaction) = (Arc::clone(&store), transaction.clone());
                        tokio::spawn(async move { store.append(transaction).await.unwrap() })
                    });
                    let calls: Vec<_> = calls.collect();
                    for (call, (head, transaction)) in calls.into_iter().zip(&tasks) {
                        let committed = call.await.unwrap();
                        let part = &transaction.segments[0];
                        for (record, sequence) in part.records.iter().zip(head.0 + 1..) {
                            let payload = record.payload.to_vec();
                            let time = committed.timestamp.0;
                            ever.insert((id, part.path.clone(), Sequence(sequence), payload, time, transaction.id));
                        }
                    }
                    if life == 1 && round == 4 {
                        store.trim(&path("b"), Sequence(9)).await.unwrap();
                        store.delete(&path("c")).await.unwrap();
                    }
                }
            }
            engine.close().await;
        });
    }
    let readable = read_all_stores(&disk.copy(), DIR);
    History { disk, ever, readable }
}

fn verified(disk: &Simulated, dir: &str) -> VerifyReport {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    verify_on(&disk, Path::new(dir), &mut |_| {}).unwrap()
}

fn file(store: StoreId, name: &str) -> PathBuf {
    Path::new(DIR).join("stores").join(store.to_string()).join(name)
}

fn extent(number: u64) -> PathBuf {
    file(STORES[0], &format!("{number:020}.extent"))
}

fn repaired(disk: &Simulated, target: &str, options: impl Into<RepairOptions>) -> RepairReport {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    repair_on(&disk, Path::new(DIR), Path::new(target), options, &mut |_| {}).unwrap()
}

/// Repairs a damaged directory and compares: what is in the new one was written, and what is not in it is told.
fn check_repair(history: &History, disk: &Simulated, keep: Keep, what: &str) -> (RepairReport, Entries) {
    let target = "/target";
    let report = repaired(disk, target, keep);
    let again = verified(disk, target);
    assert!(again.is_clean(), "{what}: {again:?}");
    let there = read_all_stores(disk, target);
    let counted: u64 = report.stores.iter().map(|store| store.entries).sum();
    let read: usize = there.values().map(Vec::len).sum();
    assert!(
        report.stores.len() < 2 || counted == read as u64,
        "{what}: {counted} entries, {read} read"
    );
    for ((store, path), entries) in &there {
        for entry in entries {
            let payload = entry.payload.to_vec();
            let key = (
                *store,
                path.clone(),
                entry.sequence,
                payload,
                entry.timestamp.0,
                entry.trx.id,
            );
            assert!(
                history.ever.contains(&key),
                "{what}: {path} {} was never written",
                entry.sequence
            );
        }
    }
    for ((store, path), entries) in &history.readable {
        let Some(told) = report.stores.iter().find(|told| told.store == *store) else {
            continue;
        };
        let kept: BTreeSet<Sequence> = there[&(*store, path.clone())]
            .iter()
            .map(|entry| entry.sequence)
            .collect();
        let unknown = told.damage.iter().any(|damage| !damage.affected_is_all);
        let ranges = || {
            told.damage
                .iter()
                .flat_map(|damage| &damage.affected)
                .chain(&told.left_out)
        };
        for entry in entries.iter().filter(|entry| !kept.contains(&entry.sequence)) {
            let sequence = entry.sequence;
            let named = ranges().any(|r| r.path == *path && r.first <= sequence && sequence <= r.last);
            assert!(
                named || unknown,
                "{what}: {path} {sequence} is missing in silence: {told:?}"
            );
        }
    }
    (report, there)
}

#[test]
fn a_whole_directory_is_simply_copied() {
    let history = history(1);
    let report = verified(&history.disk, DIR);
    assert!(report.is_clean(), "{report:?}");
    assert!(history.disk.files().len() > 12);
    for keep in [Keep::Newest, Keep::Oldest] {
        let (report, there) = check_repair(&history, &history.disk.copy(), keep, "nothing");
        assert!(report.is_complete());
        assert_eq!(there, history.readable, "with the numbers of their transactions");
    }
}

/// Changes some bytes, or takes the file away; says what it did.
fn damage(disk: &Simulated, path: &Path, dice: &mut Dice) -> String {
    let kind = dice.below(8);
    if kind == 0 {
        disk.remove(path).unwrap();
        return format!("{} removed", path.display());
    }
    let mut place = 0;
    disk.damage(path, |bytes| {
        let at = dice.below(bytes.len().max(1) as u64) as usize;
        place = at;
        let length = [1, 512, 4096, 20_000][dice.below(4) as usize];
        let end = bytes.len().min(at + length);
        match kind {
            1 => bytes.truncate(at),
            2 | 3 => bytes[at..end].fill(0),
            4 => bytes[at..end].fill_with(|| dice.any() as u8),
            5 => bytes[at / 4096 * 4096..end].fill(0),
            _ => bytes[at] ^= 1 << dice.below(8),
        }
    });
    format!("{} damaged at {place}, kind {kind}", path.display())
}

#[test]
fn whatever_is_damaged_all_that_is_whole_is_kept_and_all_that_is_missing_is_told() {
    let histories = [history(2), history(3)];
    for seed in 0..100 {
        let history = &histories[seed as usize % 2];
        let mut dice = Dice::new(seed);
        let disk = history.disk.copy();
        let files: Vec<PathBuf> = disk
            .files()
            .into_keys()
            .filter(|path| path.starts_with("/data/stores"))
            .collect();
        let mut what = format!("seed {seed}");
        let damages = 1 + dice.below(3);
        for _ in 0..damages {
            let path = &files[dice.below(files.len() as u64) as usize];
            // Without the checkpoint, damage at the end of a log looks like a torn write.
            if disk.files().contains_key(path) && (damages == 1 || !path.ends_with("checkpoint")) {
                what += &format!(", {}", damage(&disk, path, &mut dice));
            }
        }
        let found = verified(&disk, DIR);
        let mut shown = 0;
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut show = |_| {
            shown += 1;
            true
        };
        inspect_on(&shared, Path::new(DIR), InspectQuery::default(), &mut |_| {}, &mut show).unwrap();
        assert!(shown > 100, "{what}");
        for number in 1..4 {
            inspect_hex_on(&shared, Path::new(DIR), STORES[0], number, 3, &mut |_| true).unwrap();
        }
        let keep = [Keep::Newest, Keep::Oldest][dice.below(2) as usize];
        let (report, there) = check_repair(history, &disk, keep, &what);
        let missing = history.readable.iter().any(|(at, entries)| {
            let kept: BTreeSet<Sequence> = there[at].iter().map(|entry| entry.sequence).collect();
            entries.iter().any(|entry| !kept.contains(&entry.sequence))
        });
        assert!(
            !missing || !found.is_clean(),
            "{what}: something is missing, and verify says nothing"
        );
        assert!(
            !missing || !report.is_complete(),
            "{what}: something is missing, and repair says nothing"
        );
    }
}

#[test]
fn all_damage_of_all_stores_is_told() {
    let history = history(4);
    let disk = history.disk.copy();
    disk.damage(&extent(1), |bytes| bytes[100] ^= 1);
    disk.damage(&extent(2), |bytes| bytes[9000] ^= 1);
    disk.remove(&extent(3)).unwrap();
    disk.damage(&file(STORES[0], "checkpoint"), |bytes| bytes[40] ^= 1);
    disk.damage(&file(STORES[0], "00000000000000000001.index"), |bytes| bytes[5000] ^= 1);
    disk.damage(&file(STORES[1], "00000000000000000001.extent"), |bytes| {
        bytes[6000] ^= 1
    });
    let report = verified(&disk, DIR);
    let found = |store: usize| {
        report.stores[store]
            .damage
            .iter()
            .map(|damage| (damage.extent, damage.affected.len()))
    };
    let first: Vec<(u64, usize)> = found(0).collect();
    let extents: Vec<u64> = first.iter().map(|&(extent, _)| extent).collect();
    assert_eq!(extents, [0, 1, 1, 2, 3], "{report:?}");
    assert!((1..=4).contains(&first[3].1), "the segments of one group: {report:?}");
    assert_eq!(found(1).count(), 1, "{report:?}");
    assert!(
        report.stores[0].damage.iter().all(|damage| damage.affected_is_all),
        "the index files tell: {report:?}"
    );
    check_repair(&history, &disk, Keep::Newest, "all");
}

#[test]
fn the_neighbours_tell_what_is_gone_where_no_index_file_does() {
    let history = history(5);
    let with = history.disk.copy();
    with.damage(&extent(2), |bytes| bytes[20_000] ^= 1);
    let without = with.copy();
    without.remove(&extent(2).with_extension("index")).unwrap();
    let (with, without) = (verified(&with, DIR), verified(&without, DIR));
    let (with, without) = (&with.stores[0].damage, &without.stores[0].damage);
    assert_eq!((with.len(), without.len()), (1, 1));
    assert!(with[0].affected_is_all && !without[0].affected_is_all);
    // Nothing proves then which of the group's other transactions belong there.
    assert!(without[0].lost_transactions >= with[0].lost_transactions && with[0].lost_transactions.is_some());
    assert!(!without[0].affected.is_empty());
    for range in &with[0].affected {
        let mut there = without[0].affected.iter();
        assert!(there.any(|other| other.path == range.path && other.first <= range.first && range.last <= other.last));
    }
}

#[test]
fn a_damaged_header_costs_no_entry() {
    let history = history(6);
    for number in [1, 2, 3] {
        let disk = history.disk.copy();
        disk.damage(&extent(number), |bytes| bytes[..4096].fill(0));
        let report = verified(&disk, DIR);
        assert_eq!(report.stores[0].damage.len(), 1, "{report:?}");
        let (report, there) = check_repair(&history, &disk, Keep::Newest, "a header");
        assert!(report.is_complete());
        assert_eq!(there, history.readable);
    }
}

#[test]
fn a_target_is_empty_and_apart_and_never_opened_before_it_is_whole() {
    let history = history(7);
    let disk: Arc<dyn Disk> = Arc::new(history.disk.copy());
    let repair = |target: &str| repair_on(&disk, Path::new(DIR), Path::new(target), Keep::Newest, &mut |_| {});
    assert!(repair(DIR).is_err());
    assert!(repair("/data/stores/new").is_err());
    repair("/new").unwrap();
    assert!(repair("/new").is_err());
    // The disk takes no more in the middle of it.
    let broken = history.disk.copy();
    broken.cut_power_after(40);
    let cut: Arc<dyn Disk> = Arc::new(broken.clone());
    assert!(repair_on(&cut, Path::new(DIR), Path::new("/new"), Keep::Newest, &mut |_| {}).is_err());
    broken.restore_power();
    assert!(Engine::open(config(&broken, "/new")).is_err());
}

/// One store whose segments `a` and `b` got an entry each, in this order.
fn small(first: &str, second: &str) -> Simulated {
    let disk = Simulated::new(1);
    for segment in [first, second] {
        run(async {
            let engine = Engine::open(config(&disk, DIR)).unwrap();
            let store = engine.store(STORES[0]).await.unwrap();
            let records = vec![Record {
                payload: "text".into(),
                metadata: Metadata::from_pairs([("key", "value")]),
            }];
            let transaction = Transaction::single(path(segment), Sequence(1), records);
            store.append(transaction).await.unwrap();
            engine.close().await;
        });
    }
    disk
}

#[test]
fn a_checkpoint_that_disagrees_with_its_log_is_damage() {
    let (disk, other) = (small("a", "b"), small("b", "a"));
    let checkpoint = file(STORES[0], "checkpoint");
    assert!(verified(&disk, DIR).is_clean());
    let foreign = other.files()[&checkpoint].clone();
    let misplaced = disk.copy();
    misplaced.damage(&checkpoint, |bytes| *bytes = foreign);
    let report = verified(&misplaced, DIR);
    assert!(report.stores[0].damage[0].found.contains("checkpoint"), "{report:?}");
    let (report, there) = (
        repaired(&misplaced, "/target", Keep::Newest),
        read_all_stores(&disk, DIR),
    );
    let told = &report.stores[0].damage[0];
    assert!(!told.affected_is_all, "its own log may have held more: {report:?}");
    assert_eq!(read_all_stores(&misplaced, "/target"), there);
    // One whose position no group begins or ends at.
    let moved = disk.copy();
    moved.damage(&checkpoint, |bytes| {
        bytes[40] -= 8;
        let crc = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    assert!(!verified(&moved, DIR).is_clean());
}

#[test]
fn an_index_file_tells_that_the_extent_behind_its_own_is_missing() {
    let history = history(8);
    let disk = history.disk.copy();
    let last = disk.files().into_keys().rfind(|path| {
        path.starts_with(extent(1).parent().unwrap()) && path.extension().is_some_and(|end| end == "index")
    });
    let sealed: u64 = last.unwrap().file_stem().unwrap().to_str().unwrap().parse().unwrap();
    for number in sealed + 1..sealed + 3 {
        let _ = disk.remove(&extent(number));
    }
    disk.remove(&file(STORES[0], "checkpoint")).unwrap();
    let report = verified(&disk, DIR);
    let damage = report.stores[0].damage.first().expect("the open extent is gone");
    assert_eq!((damage.extent, damage.affected_is_all), (sealed + 1, false));
    // Nor is it opened or backed up, also where the last group that is there is not whole either.
    for zeroed in [false, true] {
        let disk = disk.copy();
        if zeroed {
            disk.damage(&extent(sealed), |bytes| {
                let last = memchr::memmem::rfind(bytes, &format::group::GROUP_MAGIC).unwrap();
                bytes[last..].fill(0);
            });
        }
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let source = FolderSource::open(Arc::clone(&shared), Path::new(DIR)).unwrap();
        let error = backup(&source, &shared, Path::new("/backup"), &mut |_| {}).unwrap_err();
        assert!(error.is_damage(), "{error}");
        drop(source);
        let engine = Engine::open(config(&disk, DIR)).unwrap();
        assert!(engine.open_store(STORES[0]).is_err(), "zeroed: {zeroed}");
    }
}

#[test]
fn a_copy_that_the_device_cannot_read_any_more_is_made_again() {
    let disk = history(12).disk.copy();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let source = FolderSource::open(Arc::clone(&shared), Path::new(DIR)).unwrap();
    let target = Path::new("/backup");
    backup(&source, &shared, target, &mut |_| {}).unwrap();
    let copy = target.join(extent(1).strip_prefix(DIR).unwrap());
    for (byte, recheck) in [(5000, Recheck::Bytes), (0, Recheck::Header)] {
        disk.lose(&copy, byte);
        let report = backup_with(&source, &shared, target, recheck, &mut |_| {}).unwrap();
        assert!(report.copied_extents > 0, "{recheck:?}");
        assert!(
            shared
                .open(&copy, OpenMode::Read)
                .and_then(|file| read_all(&*file))
                .is_ok()
        );
    }
}

/// Gives a store's last group, of one transaction, another header or other bytes, with checksums that are right.
fn rewrite_last(disk: &Simulated, change: impl FnOnce(&mut format::group::GroupHeader, &mut [u8])) {
    use crate::format::extent_header::ExtentHeader;
    use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader};
    disk.remove(&file(STORES[0], "checkpoint")).unwrap();
    disk.damage(&extent(1), |bytes| {
        let salt = ExtentHeader::decode(bytes).unwrap().salt;
        let at = memchr::memmem::rfind(bytes, &GROUP_MAGIC).unwrap();
        let mut group = GroupHeader::decode(salt, &bytes[at..]).unwrap();
        let bytes = &mut bytes[at..at + GROUP_HEADER_BYTES + group.body_bytes as usize];
        let transaction = &mut bytes[GROUP_HEADER_BYTES..];
        change(&mut group, transaction);
        let crc = crc32fast::hash(&transaction[8..]);
        transaction[4..8].copy_from_slice(&crc.to_le_bytes());
        group.seal(salt, bytes);
    });
}

#[test]
fn an_entry_that_no_reader_could_decode_is_damage() {
    let disk = small("a", "b");
    rewrite_last(&disk, |_, transaction| {
        let key = memchr::memmem::find(transaction, b"key").unwrap();
        transaction[key] = 0xff;
    });
    let report = verified(&disk, DIR);
    assert_eq!(report.stores[0].damage.len(), 1, "{report:?}");
    let report = repaired(&disk, "/target", Keep::Newest);
    assert!(!report.is_complete());
    let there = read_all_stores(&disk, "/target");
    assert_eq!(there[&(STORES[0], path("a"))].len(), 1);
    assert_eq!(there[&(STORES[0], path("b"))].len(), 0);
}

#[test]
fn blocks_that_the_device_cannot_read_any_more_cost_what_stands_in_them_and_no_more() {
    let history = history(9);
    let disk = history.disk.copy();
    disk.lose(&extent(2), 20_000);
    disk.lose(&extent(3), 0);
    disk.lose(&extent(1).with_extension("index"), 5000);
    let report = verified(&disk, DIR);
    let mut found: Vec<(u64, bool)> = report.stores[0]
        .damage
        .iter()
        .map(|damage| (damage.extent, damage.found.contains("cannot be read")))
        .collect();
    // A block may hold the end of a group and the begin of another: the first of them says why.
    found.dedup_by_key(|(extent, _)| *extent);
    assert_eq!(found, [(1, true), (2, true), (3, true)], "{report:?}");
    check_repair(&history, &disk, Keep::Newest, "unreadable blocks");
    // Behind the end of the log nothing says what stood there.
    let disk = small("a", "b");
    disk.remove(&file(STORES[0], "checkpoint")).unwrap();
    disk.lose(&extent(1), 40_000);
    assert!(!verified(&disk, DIR).is_clean());
    assert!(!repaired(&disk, "/target", Keep::Newest).is_complete());
}

#[test]
fn a_repair_that_was_interrupted_begins_anew() {
    let history = history(10);
    let broken = history.disk.copy();
    broken.cut_power_after(60);
    let disk: Arc<dyn Disk> = Arc::new(broken.clone());
    assert!(repair_on(&disk, Path::new(DIR), Path::new("/new"), Keep::Newest, &mut |_| {}).is_err());
    broken.restore_power();
    let refused = verify_on(&disk, Path::new("/new"), &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("unfinished repair"), "{refused}");
    repair_on(&disk, Path::new(DIR), Path::new("/new"), Keep::Newest, &mut |_| {}).unwrap();
    assert_eq!(read_all_stores(&broken, "/new"), history.readable);
}

#[test]
fn a_disk_that_was_mounted_for_reading_only_can_be_looked_into() {
    let disk = small("a", "b");
    disk.allow_no_locks();
    assert!(verified(&disk, DIR).is_clean());
}

#[test]
fn the_headers_of_a_log_that_is_written_anew_say_what_came_before_them() {
    let history = history(11);
    repaired(&history.disk, "/target", Keep::Newest);
    let shared: Arc<dyn Disk> = Arc::new(history.disk.clone());
    let (mut state, mut extents) = (format::extent_header::LogState::default(), Vec::new());
    let mut show = |shown| {
        match shown {
            Inspection::Extent(extent) => extents.push(extent.header.unwrap()),
            Inspection::Group(group) => {
                if group.at.byte == 4096 {
                    assert_eq!(
                        state,
                        extents[group.at.extent as usize - 1].state,
                        "extent {}",
                        group.at.extent
                    );
                }
                (state.epoch, state.group_number) = (group.header.epoch, group.header.number);
                state.chain = group.header.link;
            }
            Inspection::Transaction(transaction) => {
                (state.trx_number, state.last_timestamp) = (transaction.header.number, transaction.header.timestamp);
            }
            _ => {}
        }
        true
    };
    let query = InspectQuery {
        store: Some(STORES[0]),
        extent: None,
    };
    inspect_on(&shared, Path::new("/target"), query, &mut |_| {}, &mut show).unwrap();
    assert!(extents.len() > 1);
}

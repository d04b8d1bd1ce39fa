//! Backups from faulty sources: missing files, leftovers, contradictions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use streamkit_engine::backup::Manifest;
use streamkit_engine::backup::{self, Recheck};
use streamkit_engine::boundary::backup::{BackupError, BackupReport, ExtentPrefix, LogPrefix, Pieces, Source};
use streamkit_engine::disk::Disk;
use streamkit_engine::disk::files::Files;
use streamkit_engine::{StoreId, verify};
use uuid::Uuid;

use crate::backup::*;

fn places<const N: usize>(dir: &Path, names: [&str; N]) -> [PathBuf; N] {
    names.map(|name| dir.join(name))
}

#[test]
fn an_extent_that_is_missing_is_damage_wherever_it_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target, other, back] = places(dir.path(), ["data", "target", "other", "back"]);
    let engine = open(&data);
    append(&engine, 1..=200);
    take(&engine, &target).unwrap();
    std::fs::remove_file(extent(&target, 2)).unwrap();
    let missed = give(&target, &back).unwrap_err();
    assert!(missed.is_damage(), "{missed}");
    // The next backup has it again.
    take(&engine, &target).unwrap();
    assert_eq!(entries(&target), 200);
    std::fs::remove_file(extent(&data, 2)).unwrap();
    let missed = take(&engine, &other).unwrap_err();
    assert!(missed.is_damage(), "{missed}");
    close(engine);
    let missed = take_folder(&data, &other).unwrap_err();
    assert!(missed.is_damage(), "{missed}");
}

/// What a process that was killed left, and what others put there, is in nobody's way.
#[test]
fn leftovers_in_a_target_are_removed_and_files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = places(dir.path(), ["data", "target"]);
    let engine = open(&data);
    append(&engine, 1..=100);
    take(&engine, &target).unwrap();
    // Of an extent that is not copied again.
    let left = extent(&target, 1).with_extension("tmp");
    std::fs::write(&left, vec![1; 5000]).unwrap();
    let foreign = target.join("stores/.directory");
    std::fs::write(&foreign, "x").unwrap();
    take(&engine, &target).unwrap();
    assert!(!left.exists(), "it holds room that may be missing");
    assert!(foreign.exists());
    assert_eq!(entries(&target), 100);
}

/// Drops the first extents of each log, as a server that has lost them might.
struct Beheaded(streamkit_engine::Engine);

impl Source for Beheaded {
    fn stores(&self) -> Result<Vec<StoreId>, BackupError> {
        self.0.stores()
    }
    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError> {
        let mut prefix = self.0.prefix(store)?;
        prefix.extents.remove(0);
        Ok(prefix)
    }
    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError> {
        self.0.read(store, extent)
    }
}

#[test]
fn a_log_without_its_beginning_is_not_taken_for_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = places(dir.path(), ["data", "target"]);
    let engine = open(&data);
    append(&engine, 1..=200);
    let refused = take(&Beheaded(engine), &target).unwrap_err();
    assert!(refused.to_string().contains("makes no sense"), "{refused}");
    assert!(Manifest::read(&Files, &target).unwrap().is_none());
}

/// A length that no extent has is refused, and no byte is read for it.
#[test]
fn fewer_bytes_than_a_header_are_no_extent() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("data"));
    append(&engine, 1..=10);
    let found = engine.prefix(STORE).unwrap().extents[0];
    for used_bytes in [0, 1, 100, 4095] {
        let extent = ExtentPrefix { used_bytes, ..found };
        assert!(engine.read(STORE, &extent).is_err(), "{used_bytes}");
    }
}

/// An engine takes no room while it commits: an extent that is restored open has all of its room, as one that was prepared.
#[cfg(unix)]
#[test]
fn the_extent_in_which_a_restored_log_goes_on_has_its_room() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = places(dir.path(), ["data", "target"]);
    let engine = open(&data);
    append(&engine, 1..=70);
    let last = *engine.prefix(STORE).unwrap().extents.last().unwrap();
    assert!(u64::from(last.used_bytes) < last.capacity / 2);
    take(&engine, &target).unwrap();
    for (name, disk) in [("files", disk()), ("best", streamkit_engine::disk::best())] {
        let back = dir.path().join(name);
        streamkit_engine::backup::restore(&disk, &target, &back, &mut |_| {}).unwrap();
        let found = std::fs::metadata(extent(&back, last.extent)).unwrap();
        assert_eq!(found.len(), last.capacity);
        assert!(
            found.blocks() * 512 >= last.capacity,
            "{name}: {} blocks",
            found.blocks()
        );
        assert_eq!(entries(&back), 70);
    }
    // A copy needs no more than what it holds.
    let copy = std::fs::metadata(extent(&target, last.extent)).unwrap();
    assert!(copy.blocks() * 512 < last.capacity);
}

#[test]
fn a_folder_named_like_a_store_in_other_letters_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = places(dir.path(), ["data", "target"]);
    let engine = open(&data);
    append(&engine, 1..=1);
    let other = Uuid::from_u128(0xabc).simple().to_string().to_uppercase();
    std::fs::create_dir(data.join("stores").join(other)).unwrap();
    assert_eq!(engine.stores().unwrap(), [STORE]);
    assert_eq!(take(&engine, &target).unwrap().stores, 1);
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[byte] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn extent_of(dir: &Path, store: StoreId, number: u64) -> PathBuf {
    dir.join(format!("stores/{store}/{number:020}.extent"))
}

fn entries_of(dir: &Path, store: StoreId) -> Option<u64> {
    let report = verify(dir, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let found = report.stores.iter().find(|found| found.store == store);
    found.map(|found| found.entries)
}

fn incomplete(outcome: Result<BackupReport, BackupError>) -> (BackupReport, Vec<StoreId>) {
    let error = outcome.unwrap_err();
    assert!(error.is_damage(), "{error}");
    match error {
        BackupError::Incomplete { report, failed } => (report, failed.into_iter().map(|(store, _)| store).collect()),
        other => panic!("{other}"),
    }
}

/// Of a thousand stores, one that is damaged must not keep the others from being backed up, night after night.
#[test]
fn a_store_that_cannot_be_read_is_named_and_all_others_are_backed_up() {
    let stores = [1, 2, 3].map(|id| StoreId(Uuid::from_u128(id)));
    // In the header that every list reads, or in bytes that are only read when they are copied.
    for byte in [100, 5000] {
        let dir = tempfile::tempdir().unwrap();
        let [data, target, first, back] = places(dir.path(), ["data", "target", "first", "back"]);
        let engine = open(&data);
        stores.iter().for_each(|&store| append_to(&engine, store, 1..=10));
        take(&engine, &target).unwrap();
        stores.iter().for_each(|&store| append_to(&engine, store, 11..=100));
        let damaged = extent_of(&data, stores[1], 1);
        flip(&damaged, byte);
        let (report, failed) = incomplete(take(&engine, &target));
        assert_eq!((failed, report.stores), (vec![stores[1]], 3));
        // A first backup has nothing of it.
        let (report, failed) = incomplete(take(&engine, &first));
        assert_eq!((failed, report.stores), (vec![stores[1]], 2));
        let restored = give(&target, &back).unwrap();
        assert_eq!(restored.unreadable, [stores[1]]);
        assert_eq!(
            stores.map(|store| entries_of(&back, store)),
            [Some(100), Some(10), Some(100)]
        );
        let restored = give(&first, &dir.path().join("back-first")).unwrap();
        assert_eq!((restored.stores, restored.unreadable), (2, vec![stores[1]]));
        // At rest, the same. It was not forgotten meanwhile, and is complete once it can be read.
        close(engine);
        assert_eq!(incomplete(take_folder(&data, &target)).1, [stores[1]]);
        flip(&damaged, byte);
        for target in [target, first] {
            take_folder(&data, &target).unwrap();
            let back = target.with_extension("mended");
            assert!(give(&target, &back).unwrap().unreadable.is_empty());
            assert_eq!(stores.map(|store| entries_of(&back, store)), [Some(100); 3]);
        }
    }
}

#[test]
fn a_backup_of_nothing_but_damage_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = places(dir.path(), ["data", "target"]);
    let engine = open(&data);
    append(&engine, 1..=10);
    flip(&extent(&data, 1), 5000);
    incomplete(take(&engine, &target));
    assert!(Manifest::read(&Files, &target).unwrap().is_none());
    assert!(verify(&target, &mut |_| {}).is_err());
}

/// A target that takes no more is not the fault of the store that was being copied.
#[test]
fn a_target_that_fails_ends_the_backup() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("data"));
    for id in [1, 2] {
        append_to(&engine, StoreId(Uuid::from_u128(id)), 1..=10);
    }
    let mut failures = 0;
    for changes in 0.. {
        let dying: Arc<dyn Disk> = Arc::new(Dying(Arc::new(AtomicI64::new(changes))));
        let target = dir.path().join(changes.to_string());
        match backup::backup(&engine, &dying, &target, &mut |_| {}) {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, BackupError::Storage(_)), "{changes}: {error}"),
        }
        failures += 1;
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn a_copy_that_rotted_is_found_by_a_recheck_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target, back] = places(dir.path(), ["data", "target", "back"]);
    let engine = open(&data);
    append(&engine, 1..=200);
    let first = take(&engine, &target).unwrap();
    let recheck = || {
        let mut last = None;
        let report = backup::backup_with(&engine, &disk(), &target, Recheck::Bytes, &mut |now| last = Some(now));
        let last = last.unwrap();
        assert_eq!(last.bytes_done, last.bytes_total);
        report.unwrap()
    };
    assert_eq!((recheck().copied_extents, first.mended_extents), (1, 0));
    flip(&extent(&target, 1), 5000);
    assert_eq!(
        take(&engine, &target).unwrap().mended_extents,
        0,
        "its header and size are right"
    );
    assert!(give(&target, &back).unwrap_err().is_damage());
    let mended = recheck();
    assert_eq!((mended.copied_extents, mended.mended_extents), (2, 1));
    assert_eq!(
        give(&target, &dir.path().join("again")).unwrap().verified.stores[0].entries,
        200
    );
    // Where the source is damaged too, nothing replaces the copy, and the manifest still says what it should be.
    flip(&extent(&target, 2), 5000);
    flip(&extent(&data, 2), 6000);
    let damaged = backup::backup_with(&engine, &disk(), &target, Recheck::Bytes, &mut |_| {});
    assert_eq!(incomplete(damaged).1, [STORE]);
    flip(&extent(&target, 2), 5000);
    assert_eq!(
        give(&target, &dir.path().join("last")).unwrap().verified.stores[0].entries,
        200
    );
}

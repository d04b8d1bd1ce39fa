//! Backups of what is not in order: files that are missing, leftovers, sources that make no sense.

use std::path::{Path, PathBuf};

use streamkit_engine::StoreId;
use streamkit_engine::backup::manifest::Manifest;
use streamkit_engine::backup::{BackupError, ExtentPrefix, LogPrefix, Pieces, Source};
use streamkit_engine::disk::files::Files;
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

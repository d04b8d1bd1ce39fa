//! Backups and restores: what they hold, what they refuse, and that an interruption at any step costs nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use streamkit_engine::backup::Manifest;
use streamkit_engine::backup::{self, FolderSource};
use streamkit_engine::boundary::backup::{BackupError, BackupReport, Source as _};
use streamkit_engine::disk::blocks::Blocks;
use streamkit_engine::disk::files::Files;
use streamkit_engine::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode};
use streamkit_engine::*;
use uuid::Uuid;

pub(crate) const STORE: StoreId = StoreId(Uuid::from_u128(7));

pub(crate) fn open(dir: &Path) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir)
    })
    .unwrap()
}

pub(crate) fn path() -> SegmentPath {
    SegmentPath::new("space", "segment").unwrap()
}

pub(crate) fn append(engine: &Engine, sequences: std::ops::RangeInclusive<u64>) {
    append_to(engine, STORE, sequences);
}

pub(crate) fn append_to(engine: &Engine, store: StoreId, sequences: std::ops::RangeInclusive<u64>) {
    let store = engine.open_store(store).unwrap();
    for sequence in sequences {
        let record = Record::new(format!("{sequence} {}", "x".repeat(900)));
        let transaction = Transaction::single(path(), Sequence(sequence), vec![record]);
        store.append_blocking(transaction).unwrap();
    }
}

pub(crate) fn close(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Stores::close(&engine));
}

pub(crate) fn disk() -> Arc<dyn Disk> {
    Arc::new(Files)
}

pub(crate) fn take(source: &dyn backup::Source, target: &Path) -> Result<BackupReport, BackupError> {
    backup::backup(source, &disk(), target, &mut |_| {})
}

pub(crate) fn give(from: &Path, dir: &Path) -> Result<backup::RestoreReport, BackupError> {
    backup::restore(&disk(), from, dir, &mut |_| {})
}

pub(crate) fn take_folder(dir: &Path, target: &Path) -> Result<BackupReport, BackupError> {
    take(&FolderSource::open(disk(), dir).unwrap(), target)
}

/// Entries of a data directory without damage.
pub(crate) fn entries(dir: &Path) -> u64 {
    let report = verify(dir, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.stores.iter().all(|store| store.torn_tail.is_none()));
    report.stores.iter().map(|store| store.entries).sum()
}

pub(crate) fn extent(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("stores/{STORE}/{number:020}.extent"))
}

#[test]
fn an_engine_at_work_is_backed_up_and_only_what_is_new_is_copied_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target, back] = ["data", "target", "back"].map(|name| dir.path().join(name));
    let engine = open(&data);
    append(&engine, 1..=200);
    let first = take(&engine, &target).unwrap();
    assert!(first.extents > 2 && first.copied_extents == first.extents && first.stores == 1);
    assert_eq!(entries(&target), 200);
    append(&engine, 201..=300);
    let second = take(&engine, &target).unwrap();
    assert!(second.extents > first.extents);
    // The one that was open is copied again.
    assert_eq!(second.copied_extents, second.extents - first.extents + 1);
    assert_eq!(entries(&target), 300);
    // At rest, the same comes of it.
    close(engine);
    let third = take_folder(&data, &target).unwrap();
    assert_eq!((third.extents, third.copied_extents), (second.extents, 1));
    let restored = give(&target, &back).unwrap();
    assert_eq!(
        (restored.extents, restored.verified.stores[0].entries),
        (third.extents, 300)
    );
    assert_eq!(entries(&back), 300);
    // It goes on, and is backed up to the same place.
    let engine = open(&back);
    append(&engine, 301..=400);
    take(&engine, &target).unwrap();
    assert_eq!(entries(&target), 400);
    assert!(Manifest::read(&Files, &target).unwrap().is_some());
}

#[test]
fn a_repair_of_a_backup_that_lost_a_file_or_a_store_is_not_complete() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = ["data", "target"].map(|name| dir.path().join(name));
    let engine = open(&data);
    append(&engine, 1..=200);
    let extents = take(&engine, &target).unwrap().extents;
    close(engine);
    let repaired = |name: &str| repair_on(&disk(), &target, &dir.path().join(name), Keep::Newest, &mut |_| {}).unwrap();
    assert!(repaired("whole").is_complete());
    std::fs::remove_file(extent(&target, extents)).unwrap();
    let without_extent = repaired("without an extent");
    assert!(!without_extent.is_complete() && !without_extent.missing.is_empty());
    std::fs::remove_dir_all(target.join(format!("stores/{STORE}"))).unwrap();
    let without_store = repaired("without a store");
    assert!(!without_store.is_complete() && without_store.missing.len() == 1);
}

#[test]
fn a_store_without_entries_and_a_folder_without_stores_are_backed_up_too() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target, back] = ["data", "target", "back"].map(|name| dir.path().join(name));
    let engine = open(&data);
    engine.open_store(STORE).unwrap();
    assert_eq!(take(&engine, &target).unwrap(), BackupReport::default());
    give(&target, &back).unwrap();
    append(&open(&back), 1..=1);
}

#[test]
fn a_torn_write_is_left_out_and_damage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [data, crashed, target] = ["data", "crashed", "target"].map(|name| dir.path().join(name));
    let engine = open(&data);
    append(&engine, 1..=10);
    // As a crash leaves it: no checkpoint, and a write that did not come to its end.
    std::fs::create_dir_all(extent(&crashed, 1).parent().unwrap()).unwrap();
    std::fs::copy(data.join("format"), crashed.join("format")).unwrap();
    let mut bytes = std::fs::read(extent(&data, 1)).unwrap();
    let used = engine.prefix(STORE).unwrap().extents[0].used_bytes as usize;
    bytes[used..used + 100].copy_from_slice(&[b'S'; 100]);
    std::fs::write(extent(&crashed, 1), &bytes).unwrap();
    let report = verify(&crashed, &mut |_| {}).unwrap();
    assert!(report.stores[0].torn_tail.is_some());
    take_folder(&crashed, &target).unwrap();
    assert_eq!(entries(&target), 10);
    let before = Manifest::read(&Files, &target).unwrap();
    bytes[used / 2] ^= 1;
    std::fs::write(extent(&crashed, 1), &bytes).unwrap();
    let refused = take_folder(&crashed, &target).unwrap_err();
    assert!(refused.is_damage(), "{refused}");
    let after = Manifest::read(&Files, &target).unwrap().unwrap();
    assert_eq!(after.stores, before.unwrap().stores);
    assert!(after.unreadable.contains(&STORE.0));
    assert_eq!(entries(&target), 10);
}

#[test]
fn no_changed_byte_of_a_backup_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = ["data", "target"].map(|name| dir.path().join(name));
    let engine = open(&data);
    append(&engine, 1..=80);
    let prefix = engine.prefix(STORE).unwrap();
    assert_eq!(prefix.extents.len(), 2);
    take(&engine, &target).unwrap();
    let mut tried = 0;
    for found in &prefix.extents {
        let whole = std::fs::read(extent(&target, found.extent)).unwrap();
        for byte in (0..found.used_bytes as usize).step_by(1361) {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1 << (byte % 8);
            std::fs::write(extent(&target, found.extent), &bytes).unwrap();
            let back = dir.path().join(format!("back-{}-{byte}", found.extent));
            let refused = give(&target, &back).unwrap_err();
            assert!(refused.is_damage(), "extent {} byte {byte}: {refused}", found.extent);
            assert!(matches!(
                Engine::open(EngineConfig::new(&back)),
                Err(OpenError::Unfinished { what: "restore", .. })
            ));
            tried += 1;
        }
        let cut = found.used_bytes as usize - 8;
        std::fs::write(extent(&target, found.extent), &whole[..cut]).unwrap();
        assert!(
            give(&target, &dir.path().join(format!("cut-{}", found.extent)))
                .unwrap_err()
                .is_damage()
        );
        std::fs::write(extent(&target, found.extent), &whole).unwrap();
    }
    assert!(tried > 40, "{tried}");
    // The end of the open one is no torn write in a backup: what is missing is missed by `verify`, too.
    let last = prefix.extents[1];
    let mut bytes = std::fs::read(extent(&target, last.extent)).unwrap();
    bytes[last.used_bytes as usize - 500..].fill(0);
    std::fs::write(extent(&target, last.extent), &bytes).unwrap();
    assert!(!verify(&target, &mut |_| {}).unwrap().is_clean());
    let text = std::fs::read_to_string(target.join("backup.json")).unwrap();
    std::fs::write(
        target.join("backup.json"),
        text.replace("\"sealed\": true", "\"sealed\": false"),
    )
    .unwrap();
    assert!(give(&target, &dir.path().join("b")).unwrap_err().is_damage());
}

#[test]
fn what_is_no_backup_of_these_stores_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let engine = open(&at("data"));
    append(&engine, 1..=100);
    let refused = |outcome: Result<BackupReport, BackupError>, why: &str| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, BackupError::Refused(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    std::fs::create_dir(at("other")).unwrap();
    std::fs::write(at("other").join("photo.jpg"), "x").unwrap();
    refused(take(&engine, &at("other")), "not empty");
    refused(take(&engine, &at("data")), "must not stand in each other");
    take(&engine, &at("target")).unwrap();
    // Set back to the backup, and gone on otherwise.
    give(&at("target"), &at("fork")).unwrap();
    let fork = open(&at("fork"));
    append(&engine, 101..=103);
    append(&fork, 101..=104);
    take(&engine, &at("target")).unwrap();
    refused(take(&fork, &at("target")), "another history");
    append(&fork, 105..=200);
    refused(take(&fork, &at("target")), "another history");
    assert_eq!(entries(&at("target")), 103);
    // Another data directory, with another store.
    let another = open(&at("another"));
    refused(take(&another, &at("target")), "holds store");
    // A backup that was written to is none any more.
    take(&engine, &at("served")).unwrap();
    let served = open(&at("served"));
    append(&served, 104..=110);
    // As a kill of the process that served it would leave it.
    let left = std::process::Command::new("cp")
        .args(["-r", "served", "left"])
        .current_dir(dir.path())
        .status();
    assert!(left.unwrap().success());
    refused(take(&engine, &at("left")), "opened as a data directory");
    close(served);
    refused(take(&engine, &at("served")), "opened as a data directory");
    // Nothing is restored over something.
    for dir in ["data", "other"] {
        let error = give(&at("target"), &at(dir)).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }
    let none = give(&at("other"), &at("new")).unwrap_err();
    assert!(none.to_string().contains("no finished backup"), "{none}");
    assert!(!at("new").exists());
}

#[test]
fn a_fresh_mount_point_is_as_good_as_an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let engine = open(&at("data"));
    append(&engine, 1..=10);
    for mounted in ["target", "restored"] {
        std::fs::create_dir_all(at(mounted).join("lost+found")).unwrap();
    }
    take(&engine, &at("target")).unwrap();
    append(&engine, 11..=20);
    take(&engine, &at("target")).unwrap();
    give(&at("target"), &at("restored")).unwrap();
    assert_eq!(entries(&at("restored")), 20);
    assert!(at("target").join("lost+found").is_dir() && at("restored").join("lost+found").is_dir());
}

#[test]
fn what_an_interrupted_backup_of_another_history_left_is_not_mixed_in() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let engine = open(&at("data"));
    append(&engine, 1..=60);
    take(&engine, &at("old")).unwrap();
    give(&at("old"), &at("fork")).unwrap();
    let fork = open(&at("fork"));
    append(&engine, 61..=300);
    append(&fork, 61..=150);
    // All but the manifest.
    take(&engine, &at("target")).unwrap();
    std::fs::remove_file(at("target").join("backup.json")).unwrap();
    std::fs::write(at("target").join("format"), "unfinished backup\n").unwrap();
    take(&fork, &at("target")).unwrap();
    assert_eq!(entries(&at("target")), 150);
    give(&at("target"), &at("back")).unwrap();
    assert_eq!(entries(&at("back")), 150);
}

/// Files, until a number of changes were made: from then on as after the death of the process.
#[derive(Clone)]
pub(crate) struct Dying(pub(crate) Arc<AtomicI64>);

impl Dying {
    fn lives(&self) -> io::Result<()> {
        match self.0.fetch_sub(1, Ordering::Relaxed) > 0 {
            true => Ok(()),
            false => Err(io::Error::other("dead")),
        }
    }
}

struct DyingFile(Arc<dyn DiskFile>, Dying);
struct DyingLog(Arc<dyn LogFile>, Dying);

impl DiskFile for DyingFile {
    fn path(&self) -> &PathBuf {
        self.0.path()
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Half of it.
        if let Err(dead) = self.1.lives() {
            self.0.write_at(offset, &bytes[..bytes.len() / 2])?;
            return Err(dead);
        }
        self.0.write_at(offset, bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.lives()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.1.lives()
    }
}

impl LogFile for DyingLog {
    fn path(&self) -> &PathBuf {
        self.0.path()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.1.lives()?;
        self.0.write(offset, blocks)
    }
    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.1.lives()?;
        self.0.grow(offset, blocks)
    }
    fn allocate(&self, size: u64) -> io::Result<bool> {
        self.0.allocate(size)
    }
    fn settle(&self, size: u64) -> io::Result<()> {
        self.1.lives()?;
        self.0.settle(size)
    }
}

impl Disk for Dying {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.lives()?;
        std::fs::create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Files.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode != OpenMode::Read {
            self.lives()?;
        }
        Ok(Arc::new(DyingFile(Files.open(path, mode)?, self.clone())))
    }
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        self.lives()?;
        Ok(Arc::new(DyingLog(Files.open_log(path, create)?, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lives()?;
        Files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lives()?;
        Files.remove(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.lives()?;
        Files.remove_dir(path)
    }
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        self.lives()
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Files.lock(path)
    }
}

#[test]
fn a_backup_that_dies_at_any_step_leaves_the_one_before_and_can_be_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("data"));
    append(&engine, 1..=100);
    let mut deaths = 0;
    for first in [true, false] {
        for changes in (0..).step_by(if first { 1 } else { 2 }) {
            let target = dir.path().join(format!("{first}-{changes}"));
            let back = dir.path().join(format!("{first}-{changes}-back"));
            let old = engine.prefix(STORE).unwrap();
            if !first {
                take(&engine, &target).unwrap();
                append_more(&engine);
            }
            let dying: Arc<dyn Disk> = Arc::new(Dying(Arc::new(AtomicI64::new(changes))));
            let died = backup::backup(&engine, &dying, &target, &mut |_| {}).is_err();
            if died && first {
                // Nothing takes it for a backup, or for a data directory.
                let whole = Manifest::read(&Files, &target).unwrap().is_some();
                assert!(whole || give(&target, &back).is_err() && verify(&target, &mut |_| {}).is_err());
            } else if died {
                assert!(entries(&target) >= 100);
                let restored = give(&target, &back).unwrap();
                assert!(restored.extents >= old.extents.len() as u64);
                std::fs::remove_dir_all(&back).unwrap();
            }
            if !died {
                break;
            }
            deaths += 1;
            take(&engine, &target).unwrap();
            let now = engine.prefix(STORE).unwrap();
            assert_eq!(give(&target, &back).unwrap().extents, now.extents.len() as u64);
            assert_eq!(entries(&back), entries(&target));
            for gone in [&target, &back] {
                std::fs::remove_dir_all(gone).unwrap();
            }
        }
    }
    assert!(deaths > 30, "{deaths}");
}

/// As much as seals an extent.
fn append_more(engine: &Engine) {
    let head = engine.open_store(STORE).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let head = runtime.block_on(head.peek(&path())).unwrap().unwrap().sequence.0;
    append(engine, head + 1..=head + 70);
}

#[test]
fn a_restore_that_dies_at_any_step_is_opened_by_nothing_and_can_be_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let [data, target] = ["data", "target"].map(|name| dir.path().join(name));
    let engine = open(&data);
    append(&engine, 1..=100);
    take(&engine, &target).unwrap();
    let mut deaths = 0;
    for changes in 0.. {
        let back = dir.path().join(format!("back-{changes}"));
        let dying: Arc<dyn Disk> = Arc::new(Dying(Arc::new(AtomicI64::new(changes))));
        if backup::restore(&dying, &target, &back, &mut |_| {}).is_ok() {
            assert_eq!(entries(&back), 100);
            break;
        }
        deaths += 1;
        // Before anything was written, there is an empty folder, or none.
        let begun = back.join("format").exists();
        if begun && verify(&back, &mut |_| {}).is_ok() {
            // Its last step, the sync of the folder, died.
            assert_eq!(entries(&back), 100);
            continue;
        }
        if begun {
            assert!(matches!(
                Engine::open(EngineConfig::new(&back)),
                Err(OpenError::Unfinished { what: "restore", .. })
            ));
            // Another backup does not go on with it.
            let other = dir.path().join(format!("other-{changes}"));
            if changes % 5 == 0 {
                take(&open(&dir.path().join(format!("empty-{changes}"))), &other).unwrap();
                assert!(give(&other, &back).unwrap_err().to_string().contains("another backup"));
            }
        }
        let restored = give(&target, &back).unwrap();
        assert_eq!(
            restored.verified.stores[0].entries, 100,
            "verified, however far it had come"
        );
        assert_eq!(entries(&back), 100);
        assert!(!back.join("restoring").exists());
    }
    assert!(deaths > 20, "{deaths}");
}

//! Makes a data directory from a backup. A restore builds it in a folder within its place, verifies it as a whole, and
//! moves it there last. Until then the folder says that it is unfinished, and nothing opens it.

use std::path::Path;
use std::sync::Arc;

use super::apart::{refuse_overlap, refuse_within_data};
use super::check::{ExpectedExtent, check_file};
use super::copy::{CopyError, Copying, TargetRoom, copy_extent, remove_leftovers};
use super::progress::{CopyProgress, Stage};
use super::source::FolderSource;
use crate::boundary::backup::BackupError;
use crate::boundary::backup::Source as _;
use crate::directory::folder::lock_dir;
use crate::directory::manifest::Manifest;
use crate::directory::names::FileName;
use crate::directory::{UNFINISHED, is_unused, read_format, refuse_newer, replace_format, store_dir, write_format};
use crate::disk::Disk;
use crate::error::{DamagedPlace, OpenError, StorageError};
use crate::offline::verify::{VerifyReport, verify_on};
use streamkit_record::StoreId;

/// The folder within the new data directory that holds the work.
const STAGING: &str = "restoring";

/// The result of a restore.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RestoreReport {
    /// Stores restored.
    pub stores: u64,
    /// Extents of these.
    pub extents: u64,
    /// Used bytes of these.
    pub bytes: u64,
    /// Stores that the last backup could not read: as an earlier backup found them, or missing.
    pub unreadable: Vec<StoreId>,
    /// The result of verifying the whole.
    pub verified: VerifyReport,
}

/// Makes `dir` a data directory with the contents of the backup. The folder is empty, does not exist, or holds the
/// unfinished restore of the same backup. Checks each group's checksum and chain, each file's checksum in the
/// manifest, and then the whole.
///
/// # Durability
/// When it returns `Ok`, the data directory survives power loss. Interrupted at any point, it can run again; until it
/// has finished, nothing opens the folder.
///
/// # Errors
/// [`BackupError`]; the backup is unchanged.
pub fn restore(
    disk: &Arc<dyn Disk>,
    backup: &Path,
    dir: &Path,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<RestoreReport, BackupError> {
    let Some(manifest) = Manifest::read(&**disk, backup)? else {
        let why = format!("{} holds no finished backup", backup.display());
        return Err(BackupError::Refused(why));
    };
    refuse_newer(&**disk, backup)?;
    refuse_overlap(&**disk, backup, dir)?;
    refuse_within_data(&**disk, dir)?;
    // Nobody may write a backup into it meanwhile. From a medium that takes no writes, nobody can.
    let _backup_lock = match lock_dir(&**disk, backup) {
        Err(OpenError::Storage(StorageError::Io { source, .. }))
            if matches!(
                source.kind(),
                std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied
            ) =>
        {
            None
        }
        lock => Some(lock?),
    };
    disk.create_dir(dir).map_err(|e| StorageError::io("create", dir, e))?;
    let marker = format!("{UNFINISHED}restore {:08x}\n", manifest.checksum());
    // Before the lock is made there, which is a file too; and again, since another may have had it.
    accept(&**disk, dir, &marker)?;
    let _lock = lock_dir(&**disk, dir)?;
    accept(&**disk, dir, &marker)?;
    // Also where it stands there: who wrote it may have been killed before its name was durable.
    replace_format(&**disk, dir, &marker)?;
    let entries = || manifest.stores.values().flatten();
    let bytes = entries().map(|entry| u64::from(entry.used_bytes)).sum();
    let mut report = RestoreReport {
        stores: manifest.stores.len() as u64,
        extents: entries().count() as u64,
        bytes,
        unreadable: manifest.unreadable.iter().copied().map(StoreId).collect(),
        verified: VerifyReport::default(),
    };
    let list = |path: &Path| disk.list(path).map_err(|e| StorageError::io("list", path, e));
    let staging = dir.join(STAGING);
    let (staged, stores) = (staging.join("stores"), dir.join("stores"));
    let rename = |from: &Path, to: &Path| disk.rename(from, to).map_err(|e| StorageError::io("rename", from, e));
    // Interrupted between here and its last step: who runs it again is told what was found, so it is found again.
    if list(dir)?.iter().any(|name| name == "stores") {
        disk.create_dir(&staging)
            .map_err(|e| StorageError::io("create", &staging, e))?;
        rename(&stores, &staged)?;
    }
    copy_all(disk, backup, &staging, &manifest, bytes, progress)?;
    report.verified = verify(disk, &staging, progress)?;
    rename(&staged, &stores)?;
    disk.sync_dir(dir).map_err(|e| StorageError::io("sync", dir, e))?;
    // Where the folder went from counts as much as where it went to: only then nothing is left that could undo it.
    disk.sync_dir(&staging)
        .map_err(|e| StorageError::io("sync", &staging, e))?;
    for name in list(&staging)? {
        let path = staging.join(name);
        disk.remove(&path).map_err(|e| StorageError::io("remove", path, e))?;
    }
    disk.remove_dir(&staging)
        .map_err(|e| StorageError::io("remove", &staging, e))?;
    write_format(&**disk, dir)?;
    Ok(report)
}

/// Refuses a folder that is not empty, unless a restore of this backup was begun in it.
fn accept(disk: &dyn Disk, dir: &Path, marker: &str) -> Result<(), BackupError> {
    let refused = |why: &str| Err(BackupError::Refused(format!("{}: {why}", dir.display())));
    match read_format(disk, dir)? {
        Some(said) if said == marker => Ok(()),
        Some(said) if said.starts_with(&format!("{UNFINISHED}restore")) => {
            refused("an unfinished restore of another backup, or of another state of this one; empty the folder first")
        }
        None if is_unused(disk, dir)? => Ok(()),
        _ => refused("it is not empty; choose another folder"),
    }
}

/// Copies everything in the manifest into a folder, and makes it a data directory.
fn copy_all(
    disk: &Arc<dyn Disk>,
    backup: &Path,
    into: &Path,
    manifest: &Manifest,
    bytes_total: u64,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<(), BackupError> {
    let mut copying = Copying::begin(disk, progress, bytes_total);
    let source = FolderSource::unlocked(Arc::clone(disk), backup);
    let stores = into.join("stores");
    disk.create_dir(&stores)
        .map_err(|e| StorageError::io("create", &stores, e))?;
    for (&store, entries) in &manifest.stores {
        let store = StoreId(store);
        let dir = store_dir(into, store);
        disk.create_dir(&dir).map_err(|e| StorageError::io("create", &dir, e))?;
        remove_leftovers(&**disk, &dir, entries.len() as u64)?;
        let mut previous = None;
        for entry in entries {
            let expected = ExpectedExtent {
                previous,
                ..ExpectedExtent::by(store, entry)
            };
            previous = Some((entry.used_bytes, entry.chain));
            // What an interrupted restore left is as good, if it is whole.
            if check_file(&**disk, &dir, &expected)?.is_ok() {
                copying.done(u64::from(entry.used_bytes));
                continue;
            }
            // The log goes on in the open one.
            let room = if entry.sealed {
                TargetRoom::AsUsed
            } else {
                TargetRoom::Whole
            };
            let copied = source
                .read(store, &entry.prefix())
                .map_err(CopyError::of_source)
                .and_then(|mut pieces| copy_extent(&mut copying, &mut *pieces, &dir, &expected, room));
            copied.map_err(|error| match error {
                CopyError::Store(BackupError::Storage(StorageError::Corrupt {
                    place: DamagedPlace::Extent { byte, .. },
                    found,
                    ..
                })) => {
                    let path = FileName::Extent(entry.extent).in_dir(&store_dir(backup, store));
                    BackupError::Damaged { path, byte, found }
                }
                other => other.of_one_store(store).unwrap_or_else(|error| error),
            })?;
        }
    }
    write_format(&**disk, into)?;
    Ok(())
}

/// Verifies the copy as a whole.
fn verify(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<VerifyReport, BackupError> {
    let verified = verify_on(disk, dir, &mut |now| {
        progress(CopyProgress {
            stage: Stage::Checking,
            bytes_done: now.bytes_done,
            bytes_total: now.bytes_total,
        });
    })?;
    match verified.stores.iter().flat_map(|store| &store.damage).next() {
        None => Ok(verified),
        Some(damage) => Err(BackupError::Damaged {
            path: damage.path.clone(),
            byte: damage.byte,
            found: damage.found.clone(),
        }),
    }
}

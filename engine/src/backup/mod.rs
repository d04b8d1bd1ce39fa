//! Copies a data directory, at work or at rest, into another that is a data directory itself, and back.
//!
//! ```text
//! Source (a folder, an engine, a server) ─▶ copy: temporary file, walk, sync, rename ─▶ TARGET/stores/<id>/N.extent
//! source.rs                               copy.rs, check.rs                          manifest.rs, last
//! ```
//!
//! A store's log up to a durable position is a prefix of it: it holds everything acknowledged before, as a whole, and
//! can be read without anything later. Sealed extents never change, so a later backup to the same folder copies only
//! new ones and the open one. Index files and checkpoints are derived and not copied.
//!
//! All calls block.

pub(crate) mod apart;
pub(crate) mod check;
mod copy;
mod progress;
mod restore;
pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::directory::manifest::is_possible;
pub use crate::directory::manifest::{ExtentEntry, Manifest};
pub use crate::directory::names::MANIFEST;
use crate::directory::names::OPENED;
use check::ExpectedExtent;
use copy::{CopyError, Copying, TargetRoom, another_history, copy_extent, is_still_there, remove_leftovers};
pub use progress::{CopyProgress, Stage};
pub use restore::{RestoreReport, restore};
pub use source::FolderSource;

pub use crate::boundary::backup::{BackupError, BackupReport, ExtentPrefix, LogPrefix, Pieces, Source};

use crate::directory::folder::lock_dir;
use crate::directory::{UNFINISHED, is_unused, read_format, refuse_newer, replace_format, store_dir, write_format};
use crate::disk::Disk;
use crate::error::StorageError;
use streamkit_record::StoreId;

/// The file `format` in the target of a first backup, until that is whole.
fn unfinished() -> String {
    format!("{UNFINISHED}backup\n")
}

/// How thoroughly to check the copy of a sealed extent from an earlier backup before keeping it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recheck {
    /// Its header and size.
    Header,
    /// Every byte, which takes as long as reading the whole backup.
    Bytes,
}

/// Copies all stores of `source` into the folder `target`, which is empty, does not exist, or holds a backup of the
/// same stores. Checks each group's checksum and chain in the bytes written.
///
/// # Durability
/// When it returns `Ok` or [`BackupError::Incomplete`], the backup survives power loss. Interrupted at any point, it
/// can run again. Until then the folder holds the previous backup, whole, or nothing that passes for one.
///
/// # Errors
/// [`BackupError`]. The previous backup is still there, also of the stores that [`BackupError::Incomplete`] names.
pub fn backup(
    source: &dyn Source,
    disk: &Arc<dyn Disk>,
    target: &Path,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<BackupReport, BackupError> {
    backup_with(source, disk, target, Recheck::Header, progress)
}

/// Like [`backup`], with a choice of how to check earlier copies. It copies damaged ones again.
///
/// # Errors
/// As [`backup`].
pub fn backup_with(
    source: &dyn Source,
    disk: &Arc<dyn Disk>,
    target: &Path,
    recheck: Recheck,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<BackupReport, BackupError> {
    if let Some(folder) = source.folder() {
        apart::refuse_overlap(&**disk, folder, target)?;
    }
    apart::refuse_within_data(&**disk, target)?;
    disk.create_dir(target)
        .map_err(|e| StorageError::io("create", target, e))?;
    // Before the lock is made there, which is a file too; and again, since another may have had it.
    accept(&**disk, target)?;
    let _lock = lock_dir(&**disk, target)?;
    let found = accept(&**disk, target)?;
    let is_first = found.is_none();
    let before = found.unwrap_or_default();
    let (mut prefixes, mut failed) = (Vec::new(), BTreeMap::new());
    for store in BTreeSet::from_iter(source.stores()?) {
        let prefix = match source.prefix(store).map_err(CopyError::of_source) {
            Ok(prefix) => prefix,
            Err(error) => {
                failed.insert(store.0, error.of_one_store(store)?);
                continue;
            }
        };
        if !prefix.extents.is_empty() {
            if !is_possible(&prefix.extents) {
                let why = format!("the list of the extents of store {store} makes no sense");
                return Err(BackupError::Source(why.into()));
            }
            belongs(&before, &prefix)?;
            prefixes.push(prefix);
        }
    }
    let there: BTreeSet<_> = prefixes.iter().map(|prefix| prefix.store.0).collect();
    let mut ids = before.stores.keys();
    if let Some(gone) = ids.find(|id| !there.contains(id) && !failed.contains_key(id)) {
        let why = format!("it holds store {gone}, which is not among those to copy");
        return Err(refused(target, &why));
    }
    if is_first {
        replace_format(&**disk, target, &unfinished())?;
    }
    let new_bytes = |prefix: &LogPrefix| -> u64 {
        let is_new =
            |extent: &&ExtentPrefix| recheck == Recheck::Bytes || kept(&before, prefix.store, extent).is_none();
        let new = prefix.extents.iter().filter(is_new);
        new.map(|extent| u64::from(extent.used_bytes)).sum()
    };
    let mut copying = Copying::begin(disk, progress, prefixes.iter().map(new_bytes).sum());
    let mut report = BackupReport::default();
    let mut stores = BTreeMap::new();
    for prefix in &prefixes {
        match backup_store(source, &mut copying, target, prefix, &before, recheck, &mut report) {
            Ok(entries) => {
                stores.insert(prefix.store.0, entries);
            }
            Err(error) => {
                failed.insert(prefix.store.0, error.of_one_store(prefix.store)?);
            }
        }
    }
    // What the backup of before holds of them is still there, and true: what was copied now continues it.
    for id in failed.keys() {
        stores.extend(
            before
                .stores
                .get_key_value(id)
                .map(|(&id, entries)| (id, entries.clone())),
        );
    }
    let entries = || stores.values().flatten();
    report.stores = stores.len() as u64;
    report.extents = entries().count() as u64;
    report.bytes = entries().map(|entry| u64::from(entry.used_bytes)).sum();
    // A backup of nothing, since nothing could be read, is none.
    if failed.is_empty() || !stores.is_empty() {
        let unreadable = failed.keys().copied().collect();
        Manifest { stores, unreadable }.write(&**disk, target)?;
        if read_format(&**disk, target)?.is_none_or(|said| said == unfinished()) {
            write_format(&**disk, target)?;
        }
    }
    match failed.is_empty() {
        true => Ok(report),
        false => Err(BackupError::Incomplete {
            report,
            failed: failed.into_iter().map(|(id, error)| (StoreId(id), error)).collect(),
        }),
    }
}

fn refused(target: &Path, why: &str) -> BackupError {
    BackupError::Refused(format!("{}: {why}; choose another folder", target.display()))
}

/// Whether a folder may take a backup: returns the one it holds, if any. `None`: it is empty, or holds an unfinished
/// first one.
fn accept(disk: &dyn Disk, target: &Path) -> Result<Option<Manifest>, BackupError> {
    if is_unused(disk, target)? {
        return Ok(None);
    }
    refuse_newer(disk, target)?;
    let manifest = match Manifest::read(disk, target)? {
        Some(manifest) => Some(manifest),
        None if read_format(disk, target)?.is_some_and(|said| said == unfinished()) => None,
        None => return Err(refused(target, "it is not empty, and holds no backup")),
    };
    let names = disk.list(target).map_err(|e| StorageError::io("list", target, e))?;
    if names.iter().any(|name| name == OPENED) {
        let why = "it was opened as a data directory and is no backup any more";
        return Err(refused(target, why));
    }
    Ok(manifest)
}

/// An earlier backup's copy of a sealed extent, which never changes.
fn kept<'a>(before: &'a Manifest, store: StoreId, extent: &ExtentPrefix) -> Option<&'a ExtentEntry> {
    let entries = before.stores.get(&store.0)?;
    let entry = entries.iter().find(|entry| entry.extent == extent.extent)?;
    (entry.sealed && extent.sealed.is_some()).then_some(entry)
}

/// Whether a store's log continues its earlier backup, as far as that is known without reading groups.
fn belongs(before: &Manifest, prefix: &LogPrefix) -> Result<(), BackupError> {
    let entries = before.stores.get(&prefix.store.0).map_or(&[][..], Vec::as_slice);
    for entry in entries {
        let found = prefix.extents.iter().find(|extent| extent.extent == entry.extent);
        let continues = found.is_some_and(|found| {
            let same = (found.salt, found.capacity) == (entry.salt, entry.capacity);
            same && match (entry.sealed, found.sealed) {
                (true, Some(chain)) => chain == entry.chain && found.used_bytes == entry.used_bytes,
                (true, None) => false,
                (false, _) => found.used_bytes >= entry.used_bytes,
            }
        });
        if !continues {
            return Err(another_history(prefix.store, entry.extent));
        }
    }
    Ok(())
}

/// Copies what is new of one store, oldest first, so that the copy is a prefix of its log at any time.
fn backup_store(
    source: &dyn Source,
    copying: &mut Copying<'_>,
    target: &Path,
    prefix: &LogPrefix,
    before: &Manifest,
    recheck: Recheck,
    report: &mut BackupReport,
) -> Result<Vec<ExtentEntry>, CopyError> {
    let disk = Arc::clone(copying.disk);
    let store = prefix.store;
    let dir = store_dir(target, store);
    disk.create_dir(&dir).map_err(|e| StorageError::io("create", &dir, e))?;
    let last = prefix.extents.last().map_or(0, |extent| extent.extent);
    remove_leftovers(&*disk, &dir, last)?;
    let mut entries: Vec<ExtentEntry> = Vec::new();
    for extent in &prefix.extents {
        let mut expected = ExpectedExtent::of(store, extent);
        expected.previous = entries.last().map(|last| (last.used_bytes, last.chain));
        let kept = kept(before, store, extent);
        if let Some(kept) = kept {
            let is_whole = match recheck {
                Recheck::Header => is_still_there(&disk, &dir, &expected),
                Recheck::Bytes => {
                    let previous = expected.previous;
                    let expected = ExpectedExtent {
                        previous,
                        ..ExpectedExtent::by(store, kept)
                    };
                    check::check_file(&*disk, &dir, &expected)?.is_ok()
                }
            };
            if is_whole {
                if recheck == Recheck::Bytes {
                    copying.done(u64::from(extent.used_bytes));
                }
                entries.push(*kept);
                continue;
            }
        }
        let last_time = before
            .stores
            .get(&store.0)
            .and_then(|all| all.iter().find(|e| e.extent == extent.extent));
        // What was backed up of an open extent must be a part of what it is now.
        expected.passes = last_time.map(|last| (last.used_bytes, last.chain));
        // What a backup that was interrupted left is as good, if it is whole.
        let left = match extent.sealed {
            Some(_) if last_time.is_none() => check::check_file(&*disk, &dir, &expected)?.ok(),
            _ => None,
        };
        let checked = match left {
            Some(checked) => {
                copying.done(u64::from(extent.used_bytes));
                checked
            }
            None => {
                let mut pieces = source.read(store, extent).map_err(CopyError::of_source)?;
                let checked = copy_extent(copying, &mut *pieces, &dir, &expected, TargetRoom::AsUsed)?;
                report.copied_extents += 1;
                report.copied_bytes += u64::from(extent.used_bytes);
                report.mended_extents += u64::from(kept.is_some());
                checked
            }
        };
        entries.push(ExtentEntry {
            extent: extent.extent,
            sealed: extent.sealed.is_some(),
            capacity: extent.capacity,
            used_bytes: extent.used_bytes,
            salt: extent.salt,
            chain: checked.chain,
            crc32: checked.crc32,
        });
    }
    Ok(entries)
}

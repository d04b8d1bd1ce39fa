//! The data directory: its format file, and the stores in it.

pub mod archived;
pub(crate) mod descriptors;
pub(crate) mod extent_file;
pub(crate) mod folder;
pub(crate) mod guarded;
pub mod manifest;
pub mod names;
pub(crate) mod overlap;
pub(crate) mod reserve;

use std::path::{Path, PathBuf};

use self::extent_file::open_extent;
use self::manifest::Manifest;
use self::names::FileName;
use self::names::{COPIES, MANIFEST, OPENED};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{OpenError, StorageError};
use crate::limits::FORMAT_VERSION;
use streamkit_record::StoreId;

/// The folder of a store.
pub(crate) fn store_dir(dir: &Path, id: StoreId) -> PathBuf {
    dir.join("stores").join(id.to_string())
}

/// What the file `format` begins with while a backup, a restore or a repair is being written: no version takes that for a folder it may
/// open.
pub(crate) const UNFINISHED: &str = "unfinished ";

/// What the folder says of itself, if it does.
pub(crate) fn read_format(disk: &dyn Disk, dir: &Path) -> Result<Option<String>, StorageError> {
    let path = dir.join("format");
    let text = match disk.open(&path, OpenMode::Read) {
        Ok(file) => read_line(&*file).map_err(|e| StorageError::io("read", &path, e))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("open", path, error)),
    };
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// A file of one short line. One that is longer than any is never read.
fn read_line(file: &dyn DiskFile) -> std::io::Result<Vec<u8>> {
    const MOST: u64 = 4096;
    match file.size()? {
        ..=MOST => crate::disk::read_all(file),
        size => Err(std::io::Error::other(format!(
            "a file of {size} bytes, which is no line"
        ))),
    }
}

/// Whether the folder says of itself that it is one of ours, in a format this program knows.
///
/// # Errors
/// [`OpenError::NewerFormat`]; [`OpenError::DamagedFormat`]; [`OpenError::StoresGone`]; [`OpenError::Unfinished`];
/// [`OpenError::Storage`].
pub(crate) fn has_known_format(disk: &dyn Disk, dir: &Path) -> Result<bool, OpenError> {
    let path = dir.join("format");
    let damaged = |found: &str| OpenError::DamagedFormat {
        path: path.clone(),
        found: found.to_owned(),
    };
    // Where nobody can tell whether there are stores, there may be.
    let refuse_if = |found: &str, has_stores: Result<bool, StorageError>| match has_stores {
        Ok(false) => Ok(()),
        Ok(true) => Err(damaged(found)),
        Err(error) => Err(damaged(&format!(
            "{found}, and whether there are stores cannot be told ({error})"
        ))),
    };
    let known = |dir: &Path, id, number| {
        let (_, header) = open_extent(disk, dir, number)?;
        Ok(header.is_ok_and(|header| (header.store, header.extent) == (id, number)))
    };
    let text = match read_format(disk, dir) {
        Ok(Some(text)) => text,
        // It is written before any store is: whatever has an extent's name is one.
        Ok(None) => return refuse_if("is missing", has_stores(disk, dir, |_, _, _| Ok(true))).map(|()| false),
        Err(StorageError::Io { source, .. }) if source.kind() != std::io::ErrorKind::PermissionDenied => {
            refuse_if(&format!("cannot be read ({source})"), has_stores(disk, dir, known))?;
            return Err(StorageError::Io {
                operation: "read",
                path,
                source,
            }
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    for what in ["backup", "restore", "repair"] {
        if text.strip_prefix(UNFINISHED).is_some_and(|rest| rest.starts_with(what)) {
            return Err(OpenError::Unfinished {
                dir: dir.to_owned(),
                what,
            });
        }
    }
    let said = text.strip_prefix("streamkit ").map(str::trim_end);
    // A newer version may have more to say.
    let number = said
        .and_then(|said| said.split_ascii_whitespace().next())
        .unwrap_or_default();
    let version = match (number.parse::<u16>(), said == Some(number)) {
        (Ok(found), alone) => (alone || found > FORMAT_VERSION).then_some(found),
        (Err(error), _) => (*error.kind() == std::num::IntErrorKind::PosOverflow).then_some(u16::MAX),
    };
    match version {
        Some(found) if found > FORMAT_VERSION => Err(OpenError::NewerFormat {
            path,
            found,
            supported: FORMAT_VERSION,
        }),
        Some(1..) if has_lost_its_stores(disk, dir)? => Err(OpenError::StoresGone(dir.join("stores"))),
        Some(1..) => Ok(true),
        _ => {
            refuse_if("does not say `streamkit` and a version", has_stores(disk, dir, known))?;
            let source = std::io::Error::other("it does not say `streamkit` and a version");
            Err(StorageError::io("understand", path, source).into())
        }
    }
}

/// Whether the folder of all stores is gone: it is made before the file `format`, so that one without the other is no new directory. A backup
/// of no store has none, until an engine opens it.
fn has_lost_its_stores(disk: &dyn Disk, dir: &Path) -> Result<bool, StorageError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let is_backup_of_none = || has(MANIFEST) && !has(OPENED) && names_no_store(disk, dir);
    Ok(!has("stores") && !is_backup_of_none())
}

fn names_no_store(disk: &dyn Disk, dir: &Path) -> bool {
    matches!(Manifest::read(disk, dir), Ok(Some(manifest)) if manifest.stores.is_empty() && manifest.unreadable.is_empty())
}

/// Refuses a folder that says of itself that a newer version wrote it, or of which nobody can tell.
pub(crate) fn refuse_newer(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    match has_known_format(disk, dir) {
        Err(error @ (OpenError::NewerFormat { .. } | OpenError::Storage(_))) => Err(error),
        _ => Ok(()),
    }
}

/// The stores of a data directory, by id. Folders of other names are none, those that only resemble an id among them.
pub(crate) fn list_stores(disk: &dyn Disk, dir: &Path) -> Result<Vec<StoreId>, StorageError> {
    let stores = dir.join("stores");
    let names = disk.list(&stores).map_err(|e| StorageError::io("list", &stores, e))?;
    let ids = names.iter().filter_map(|name| {
        let id = uuid::Uuid::parse_str(name).ok().map(StoreId);
        id.filter(|id| id.to_string() == *name)
    });
    let mut ids: Vec<StoreId> = ids.collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Whether the log of a store is in the folder, whatever it says of itself: one that `is_one` takes for an extent of it.
fn has_stores(
    disk: &dyn Disk,
    dir: &Path,
    is_one: impl Fn(&Path, StoreId, u64) -> Result<bool, StorageError>,
) -> Result<bool, StorageError> {
    let mut failed = Ok(false);
    for id in list_stores(disk, dir)? {
        let dir = store_dir(dir, id);
        let names = disk.list(&dir).map_err(|e| StorageError::io("list", &dir, e))?;
        for name in names {
            if let Some(FileName::Extent(number)) = FileName::parse(&name) {
                match is_one(&dir, id, number) {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(error) => failed = Err(error),
                }
            }
        }
    }
    failed
}

/// Says of the folder that it is one of ours.
pub(crate) fn write_format(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    replace_format(disk, dir, &format!("streamkit {FORMAT_VERSION}\n"))
}

/// Whether nothing is in a folder but what may be in one that nobody used: the lock, what an interrupted write left, and what a
/// file system comes with.
pub(crate) fn is_unused(disk: &dyn Disk, dir: &Path) -> Result<bool, StorageError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let counts = |name: &String| !["lock", "lost+found"].contains(&name.as_str()) && !name.ends_with(".tmp");
    Ok(!names.iter().any(counts))
}

/// Replaces what the folder says of itself, durably.
pub(crate) fn replace_format(disk: &dyn Disk, dir: &Path, text: &str) -> Result<(), StorageError> {
    let path = dir.join("format");
    crate::disk::replace(disk, &path, text.as_bytes()).map_err(|e| StorageError::io("write", path, e))
}

/// Makes sure that a folder of copies is opened for copies only, and one of stores never is. `is_new`: it does not yet say that it is one
/// of ours, and does so after this, so that no folder is one of ours without saying what it holds.
pub(crate) fn agree_on_copies(disk: &dyn Disk, dir: &Path, wanted: bool, is_new: bool) -> Result<(), OpenError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    match (names.iter().any(|name| name == COPIES), wanted) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => Err(OpenError::HoldsCopies(dir.to_owned())),
        (false, true) if is_new => {
            let path = dir.join(COPIES);
            let written = crate::disk::replace(disk, &path, b"");
            Ok(written.map_err(|e| StorageError::io("write", path, e))?)
        }
        (false, true) => Err(OpenError::HoldsStores(dir.to_owned())),
    }
}

/// Refuses a folder of copies: what is made of it would pass for stores of their own.
pub(crate) fn refuse_copies(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    agree_on_copies(disk, dir, false, false)
}

/// Where the folder holds a backup, says durably that it was opened: what is written from now on no backup may replace.
pub(crate) fn mark_opened(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has(MANIFEST) && !has(OPENED) {
        let path = dir.join(OPENED);
        crate::disk::replace(disk, &path, b"").map_err(|e| StorageError::io("write", path, e))?;
    }
    Ok(())
}

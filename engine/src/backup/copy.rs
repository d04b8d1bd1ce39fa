//! Copies one extent so that its name stands for the whole copy or for the previous one: writes a temporary file,
//! fills it with zeros to its size, checks the written bytes, syncs, renames.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::check::{self, Checked, ExpectedExtent, ExtentFault, check_header};
use super::progress::{CopyProgress, Stage};
use crate::boundary::backup::BackupError;
use crate::boundary::backup::Pieces;
use crate::directory::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{DamagedPlace, SegmentsHit, StorageError};
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use streamkit_record::StoreId;

/// A backup or a restore at work.
pub(super) struct Copying<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) progress: &'a mut dyn FnMut(CopyProgress),
    pub(super) now: CopyProgress,
}

impl<'a> Copying<'a> {
    /// One that has so many bytes to copy, and says so.
    pub(super) fn begin(disk: &'a Arc<dyn Disk>, progress: &'a mut dyn FnMut(CopyProgress), bytes_total: u64) -> Self {
        let now = CopyProgress {
            stage: Stage::Copying,
            bytes_done: 0,
            bytes_total,
        };
        progress(now);
        Self { disk, progress, now }
    }

    fn tell(&mut self) {
        (self.progress)(self.now);
    }

    /// So many bytes more are done.
    pub(super) fn done(&mut self, bytes: u64) {
        self.now.bytes_done += bytes;
        self.tell();
    }
}

/// Why an extent was not copied.
pub(super) enum CopyError {
    /// It is whole, but does not continue what an earlier backup holds of it.
    AnotherHistory { extent: u64 },
    /// The source cannot read this store, or what it reads is damaged. Others it may read.
    Store(BackupError),
    /// The target takes no more, or the source has nothing more to give.
    All(BackupError),
}

impl CopyError {
    /// What a call of a source failed with.
    pub(super) fn of_source(error: BackupError) -> Self {
        match error {
            BackupError::Source(_) => Self::All(error),
            _ => Self::Store(error),
        }
    }

    /// Why one store was not copied, if the others may be.
    pub(super) fn of_one_store(self, store: StoreId) -> Result<BackupError, BackupError> {
        match self {
            Self::Store(error) => Ok(error),
            Self::All(error) => Err(error),
            Self::AnotherHistory { extent } => Err(another_history(store, extent)),
        }
    }
}

impl<E: Into<BackupError>> From<E> for CopyError {
    fn from(error: E) -> Self {
        Self::All(error.into())
    }
}

/// Whether an extent that was copied earlier is still there and can be read, by its header and size.
pub(super) fn is_still_there(disk: &Arc<dyn Disk>, dir: &Path, expected: &ExpectedExtent) -> bool {
    let path = FileName::Extent(expected.extent).in_dir(dir);
    let file = disk.open(&path, OpenMode::Read);
    file.is_ok_and(|file| check_header(&*file, expected).is_ok_and(|checked| checked.is_ok()))
}

/// What room on the disk the file of an extent takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetRoom {
    /// As much as is used of it: nothing is ever written behind that.
    AsUsed,
    /// All of its size. An engine takes room when it prepares an extent, where a full disk refuses one append, and none while it
    /// writes, where it would halt the store.
    Whole,
}

impl TargetRoom {
    /// Makes the file of an extent, empty but for room that may be had without writing; whether it was.
    fn make(self, disk: &dyn Disk, path: &Path, capacity: u64) -> io::Result<(Arc<dyn DiskFile>, bool)> {
        let allocated = self == Self::Whole && disk.open_log(path, true)?.allocate(capacity)?;
        let mode = if allocated { OpenMode::Write } else { OpenMode::Create };
        Ok((disk.open(path, mode)?, allocated))
    }

    /// Makes what is behind the used bytes read as zeros.
    fn fill(self, file: &dyn DiskFile, allocated: bool, used: u64, capacity: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut at = match self {
            Self::Whole if !allocated => used,
            _ => used.max(capacity - 1),
        };
        while at < capacity {
            let length = (capacity - at).min(zeros.len() as u64);
            file.write_at(at, &zeros[..length as usize])?;
            at += length;
        }
        Ok(())
    }
}

/// Copies an extent into a store's folder, durably.
pub(super) fn copy_extent(
    copying: &mut Copying<'_>,
    pieces: &mut dyn Pieces,
    dir: &Path,
    expected: &ExpectedExtent,
    room: TargetRoom,
) -> Result<Checked, CopyError> {
    let disk = Arc::clone(copying.disk);
    let path = FileName::Extent(expected.extent).in_dir(dir);
    let temporary = path.with_extension("tmp");
    let write = |e| StorageError::io("write", &temporary, e);
    let (file, allocated) = room.make(&*disk, &temporary, expected.capacity).map_err(write)?;
    let (mut at, end) = (0, u64::from(expected.used_bytes));
    let mut crc32 = crc32fast::Hasher::new();
    while let Some(piece) = pieces.next().map_err(CopyError::of_source)? {
        if at + piece.len() as u64 > end {
            return Err(BackupError::Source("more bytes came than were announced".into()).into());
        }
        file.write_at(at, &piece).map_err(write)?;
        let header = (EXTENT_HEADER_BYTES as u64).saturating_sub(at).min(piece.len() as u64);
        crc32.update(&piece[header as usize..]);
        at += piece.len() as u64;
        copying.done(piece.len() as u64);
    }
    if at < end {
        return Err(BackupError::Source(format!("{at} bytes came where {end} were announced").into()).into());
    }
    room.fill(&*file, allocated, end, expected.capacity).map_err(write)?;
    let checked = check::check(Arc::clone(&file), expected)?;
    let written = match &checked {
        Ok(checked) => checked.crc32,
        Err(_) => check::crc32(&*file, expected.used_bytes)?,
    };
    // Then it is not the source that is damaged.
    if written != crc32.finalize() {
        return Err(CopyError::All(BackupError::Damaged {
            path: temporary,
            byte: EXTENT_HEADER_BYTES as u64,
            found: "other bytes than were written".to_owned(),
        }));
    }
    let checked = checked.map_err(|fault| match fault {
        ExtentFault::AnotherHistory => CopyError::AnotherHistory {
            extent: expected.extent,
        },
        ExtentFault::Damage { byte, found } => CopyError::Store(
            StorageError::Corrupt {
                store: expected.store,
                place: DamagedPlace::Extent {
                    extent: expected.extent,
                    byte,
                },
                found,
                segments: SegmentsHit::Unknown,
            }
            .into(),
        ),
    })?;
    file.sync_all().map_err(|e| StorageError::io("sync", &temporary, e))?;
    drop(file);
    disk.rename(&temporary, &path)
        .map_err(|e| StorageError::io("rename", &temporary, e))?;
    disk.sync_dir(dir).map_err(|e| StorageError::io("sync", dir, e))?;
    Ok(checked)
}

pub(super) fn another_history(store: StoreId, extent: u64) -> BackupError {
    BackupError::Refused(format!(
        "the backup holds another history of store {store}, from extent {extent} on: the data directory was set back, or is \
         another; choose another folder"
    ))
}

/// Removes from a store's folder what interrupted copies left: their temporary files, which hold room that may be what is
/// missing, and extents of another history behind the `last` of this one. No manifest names those: that would have been
/// refused.
pub(super) fn remove_leftovers(disk: &dyn Disk, dir: &Path, last: u64) -> Result<(), StorageError> {
    for name in disk.list(dir).map_err(|e| StorageError::io("list", dir, e))? {
        let stray = matches!(FileName::parse(&name), Some(FileName::Extent(number)) if number > last);
        if stray || name.ends_with(".tmp") {
            let path = dir.join(name);
            disk.remove(&path).map_err(|e| StorageError::io("remove", path, e))?;
        }
    }
    Ok(())
}

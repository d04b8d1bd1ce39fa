//! Begins a store with a snapshot of another host.

use std::io;
use std::path::Path;

use super::Engine;
use crate::directory::names::FileName;
use crate::directory::store_dir;
use crate::disk::blocks::Blocks;
use crate::disk::{Disk, STEP_BYTES, replace};
use crate::error::{OpenError, StorageError, corrupt};
use crate::format::archive::{Snapshot, encode_list};
use crate::format::extent_header::ExtentHeader;
use crate::format::log_start::LogStart;
use crate::index::checkpoint;
use crate::limits::{BLOCK_BYTES, EXTENT_BYTES_MAX};
use streamkit_record::StoreId;

impl Engine {
    /// Whether its stores are copies ([`EngineConfig::copies`](crate::EngineConfig::copies)).
    pub fn holds_copies(&self) -> bool {
        self.inner.config.copies
    }

    /// Whether anything of a store is on the disk.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn holds(&self, id: StoreId) -> Result<bool, StorageError> {
        self.inner.is_there(id)
    }

    /// Makes a store as a snapshot says, in place of what is here of it. None of its sealed files is: the disk has to be an
    /// [`ArchivedDisk`](crate::archive::ArchivedDisk) whose archive has them. Blocks. A crash leaves the store as it was before, as it is to be, or, in
    /// the place of another, none.
    ///
    /// # Errors
    /// [`OpenError::Storage`]: with [`StorageError::Corrupt`] if the snapshot makes no sense; if the store is open here; if the disk refuses.
    pub fn install(&self, snapshot: &Snapshot) -> Result<(), OpenError> {
        let header = checked(snapshot)?;
        let (disk, id) = (&*self.inner.config.disk, snapshot.store);
        let dir = store_dir(&self.inner.config.dir, id);
        if self.unfinished().contains(&id) {
            let open = io::Error::new(io::ErrorKind::ResourceBusy, "the store is open");
            return Err(StorageError::io("replace", dir, open).into());
        }
        let (new, old) = (dir.with_extension("new"), dir.with_extension("old"));
        let installed = || {
            clear(disk, &new)?;
            clear(disk, &old)?;
            disk.make_dir(&new)?;
            write_open(disk, &new, &header, &snapshot.open)?;
            replace(
                disk,
                &FileName::Archived.in_dir(&new),
                &encode_list(id, &snapshot.sealed),
            )?;
            replace(disk, &FileName::Checkpoint.in_dir(&new), &snapshot.checkpoint)?;
            if !disk.list(&dir)?.is_empty() {
                disk.rename(&dir, &old)?;
            }
            disk.rename(&new, &dir)?;
            disk.sync_dir(dir.parent().unwrap_or(&dir))?;
            clear(disk, &old)
        };
        Ok(installed().map_err(|error| StorageError::io("install", &dir, error))?)
    }
}

/// The header of the open extent, if the parts of the snapshot are of one log.
fn checked(snapshot: &Snapshot) -> Result<ExtentHeader, StorageError> {
    let store = snapshot.store;
    let damaged = |extent, found: &str| corrupt(store, extent, 0, format!("a snapshot with {found}"));
    let header =
        ExtentHeader::decode(&snapshot.open).map_err(|error| damaged(0, &format!("a header of no use: {error}")))?;
    let checkpoint = checkpoint::decode(&snapshot.checkpoint);
    let checkpoint = checkpoint.map_err(|error| damaged(header.extent, &format!("a checkpoint of no use: {error}")))?;
    let open = snapshot.open.len() as u64;
    let is_of_one = (header.store, checkpoint.store) == (store, store)
        && header.begun
        && (header.extent, open) == (checkpoint.position.extent, checkpoint.position.byte.into())
        && header.capacity.is_multiple_of(BLOCK_BYTES as u64)
        && (open..=EXTENT_BYTES_MAX).contains(&header.capacity);
    if !is_of_one {
        return Err(damaged(header.extent, "parts of different logs"));
    }
    let extents = snapshot.sealed.iter().map(|archived| archived.header.extent);
    match extents.eq(LogStart::WHOLE.extent()..header.extent) {
        true => Ok(header),
        false => Err(damaged(header.extent, "an extent that is missing")),
    }
}

/// Writes the open extent, durably.
fn write_open(disk: &dyn Disk, dir: &Path, header: &ExtentHeader, groups: &[u8]) -> io::Result<()> {
    let file = disk.open_log(&FileName::Extent(header.extent).in_dir(dir), true)?;
    let (mut at, mut step) = (0, Blocks::with_capacity(STEP_BYTES));
    while at < header.capacity {
        let from = (at as usize).min(groups.len());
        let piece = &groups[from..groups.len().min(from + STEP_BYTES)];
        step.clear();
        step.extend_from_slice(piece);
        step.pad_to((header.capacity - at).min(STEP_BYTES as u64) as usize);
        file.grow(at, &step)?;
        at += step.len() as u64;
    }
    file.settle(header.capacity)?;
    disk.sync_dir(dir)
}

/// Removes a folder with its files, if it is there.
fn clear(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for name in disk.list(dir)? {
        disk.remove(&dir.join(name))?;
    }
    match disk.remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

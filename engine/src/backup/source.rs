//! What a backup is copied from: the extents of a store up to a durable position, of an engine at work or of a folder at rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BackupError, ExtentPrefix, LogPrefix};
use crate::directory::{has_known_format, list_stores, store_dir};
use crate::disk::{Disk, DiskFile, DiskLock};
use crate::engine::Engine;
use crate::error::{OpenError, StorageError};
use crate::folder::lock_dir;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::log::end::{end_of, known_durable};
use crate::log::headers::{Headers, open_extent, read_headers};
use crate::log::recovery::corrupt;
use crate::log::replay::{ANOTHER_LOG, read_checkpoint};
use crate::log::walk::{Step, Walk};
use crate::model::{LogPosition, StoreId};

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Where a backup comes from. Everything blocks.
pub trait Source: Send + Sync {
    /// The stores there are, by id.
    ///
    /// # Errors
    /// [`BackupError`]; likewise below.
    fn stores(&self) -> Result<Vec<StoreId>, BackupError>;
    /// The folder that it is, if it is one on this host.
    fn folder(&self) -> Option<&Path> {
        None
    }
    /// A store's log up to a position that is durable now: everything that was acknowledged before the call is in it. Of a
    /// folder at rest, what a killed process wrote last may be in it before it is durable.
    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError>;
    /// Whether there is such a store. Asking does not make it.
    fn has(&self, store: StoreId) -> Result<bool, BackupError> {
        Ok(self.stores()?.contains(&store))
    }
    /// One extent of that log, if there is one of this number.
    fn extent(&self, store: StoreId, number: u64) -> Result<Option<ExtentPrefix>, BackupError> {
        let extents = self.prefix(store)?.extents;
        Ok(extents.into_iter().find(|extent| extent.extent == number))
    }
    /// The used bytes of an extent of such a prefix. They are the same whenever they are read, but for the durable mark in the
    /// header, which is where they end: whoever opens the copy takes anything missing of it for damage, not for a torn
    /// write.
    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError>;
}

/// Bytes in order, a piece at a time.
pub trait Pieces: Send {
    /// The next ones, at most 1 MiB, never none; `None` when all that were asked for were returned.
    ///
    /// # Errors
    /// [`BackupError`]; what was returned before is then not all.
    fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError>;
}

impl Source for Engine {
    fn folder(&self) -> Option<&Path> {
        Some(self.place().1)
    }

    fn stores(&self) -> Result<Vec<StoreId>, BackupError> {
        let (disk, dir) = self.place();
        // Those that are open too, wherever their folders are by now: no backup goes by without a store that is written to.
        let mut stores = list_stores(&**disk, dir)?;
        stores.extend(self.written_stores());
        stores.sort_unstable();
        stores.dedup();
        Ok(stores)
    }

    fn has(&self, store: StoreId) -> Result<bool, BackupError> {
        let (disk, dir) = self.place();
        let dir = store_dir(dir, store);
        let names = disk.list(&dir).map_err(|e| StorageError::io("list", &dir, e))?;
        // A folder in which nothing stands yet is listed with the others.
        Ok(!names.is_empty() || self.stores()?.contains(&store))
    }

    /// Opens the store, if it is not open.
    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError> {
        let tail = self.tail(store)?;
        self.up_to(store, tail, 1..=tail.extent)
    }

    fn extent(&self, store: StoreId, number: u64) -> Result<Option<ExtentPrefix>, BackupError> {
        let tail = self.tail(store)?;
        if !(1..=tail.extent).contains(&number) {
            return Ok(None);
        }
        let found = self.up_to(store, tail, number..=tail.extent.min(number + 1))?;
        Ok(found.extents.into_iter().find(|extent| extent.extent == number))
    }

    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError> {
        let (disk, dir) = self.place();
        let pieces = FilePieces::open(&**disk, &store_dir(dir, store), store, extent)?;
        Ok(Box::new(pieces))
    }
}

impl Engine {
    /// Where the durable part of a store's log ends.
    fn tail(&self, store: StoreId) -> Result<LogPosition, OpenError> {
        let opened = self.open_store(store)?;
        let tail = *opened.shared.tail.borrow();
        Ok(tail)
    }

    /// These extents of a log that is durable up to `tail`. None is ever removed.
    fn up_to(
        &self,
        store: StoreId,
        tail: LogPosition,
        extents: std::ops::RangeInclusive<u64>,
    ) -> Result<LogPrefix, BackupError> {
        let (disk, dir) = self.place();
        let dir = store_dir(dir, store);
        let mut headers = BTreeMap::new();
        // A store that was never written to has none.
        for extent in extents.filter(|_| tail.byte > 0) {
            headers.insert(extent, read_header(&**disk, &dir, store, extent)?.1);
        }
        Ok(up_to(store, &headers, tail))
    }
}

/// A data directory that no process has open, for as long as this lives. It is not written to.
pub struct FolderSource {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    _lock: Option<Box<dyn DiskLock>>,
}

impl FolderSource {
    /// Takes the folder for this process.
    ///
    /// # Errors
    /// [`OpenError::InUse`]; [`OpenError::NewerFormat`]; [`OpenError::Unfinished`]; [`OpenError::Storage`], also if it is no
    /// data directory.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, OpenError> {
        if !has_known_format(&*disk, dir)? {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no data directory of streamkit");
            return Err(StorageError::io("open", dir, source).into());
        }
        let lock = lock_dir(&*disk, dir)?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            _lock: Some(lock),
        })
    }

    /// Without a lock, of a folder that is not written to by others: of a backup.
    pub(super) fn unlocked(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            _lock: None,
        }
    }
}

impl Source for FolderSource {
    fn folder(&self) -> Option<&Path> {
        Some(&self.dir)
    }

    fn stores(&self) -> Result<Vec<StoreId>, BackupError> {
        Ok(list_stores(&*self.disk, &self.dir)?)
    }

    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError> {
        let dir = store_dir(&self.dir, store);
        let found = read_headers(&*self.disk, &dir, store)?;
        let tail = find_tail(&self.disk, &dir, store, &found)?;
        Ok(up_to(store, &found.log, tail))
    }

    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError> {
        let pieces = FilePieces::open(&*self.disk, &store_dir(&self.dir, store), store, extent)?;
        Ok(Box::new(pieces))
    }
}

/// A log with these headers, up to `tail`.
fn up_to(store: StoreId, headers: &BTreeMap<u64, ExtentHeader>, tail: LogPosition) -> LogPrefix {
    let extents = headers.range(..=tail.extent).map(|(&extent, header)| {
        let next = headers.get(&(extent + 1)).filter(|_| extent < tail.extent);
        ExtentPrefix {
            extent,
            capacity: header.capacity,
            used_bytes: next.map_or(tail.byte, |next| next.previous_end),
            salt: header.salt,
            sealed: next.map(|next| next.state.chain),
        }
    });
    LogPrefix {
        store,
        extents: extents.collect(),
    }
}

/// Where the last group of the open extent ends: what an open would find. A torn write is left out.
fn find_tail(disk: &Arc<dyn Disk>, dir: &Path, store: StoreId, found: &Headers) -> Result<LogPosition, BackupError> {
    let checkpoint = read_checkpoint(&**disk, dir, store, found)?;
    let known_durable = known_durable(store, checkpoint.as_ref(), found)?;
    let Some((&extent, header)) = found.log.last_key_value() else {
        return Ok(LogPosition { extent: 1, byte: 0 });
    };
    let (file, _) = open_extent(&**disk, dir, extent)?;
    let start = LogPosition {
        extent,
        byte: EXTENT_HEADER_BYTES as u32,
    };
    let mut walk = Walk::new(file, header.salt, start, header.state)?;
    let marker = checkpoint.filter(|checkpoint| checkpoint.position.extent == extent);
    loop {
        // The transactions are not looked at here: their numbers are compared when the copy is opened.
        if let Some(marker) = marker.as_ref().filter(|marker| marker.position == walk.at()) {
            let of = |state: &LogState| (state.chain, state.group_number, state.epoch);
            if of(&walk.state) != of(&marker.state) {
                let byte = marker.position.byte;
                return Err(corrupt(store, extent, byte, ANOTHER_LOG).into());
            }
        }
        if let Step::End { found, .. } = walk.step()? {
            return Ok(end_of(&mut walk, found, store, None, known_durable)?.tail);
        }
    }
}

/// An extent's file and its header.
pub(super) fn read_header(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    extent: u64,
) -> Result<(Arc<dyn DiskFile>, ExtentHeader), StorageError> {
    let (file, header) = match open_extent(disk, dir, extent) {
        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(corrupt(store, extent, 0, "nothing: the extent's file is missing"));
        }
        opened => opened?,
    };
    let header = header.map_err(|error| corrupt(store, extent, 0, format!("the extent's header: {error}")))?;
    if (header.store, header.extent) != (store, extent) || !header.begun {
        return Err(corrupt(store, extent, 0, "the header of another extent"));
    }
    Ok((file, header))
}

struct FilePieces {
    store: StoreId,
    extent: u64,
    file: Arc<dyn DiskFile>,
    header: ExtentHeader,
    at: u64,
    end: u64,
}

impl FilePieces {
    fn open(disk: &dyn Disk, dir: &Path, store: StoreId, extent: &ExtentPrefix) -> Result<Self, BackupError> {
        let (file, header) = read_header(disk, dir, store, extent.extent)?;
        if (header.salt, header.capacity) != (extent.salt, extent.capacity) {
            return Err(corrupt(store, extent.extent, 0, "another extent than was asked for").into());
        }
        if extent.used_bytes < EXTENT_HEADER_BYTES as u32 || u64::from(extent.used_bytes) > header.capacity {
            let why = format!("extent {} of store {store} holds no such bytes", extent.extent);
            return Err(BackupError::Refused(why));
        }
        Ok(Self {
            store,
            extent: extent.extent,
            file,
            header: ExtentHeader {
                durable: extent.used_bytes,
                ..header
            },
            at: 0,
            end: u64::from(extent.used_bytes),
        })
    }
}

impl Pieces for FilePieces {
    fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        if self.at == self.end {
            return Ok(None);
        }
        let piece = match self.at {
            0 => self.header.encode(),
            at => {
                let mut piece = vec![0; PIECE_BYTES.min((self.end - at) as usize)];
                let read = self.file.read_at(at, &mut piece);
                let read = read.map_err(|e| StorageError::io("read", self.file.path(), e))?;
                if read < piece.len() {
                    let byte = (at + read as u64) as u32;
                    return Err(corrupt(self.store, self.extent, byte, "the end of the file").into());
                }
                piece
            }
        };
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }
}

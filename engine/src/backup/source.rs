//! The local sources of a backup: the extents of a store up to a durable position, from an engine at work or a folder
//! at rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::boundary::backup::{BackupError, ExtentPrefix, LogPrefix, Pieces, Source};
use crate::directory::extent_file::open_extent;
use crate::directory::folder::lock_dir;
use crate::directory::{has_known_format, list_stores, refuse_copies, store_dir};
use crate::disk::{Disk, DiskFile, DiskLock};
use crate::error::corrupt;
use crate::error::{OpenError, StorageError};
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::log_start::LogStart;
use crate::log::end::{end_of, known_durable};
use crate::log::headers::{Headers, read_headers};
use crate::log::replay::{ANOTHER_LOG, read_checkpoint};
use crate::log::walk::{Step, Walk};
use streamkit_record::{LogPosition, StoreId};

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;

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
    /// [`OpenError::InUse`]; [`OpenError::NewerFormat`]; [`OpenError::Unfinished`]; [`OpenError::HoldsCopies`]; [`OpenError::Storage`], also if
    /// it is no data directory.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, OpenError> {
        if !has_known_format(&*disk, dir)? {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no data directory of streamkit");
            return Err(StorageError::io("open", dir, source).into());
        }
        refuse_copies(&*disk, dir)?;
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
pub(crate) fn up_to(store: StoreId, headers: &BTreeMap<u64, ExtentHeader>, tail: LogPosition) -> LogPrefix {
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
        return Ok(LogStart::WHOLE.position());
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
pub(crate) fn read_header(
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

pub(crate) struct FilePieces {
    store: StoreId,
    extent: u64,
    file: Arc<dyn DiskFile>,
    header: ExtentHeader,
    at: u64,
    end: u64,
}

impl FilePieces {
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        store: StoreId,
        extent: &ExtentPrefix,
    ) -> Result<Self, BackupError> {
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

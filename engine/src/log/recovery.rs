//! Opens a store's log: makes durable what [`super::replay`] read, and writes missing index files. A recovered log may
//! be inspected. Only [`Recovered::into_writer`] makes it a writer, so nothing can be appended to a log that was not
//! read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::end::LogEnd;
use super::extents::Frozen;
use super::headers::Headers;
use super::hold::{HeldExtents, hold, not_held};
use super::latch::Latch;
use super::prepared::{LogFolder, PreparedExtent, PreparedSlot};
use super::replay::{Sealed, replay};
use super::shown::Newest;
use super::writer::{LogWriter, OpenExtent};
use crate::directory::names::FileName;
use crate::disk::{Disk, OpenMode, replace};
use crate::error::{OpenError, StorageError, corrupt};
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::index::{IndexSegment, encode};
use crate::index::catalog::Catalog;
use crate::index::runs::{ExtentRuns, SegmentNumber};
use crate::index::sealed::IndexFile;
use crate::limits::BLOCK_BYTES;
use streamkit_record::{LogPosition, SegmentPath, StoreId};

/// A store's log, read.
pub(crate) struct Recovered {
    pub(crate) catalog: Catalog,
    pub(crate) state: LogState,
    pub(crate) end: LogEnd,
    /// Its last transaction; `None`: it stands before the last extent, or there is none.
    pub(crate) newest: Option<Newest>,
    /// Bytes of groups read and applied.
    pub(crate) replayed_bytes: u64,
    /// The position of the checkpoint it began with.
    pub(crate) checkpointed: LogPosition,
    unindexed: Vec<Frozen>,
    headers: BTreeMap<u64, ExtentHeader>,
    prepared: Option<ExtentHeader>,
    held: HeldExtents,
    store: StoreId,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// Reads a store's log and makes sure that it is durable. Writes only those bytes again, and missing index files.
///
/// # Errors
/// [`OpenError::Storage`] with [`StorageError::Corrupt`] if something once durable is not whole.
pub(crate) fn recover(disk: Arc<dyn Disk>, dir: PathBuf, store: StoreId) -> Result<Recovered, OpenError> {
    let held = hold(&*disk, &dir)?;
    let mut unindexed = Vec::new();
    let mut is_begun_durably = false;
    let mut sealed = |sealed: Sealed<'_>| {
        let Sealed { extent, end, chain, .. } = sealed;
        if !index_is_whole(&*disk, &dir, store, extent, end, chain)? {
            // An index file says that the log has come to the next extent, so it must not outlive that one's header.
            if !std::mem::replace(&mut is_begun_durably, true) {
                refuse_unless_held(&held, &dir, sealed.newest)?;
                let none = LogPosition { extent: 0, byte: 0 };
                make_durable(&*disk, &dir, sealed.newest, none, none)?;
            }
            let segments = index_segments(|segment| sealed.catalog.path(segment), &sealed.runs);
            match write_index(&*disk, &dir, store, extent, end, chain, segments) {
                // Reading needs no room on the disk: the runs stay in memory until there is some.
                Err(error) if error.is_full() => unindexed.push(Frozen {
                    segments: Arc::new(sealed.catalog.segments().clone()),
                    runs: Arc::new(sealed.runs),
                    end,
                    chain,
                }),
                written => written?,
            }
        }
        Ok(())
    };
    let replayed = replay(&*disk, &dir, store, &mut sealed)?;
    let Headers { log, prepared, .. } = replayed.headers;
    if let Some(&open) = log.keys().next_back() {
        refuse_unless_held(&held, &dir, open)?;
        make_durable(&*disk, &dir, open, replayed.durable, replayed.end.tail)?;
    } else if prepared.is_some() {
        // Its name may not be durable: who prepared it may have died before it could sync the folder.
        sync_names(&*disk, &dir)?;
    }
    Ok(Recovered {
        catalog: replayed.catalog,
        state: replayed.state,
        end: replayed.end,
        newest: replayed.newest,
        replayed_bytes: replayed.applied_bytes,
        checkpointed: replayed.checkpointed,
        unindexed,
        headers: log,
        prepared,
        held,
        store,
        disk,
        dir,
    })
}

/// What is not held was not read as it stands, and must not be written to.
fn refuse_unless_held(held: &HeldExtents, dir: &Path, extent: u64) -> Result<(), StorageError> {
    match held.has(extent) {
        true => Ok(()),
        false => Err(not_held(&FileName::Extent(extent).in_dir(dir))),
    }
}

/// Makes durable what the process before may have written and not synced: the groups of the open extent that nothing says
/// were durable, its name, the folder's name. They are read from the page cache as if they were on the disk; shown to a
/// reader, or taken for the first commit of a retry, before they are, they could still be lost with the power.
///
/// The groups are written again, not only synced: after a sync that failed, the kernel takes pages that it could not write
/// for clean, and a later sync succeeds without writing them. Written with the bytes that stand there, a group can be
/// torn by nothing.
fn make_durable(
    disk: &dyn Disk,
    dir: &Path,
    open: u64,
    durable: LogPosition,
    tail: LogPosition,
) -> Result<(), StorageError> {
    let path = FileName::Extent(open).in_dir(dir);
    let file = disk
        .open(&path, OpenMode::Write)
        .map_err(|e| StorageError::io("open", &path, e))?;
    let first = LogPosition {
        extent: open,
        byte: EXTENT_HEADER_BYTES as u32,
    };
    let mut at = u64::from(durable.max(first).byte);
    let end = u64::from(tail.byte);
    // The header too: one whose sync failed may stand in the page cache alone, and the extent would be a prepared one again.
    let mut header = vec![0; EXTENT_HEADER_BYTES];
    let read = file
        .read_at(0, &mut header)
        .map_err(|e| StorageError::io("read", &path, e))?;
    file.write_at(0, &header[..read])
        .map_err(|e| StorageError::io("write", &path, e))?;
    let mut bytes = vec![0; end.saturating_sub(at).min(1 << 20) as usize];
    while at < end {
        let length = (end - at).min(bytes.len() as u64) as usize;
        let part = &mut bytes[..length];
        let read = file.read_at(at, part).map_err(|e| StorageError::io("read", &path, e))?;
        if read == 0 {
            break;
        }
        file.write_at(at, &part[..read])
            .map_err(|e| StorageError::io("write", &path, e))?;
        at += read as u64;
    }
    file.sync_data().map_err(|e| StorageError::io("sync", &path, e))?;
    sync_names(disk, dir)
}

/// Makes the names of a store's files durable, and the folder's own.
fn sync_names(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    let synced = disk.create_dir(dir).and_then(|()| disk.sync_dir(dir));
    synced.map_err(|e| StorageError::io("sync", dir, e))
}

fn index_is_whole(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    extent: u64,
    end: u32,
    chain: u32,
) -> Result<bool, StorageError> {
    let path = FileName::Index(extent).in_dir(dir);
    let file = match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|e| StorageError::io("open", &path, e))?,
    };
    Ok(match IndexFile::open(file) {
        Ok(index) => index.is_ok_and(|index| {
            let header = index.header;
            (header.store, header.extent, header.end, header.chain) == (store, extent, end, chain)
        }),
        // What cannot be read is as good as damaged: it is made anew.
        Err(_) => false,
    })
}

/// What the index of an extent holds, from its runs and the paths of its segments.
pub(crate) fn index_segments(path: impl Fn(SegmentNumber) -> SegmentPath, runs: &ExtentRuns) -> Vec<IndexSegment> {
    runs.by_segment()
        .map(|(segment, previous_extent, runs)| IndexSegment {
            path: path(segment),
            previous_extent,
            runs,
        })
        .collect()
}

/// Writes the index of a sealed extent.
pub(crate) fn write_index(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    extent: u64,
    end: u32,
    chain: u32,
    segments: Vec<IndexSegment>,
) -> Result<(), StorageError> {
    let bytes = encode(store, extent, end, chain, segments);
    let path = FileName::Index(extent).in_dir(dir);
    replace(disk, &path, &bytes).map_err(|e| StorageError::io("write", path, e))
}

impl Recovered {
    /// Sealed extents whose index files could not be written, since the disk is full.
    pub(crate) fn unindexed(&self) -> &[Frozen] {
        &self.unindexed
    }

    /// Bytes of the log's extents, in order.
    pub(crate) fn capacities(&self) -> impl Iterator<Item = u64> {
        self.headers.values().map(|header| header.capacity)
    }

    /// Becomes the writer of this log. Removes what an interrupted preparation left.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) fn into_writer(
        self,
        extent_bytes: u64,
        keep_free_bytes: u64,
    ) -> Result<(LogWriter, Catalog), StorageError> {
        for name in self
            .disk
            .list(&self.dir)
            .map_err(|e| StorageError::io("list", &self.dir, e))?
        {
            if name.ends_with(".tmp") || matches!(FileName::parse(&name), Some(FileName::Spare(_))) {
                let path = self.dir.join(name);
                self.disk
                    .remove(&path)
                    .map_err(|e| StorageError::io("remove", path, e))?;
            }
        }
        let open = match self.headers.values().next_back() {
            None => None,
            Some(header) => {
                let path = FileName::Extent(header.extent).in_dir(&self.dir);
                let tail = self.end.tail.byte;
                let mut begun = vec![0; tail as usize % BLOCK_BYTES];
                let at = u64::from(tail) - begun.len() as u64;
                let read = self
                    .disk
                    .open(&path, OpenMode::Read)
                    .and_then(|file| file.read_at(at, &mut begun));
                if read.map_err(|e| StorageError::io("read", &path, e))? < begun.len() {
                    return Err(corrupt(
                        self.store,
                        header.extent,
                        tail,
                        "nothing, though it was just read",
                    ));
                }
                let file = self.held.into_file(header.extent).ok_or_else(|| not_held(&path))?;
                Some(OpenExtent {
                    header: *header,
                    file,
                    durable: tail,
                    made: tail,
                    begun,
                    from: tail,
                    groups: 0,
                })
            }
        };
        let log_bytes = self.headers.values().map(|header| header.capacity).sum();
        let prepared = self.prepared.map(|header| PreparedExtent {
            extent: header.extent,
            capacity: header.capacity,
            file: None,
        });
        let folder = LogFolder {
            disk: self.disk,
            dir: self.dir,
            store: self.store,
            latch: Arc::new(Latch::new(self.store)),
            keep_free_bytes,
        };
        let writer = LogWriter {
            spare: Arc::new(PreparedSlot::new(prepared)),
            log_bytes,
            open,
            state: self.state,
            ..unwritten(folder, extent_bytes)
        };
        Ok((writer, self.catalog))
    }
}

/// The end of a log of which nothing is there. No disk is touched for it.
pub(crate) fn unwritten(folder: LogFolder, extent_bytes: u64) -> LogWriter {
    LogWriter {
        folder,
        spare: Arc::new(PreparedSlot::new(None)),
        prepare_at: 0,
        extent_bytes,
        log_bytes: 0,
        disk_is_full: false,
        is_replica: false,
        looked_at: std::cell::Cell::default(),
        open: None,
        state: LogState::default(),
    }
}

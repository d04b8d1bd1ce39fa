//! Opens a store's log: checkpoint, then whatever was written after it, group by group. A recovered log may be inspected;
//! it becomes a writer only by [`Recovered::into_writer`], so nothing can be appended to a log that was not read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::end::{LogEnd, end_of, known_durable};
use super::extents::Frozen;
use super::names::FileName;
use super::spare::{Place as SparePlace, Spare, SpareSlot};
use super::walk::{Step, Walk};
use super::writer::{LogWriter, OpenExtent};
use crate::disk::latch::Latch;
use crate::disk::{Disk, DiskFile, OpenMode, read_all, replace};
use crate::error::{OpenError, SegmentsHit, StorageError};
use crate::format::FormatError;
use crate::format::checkpoint::{self, Checkpoint};
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::index::{IndexSegment, encode};
use crate::format::transaction::{Kind, check_structure, open_transaction};
use crate::index::catalog::Catalog;
use crate::index::runs::{ExtentRuns, SegmentNumber};
use crate::index::sealed::IndexFile;
use crate::limits::{BLOCK_BYTES, FORMAT_VERSION};
use crate::model::{LogPosition, SegmentPath, StoreId};

/// A store's log, read.
pub(crate) struct Recovered {
    pub(crate) catalog: Catalog,
    pub(crate) state: LogState,
    pub(crate) end: LogEnd,
    /// Bytes of groups that were read and applied.
    pub(crate) replayed_bytes: u64,
    /// Where the checkpoint stands that this began with.
    pub(crate) checkpointed: LogPosition,
    unindexed: Vec<Frozen>,
    headers: BTreeMap<u64, ExtentHeader>,
    prepared: Option<ExtentHeader>,
    store: StoreId,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// The headers of a store's extents.
pub(crate) struct Headers {
    /// Of those that the log has come to, by number.
    pub(crate) log: BTreeMap<u64, ExtentHeader>,
    /// Of the one behind them, if it is prepared.
    pub(crate) prepared: Option<ExtentHeader>,
    /// The newest extent with an index file: those are written when the log has durably come to the next one.
    pub(crate) indexed: Option<u64>,
}

pub(crate) fn corrupt(store: StoreId, extent: u64, byte: u32, found: impl Into<String>) -> StorageError {
    StorageError::Corrupt {
        store,
        extent,
        byte: u64::from(byte),
        found: found.into(),
        segments: SegmentsHit::Unknown,
    }
}

/// What the first block of an extent says, or why it says nothing.
pub(crate) type DecodedHeader = Result<ExtentHeader, FormatError>;

/// An extent's file, and what its first block says.
pub(crate) fn open_extent(
    disk: &dyn Disk,
    dir: &Path,
    extent: u64,
) -> Result<(Arc<dyn DiskFile>, DecodedHeader), StorageError> {
    let path = FileName::Extent(extent).in_dir(dir);
    let file = disk
        .open(&path, OpenMode::Read)
        .map_err(|e| StorageError::io("open", &path, e))?;
    let header = read_header(&*file)?;
    Ok((file, header))
}

/// What the first block of an extent's file says.
pub(crate) fn read_header(file: &dyn DiskFile) -> Result<DecodedHeader, StorageError> {
    let mut block = vec![0; EXTENT_HEADER_BYTES];
    let read = file
        .read_at(0, &mut block)
        .map_err(|e| StorageError::io("read", file.path(), e))?;
    Ok(ExtentHeader::decode(&block[..read]))
}

/// Reads the headers of all extents and checks that none is missing.
pub(crate) fn read_headers(disk: &dyn Disk, dir: &Path, store: StoreId) -> Result<Headers, OpenError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let (mut headers, mut prepared) = (BTreeMap::new(), BTreeMap::new());
    let mut indexed = None;
    for name in names {
        let number = match FileName::parse(&name) {
            Some(FileName::Extent(number)) => number,
            Some(FileName::Index(number)) => {
                indexed = indexed.max(Some(number));
                continue;
            }
            _ => continue,
        };
        let (file, header) = open_extent(disk, dir, number)?;
        let path = file.path().clone();
        let header = match header {
            Ok(header) => header,
            Err(FormatError::Version(found)) => {
                return Err(OpenError::NewerFormat {
                    path,
                    found,
                    supported: FORMAT_VERSION,
                });
            }
            Err(error) => return Err(corrupt(store, number, 0, format!("the extent's header: {error}")).into()),
        };
        if header.store != store || header.extent != number {
            let found = format!("the header of extent {} of store {}", header.extent, header.store);
            return Err(corrupt(store, number, 0, found).into());
        }
        let size = file
            .size()
            .map_err(|e| StorageError::io("read the size of", &path, e))?;
        if size < header.capacity {
            let found = format!("a file of {size} bytes; it was made with {}", header.capacity);
            return Err(corrupt(store, number, size.min(u64::from(u32::MAX)) as u32, found).into());
        }
        let stage = if header.begun { &mut headers } else { &mut prepared };
        stage.insert(number, header);
    }
    if let Some(last) = headers.values().next_back() {
        for number in last.first_extent..last.extent {
            if !headers.contains_key(&number) {
                return Err(corrupt(store, number, 0, "nothing: the extent's file is missing").into());
            }
        }
    }
    let next = headers.keys().next_back().map_or(1, |last| last + 1);
    if let Some(&number) = prepared.keys().find(|&&number| number != next) {
        let found = "an extent that was never begun, though its number is not the log's next";
        return Err(corrupt(store, number, 0, found).into());
    }
    let prepared = prepared.remove(&next);
    Ok(Headers {
        log: headers,
        prepared,
        indexed,
    })
}

/// Reads a store's log and makes sure that what it read is durable. Writes nothing but that again, and index
/// files that are missing.
///
/// # Errors
/// [`OpenError::Storage`] with [`StorageError::Corrupt`] where something that was durable is not whole.
pub(crate) fn recover(disk: Arc<dyn Disk>, dir: PathBuf, store: StoreId) -> Result<Recovered, OpenError> {
    let found = read_headers(&*disk, &dir, store)?;
    let checkpoint = read_checkpoint(&*disk, &dir, store)?;
    let known_durable = known_durable(store, checkpoint.as_ref(), &found)?;
    let Headers {
        log: headers, prepared, ..
    } = found;
    let usable = checkpoint.filter(|checkpoint| indexes_exist(&*disk, &dir, &headers, checkpoint.position.extent));
    let nowhere = LogPosition { extent: 0, byte: 0 };
    let checkpointed = usable.as_ref().map_or(nowhere, |checkpoint| checkpoint.position);
    let first = headers.keys().next().copied();
    let (mut catalog, mut state, start) = match (usable, first) {
        (Some(checkpoint), _) => (checkpoint.catalog, checkpoint.state, checkpoint.position),
        (None, Some(first)) => {
            let catalog = Catalog::starting_at(first);
            (
                catalog,
                headers[&first].state,
                LogPosition {
                    extent: first,
                    byte: EXTENT_HEADER_BYTES as u32,
                },
            )
        }
        (None, None) => (
            Catalog::default(),
            LogState::default(),
            LogPosition { extent: 1, byte: 0 },
        ),
    };
    let mut recovered_end = LogEnd {
        tail: start,
        torn: false,
    };
    let mut durable = start;
    let mut replayed_bytes = 0;
    let mut unindexed = Vec::new();
    let mut is_begun_durably = false;
    for &extent in headers.range(start.extent..).map(|(number, _)| number) {
        let next = headers.get(&(extent + 1)); // numbers stay below 2^32
        let at = if extent == start.extent {
            start
        } else {
            LogPosition {
                extent,
                byte: EXTENT_HEADER_BYTES as u32,
            }
        };
        let path = FileName::Extent(extent).in_dir(&dir);
        let file = disk
            .open(&path, OpenMode::Read)
            .map_err(|e| StorageError::io("open", &path, e))?;
        let mut walk = Walk::new(file, headers[&extent].salt, at, state)?;
        recovered_end = replay(&mut walk, &mut catalog, store, next, known_durable)?;
        // Not what lies behind the end: it is looked through at each open, whatever the checkpoint says.
        replayed_bytes += u64::from(recovered_end.tail.byte.saturating_sub(at.byte));
        state = walk.state;
        durable = walk.durable.unwrap_or(durable);
        if next.is_some() {
            let runs = catalog.roll(extent + 1);
            if !index_is_whole(&*disk, &dir, store, extent, recovered_end.tail.byte, state.chain)? {
                // An index file says that the log has come to the next extent, so it must not outlive that one's header.
                if !std::mem::replace(&mut is_begun_durably, true) {
                    let newest = headers.keys().next_back().copied().unwrap_or(extent);
                    let none = LogPosition { extent: 0, byte: 0 };
                    make_durable(&*disk, &dir, newest, none, none)?;
                }
                let segments = index_segments(|segment| catalog.path(segment), &runs);
                let (end, chain) = (recovered_end.tail.byte, state.chain);
                match write_index(&*disk, &dir, store, extent, end, chain, segments) {
                    // Reading needs no room on the disk: the runs stay in memory until there is some.
                    Err(error) if error.is_full() => unindexed.push(Frozen {
                        runs: Arc::new(runs),
                        end,
                        chain,
                    }),
                    written => written?,
                }
            }
        }
    }
    if let Some(&open) = headers.keys().next_back() {
        make_durable(&*disk, &dir, open, durable, recovered_end.tail)?;
    } else if prepared.is_some() {
        // Its name may not be durable: who prepared it may have died before it could sync the folder.
        sync_names(&*disk, &dir)?;
    }
    Ok(Recovered {
        catalog,
        state,
        end: recovered_end,
        replayed_bytes,
        checkpointed,
        unindexed,
        headers,
        prepared,
        store,
        disk,
        dir,
    })
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

/// Applies the groups of one extent and decides what their end means.
fn replay(
    walk: &mut Walk,
    catalog: &mut Catalog,
    store: StoreId,
    next: Option<&ExtentHeader>,
    known_durable: Option<LogPosition>,
) -> Result<LogEnd, StorageError> {
    let extent = walk.at().extent;
    loop {
        let mut numbers = walk.state;
        match walk.step()? {
            Step::Group { at, body, .. } => {
                let body_at = at + GROUP_HEADER_BYTES as u32;
                apply_group(catalog, &mut numbers, extent, body_at, body)
                    .map_err(|(byte, error)| corrupt(store, extent, byte, error.to_string()))?;
                walk.state.trx_number = numbers.trx_number;
                walk.state.last_timestamp = numbers.last_timestamp;
            }
            Step::End { found, .. } => return end_of(walk, found, store, next, known_durable),
        }
    }
}

/// Applies one whole group's transactions. An error names the byte of the extent.
pub(crate) fn apply_group(
    catalog: &mut Catalog,
    state: &mut LogState,
    extent: u64,
    body_at: u32,
    body: &[u8],
) -> Result<(), (u32, FormatError)> {
    let mut at = 0;
    while at < body.len() {
        let byte = body_at + at as u32;
        let fail = |error| (byte, error);
        let (header, transaction) = open_transaction(&body[at..]).map_err(fail)?;
        check_structure(&header, transaction).map_err(fail)?;
        if header.number != state.trx_number + 1 {
            return Err(fail(FormatError::Invalid("a transaction out of order")));
        }
        if header.kind != Kind::Open {
            catalog
                .apply(&header, transaction, LogPosition { extent, byte })
                .map_err(fail)?;
        }
        state.trx_number = header.number;
        state.last_timestamp = header.timestamp;
        at += transaction.len();
    }
    Ok(())
}

/// A store's checkpoint; `None` also if it is damaged, since the log says all that it does.
pub(crate) fn read_checkpoint(disk: &dyn Disk, dir: &Path, store: StoreId) -> Result<Option<Checkpoint>, OpenError> {
    let path = FileName::Checkpoint.in_dir(dir);
    let file = match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| StorageError::io("open", &path, e))?,
    };
    let bytes = read_all(&*file).map_err(|e| StorageError::io("read", &path, e))?;
    match checkpoint::decode(&bytes) {
        Ok(checkpoint) if checkpoint.store == store => Ok(Some(checkpoint)),
        Ok(_) => Err(corrupt(
            store,
            0,
            0,
            format!("{}: the checkpoint of another store", path.display()),
        )
        .into()),
        Err(FormatError::Version(found)) => Err(OpenError::NewerFormat {
            path,
            found,
            supported: FORMAT_VERSION,
        }),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the checkpoint is damaged: replaying the whole log");
            Ok(None)
        }
    }
}

fn indexes_exist(disk: &dyn Disk, dir: &Path, headers: &BTreeMap<u64, ExtentHeader>, before: u64) -> bool {
    let names = disk.list(dir).unwrap_or_default();
    let there: std::collections::HashSet<_> = names.iter().filter_map(|name| FileName::parse(name)).collect();
    headers
        .range(..before)
        .all(|(&number, _)| there.contains(&FileName::Index(number)))
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
    Ok(IndexFile::open(file)?.is_ok_and(|index| {
        let header = index.header;
        (header.store, header.extent, header.end, header.chain) == (store, extent, end, chain)
    }))
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
                let file = self
                    .disk
                    .open_log(&path, false)
                    .map_err(|e| StorageError::io("open", path, e))?;
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
        let prepared = self.prepared.map(|header| Spare {
            extent: header.extent,
            capacity: header.capacity,
            file: None,
        });
        let writer = LogWriter {
            place: SparePlace {
                disk: self.disk,
                dir: self.dir,
                store: self.store,
                latch: Arc::new(Latch::new(self.store)),
                keep_free_bytes,
            },
            spare: Arc::new(SpareSlot::new(prepared)),
            prepare_at: 0,
            extent_bytes,
            log_bytes,
            disk_is_full: false,
            is_refused: false,
            open,
            state: self.state,
        };
        Ok((writer, self.catalog))
    }
}

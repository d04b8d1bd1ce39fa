//! Fills an extent with zeros, and gives it its name.

use super::{LARGE_STEP_BYTES, LogFolder, PreparedExtent};
use crate::directory::extent_file::read_header;
use crate::directory::names::FileName;
use crate::disk::blocks::Blocks;
use crate::disk::{Disk, LogFile, OpenMode, STEP_BYTES};
use crate::error::StorageError;
use crate::format::extent_header::ExtentHeader;
use crate::limits::BLOCK_BYTES;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// An extent that is being filled with zeros.
pub(crate) struct Filling {
    pub(super) extent: u64,
    pub(super) capacity: u64,
    file: Arc<dyn LogFile>,
    path: PathBuf,
    pub(super) filled: u64,
    /// It has its room already.
    allocated: bool,
}

impl Filling {
    /// Makes the file, empty.
    pub(super) fn begin(folder: &LogFolder, shape: Shape) -> Result<Self, StorageError> {
        let Shape { extent, capacity, .. } = shape;
        let path = FileName::Spare(extent).in_dir(&folder.dir);
        folder
            .leaves_room(capacity)
            .map_err(|e| StorageError::io("make room for", &path, e))?;
        let made = folder.disk.open_log(&path, true);
        let file = made.and_then(|file| file.take().map(|()| file));
        let file = file.map_err(|e| StorageError::io("create", &path, e))?;
        let allocated = file.allocate(capacity);
        let allocated = allocated.map_err(|e| StorageError::io("allocate", &path, e))?;
        Ok(Self {
            extent,
            capacity,
            file,
            path,
            filled: 0,
            allocated,
        })
    }

    /// One step on the way to `due`, which may go beyond it.
    pub(super) fn step(&mut self, due: u64) -> Result<(), StorageError> {
        static SMALL: LazyLock<Blocks> = LazyLock::new(|| Blocks::zeros(STEP_BYTES));
        static LARGE: LazyLock<Blocks> = LazyLock::new(|| Blocks::zeros(LARGE_STEP_BYTES));
        let left = (self.capacity - self.filled) as usize;
        let behind = due.saturating_sub(self.filled);
        let filled = if left < STEP_BYTES {
            self.grow(&Blocks::zeros(left))
        } else if left < LARGE_STEP_BYTES || behind < LARGE_STEP_BYTES as u64 {
            self.grow(&SMALL)
        } else {
            self.grow(&LARGE)
        };
        filled.map_err(|e| StorageError::io("prepare", &self.path, e))
    }

    fn grow(&mut self, zeros: &Blocks) -> io::Result<()> {
        self.file.grow(self.filled, zeros)?;
        self.filled += zeros.len() as u64;
        Ok(())
    }

    /// Leaves the rest as it was allocated, where it was.
    pub(super) fn leave_unwritten(&mut self) {
        if self.allocated {
            self.filled = self.capacity;
        }
    }

    /// Fills what is left. Its header says that it has not begun.
    pub(super) fn fill(mut self, folder: &LogFolder) -> Result<Filled, StorageError> {
        while self.filled < self.capacity {
            self.step(self.capacity)?;
        }
        let io = |operation| {
            let path = self.path.clone();
            move |source| StorageError::io(operation, path, source)
        };
        let header = ExtentHeader::prepared(folder.store, self.extent, self.capacity);
        let header = Blocks::from(header.encode().as_slice());
        self.file.settle(self.capacity).map_err(io("prepare"))?;
        self.file.write(0, &header).map_err(io("write the header of"))?;
        Ok(Filled(self))
    }
}

/// An extent that is full of zeros, durably, and has no name in the log yet.
pub(crate) struct Filled(Filling);

impl Filled {
    /// Gives it its name in the log, in the place of another that has it. Where the system refuses that before it does anything, the
    /// next extent is tried anew under the same name. After any other failure nobody knows what stands behind the name, neither
    /// now nor after power loss: the store accepts no more writes.
    pub(crate) fn name(self, folder: &LogFolder) -> Result<PreparedExtent, StorageError> {
        let filling = self.0;
        let path = FileName::Extent(filling.extent).in_dir(&folder.dir);
        refuse_if_begun(&*folder.disk, &path)?;
        let unchanged = |error: &StorageError| error.is_refusal() || error.is_full();
        folder.latch.guard_unless(unchanged, || {
            let renamed = folder.disk.rename(&filling.path, &path);
            renamed.map_err(|source| StorageError::io("rename", &filling.path, source))
        })?;
        // Not for want of room: a sync that began and found none has failed like any other. It begins with opening the folder.
        folder.latch.guard_unless(StorageError::is_refusal, || {
            let synced = folder.disk.sync_dir(&folder.dir);
            synced.map_err(|source| StorageError::io("sync", &folder.dir, source))
        })?;
        Ok(PreparedExtent {
            extent: filling.extent,
            capacity: filling.capacity,
            file: Some(filling.file),
        })
    }
}

/// Refuses to take the name of an extent that is a part of the log: only another process can have begun it.
fn refuse_if_begun(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(|error| StorageError::io("open", path, error))?,
    };
    match read_header(&*file)? {
        Ok(header) if header.begun => {
            let what = "another process has begun it";
            Err(StorageError::io(
                "rename to",
                path,
                io::Error::new(io::ErrorKind::ResourceBusy, what),
            ))
        }
        _ => Ok(()),
    }
}

/// Removes what is left of a preparation that failed: it only holds space, which may be what is missing.
pub(super) fn discard(disk: &dyn Disk, dir: &Path, extent: u64) {
    let _ = disk.remove(&FileName::Spare(extent).in_dir(dir));
}

/// What the next extent is to be like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) extent: u64,
    pub(crate) capacity: u64,
    /// For large groups: to write zeros first would cost the device as much as the groups, and more than the metadata that
    /// changes with each of them.
    pub(crate) allocated: bool,
}

/// Prepares one, now, all but its name.
pub(crate) fn prepare(folder: &LogFolder, shape: Shape) -> Result<Filled, StorageError> {
    let made = Filling::begin(folder, shape).and_then(|mut filling| {
        if shape.allocated {
            filling.leave_unwritten();
        }
        filling.fill(folder)
    });
    let extent = shape.extent;
    made.inspect_err(|_| discard(&*folder.disk, &folder.dir, extent))
}

/// How far the next extent is to be filled when the open one is full up to `tail`: nothing before a quarter of it, so that a
/// small store stays small; all at seven eighths, so that a roll finds it prepared.
pub(crate) fn due(tail: u64, capacity: u64, next_capacity: u64) -> u64 {
    let (start, end) = (capacity / 4, capacity / 8 * 7);
    let done = tail.saturating_sub(start).min(end - start);
    // Capacities are at most 2^30.
    (done * next_capacity / (end - start)).next_multiple_of(BLOCK_BYTES as u64)
}

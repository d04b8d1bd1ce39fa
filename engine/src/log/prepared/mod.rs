//! Prepares the next extent ahead of need: filled with zeros, durable and named. So a commit into it never changes the
//! file's metadata, and starting it takes one block. On ext4 that makes a durable write 2.5 to 3 times as fast as one
//! that grows the file (docs/decisions/2026-11-24-log-format.md).
//!
//! It writes zeros in small steps, each after the open extent has filled by as much. A commit behind such a step in
//! the device's queue waits for that step, not for an extent.

pub(crate) mod filling;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use self::filling::{Filling, Shape, discard};
use super::latch::Latch;
use crate::directory::descriptors::{Descriptors, GROWING, Promise};
use crate::disk::{Disk, LogFile};
use crate::error::StorageError;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Condvar, Mutex, MutexGuard};
use streamkit_record::StoreId;

/// Bytes of zeros written at once when more than that is due: then the log takes the device's bandwidth, not its latency.
const LARGE_STEP_BYTES: usize = 1 << 20;

/// An extent that is prepared, and not part of the log before its header is written anew.
pub(crate) struct PreparedExtent {
    pub(crate) extent: u64,
    pub(crate) capacity: u64,
    /// Open if this process prepared it.
    pub(crate) file: Option<Arc<dyn LogFile>>,
}

/// Where extents are prepared.
#[derive(Clone)]
pub(crate) struct LogFolder {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    /// The store's.
    pub(crate) latch: Arc<Latch>,
    /// Bytes of the disk that no extent may take.
    pub(crate) keep_free_bytes: u64,
}

impl LogFolder {
    /// Refuses what would leave less free than is to stay free.
    fn leaves_room(&self, bytes: u64) -> io::Result<()> {
        let free = if self.keep_free_bytes == 0 {
            None
        } else {
            self.disk.free_bytes(&self.dir)?
        };
        match free {
            Some(free) if free < bytes.saturating_add(self.keep_free_bytes) => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "{free} bytes are free, of which {} are to stay free",
                    self.keep_free_bytes
                ),
            )),
            _ => Ok(()),
        }
    }
}

enum Slot {
    Empty,
    /// A job is to go on with this, and has not come to it. `None`: it is not even begun.
    Claimed(u64, Option<Filling>),
    /// As far as it was due.
    Begun(Filling),
    /// Somebody is at it.
    Working,
    Ready(PreparedExtent),
    /// Preparing failed. Not tried again before the roll, which tries itself and reports.
    Failed,
}

/// Where the extent prepared in the background is left and found.
pub(crate) struct PreparedSlot {
    slot: Mutex<Slot>,
    changed: Condvar,
    /// How far it is to be filled by now.
    due: AtomicU64,
}

impl PreparedSlot {
    /// With what an earlier open has prepared.
    pub(crate) fn new(prepared: Option<PreparedExtent>) -> Self {
        Self {
            slot: Mutex::new(prepared.map_or(Slot::Empty, Slot::Ready)),
            changed: Condvar::new(),
            due: AtomicU64::new(0),
        }
    }
}

/// The right to go on with the next extent, for whoever comes to it first: the job that holds this, or the roll that needs
/// it. Dropped unused, it is given back.
pub(crate) struct Preparation {
    slot: Arc<PreparedSlot>,
    shape: Shape,
    /// Nothing of it is there yet.
    begins: bool,
    /// The file that it is to open.
    promise: Option<Promise>,
    /// There is nothing to give back: by the time this is dropped, the slot may hold the next preparation to the same extent.
    used: bool,
}

impl PreparedSlot {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, slot: Slot) {
        *self.lock() = slot;
        self.changed.notify_all();
    }

    /// Claims the right to fill an extent as far as `due`; `None` if somebody has, or it is prepared.
    pub(crate) fn preparation(self: &Arc<Self>, mut shape: Shape, due: u64) -> Option<Preparation> {
        self.due.fetch_max(due, Ordering::Relaxed);
        let mut slot = self.lock();
        let filling = match std::mem::replace(&mut *slot, Slot::Working) {
            Slot::Empty => None,
            Slot::Begun(filling) => {
                (shape.extent, shape.capacity) = (filling.extent, filling.capacity);
                Some(filling)
            }
            other => {
                *slot = other;
                return None;
            }
        };
        let begins = filling.is_none();
        *slot = Slot::Claimed(shape.extent, filling);
        Some(Preparation {
            slot: Arc::clone(self),
            shape,
            begins,
            promise: None,
            used: false,
        })
    }

    /// Takes the extent, waiting for one that somebody is filling. `None` if there is none: a preparation that nobody works on is
    /// void, since waiting for a queue of jobs could take for ever.
    pub(crate) fn take(&self, folder: &LogFolder) -> Option<PreparedExtent> {
        self.due.store(u64::MAX, Ordering::Relaxed);
        let mut slot = self.lock();
        let filling = loop {
            match std::mem::replace(&mut *slot, Slot::Empty) {
                Slot::Ready(spare) => {
                    self.due.store(0, Ordering::Relaxed);
                    return Some(spare);
                }
                Slot::Begun(filling) => break Some(filling),
                Slot::Claimed(_, filling) => break filling,
                Slot::Empty | Slot::Failed => break None,
                Slot::Working => {
                    *slot = Slot::Working;
                    slot = self.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        self.due.store(0, Ordering::Relaxed);
        drop(slot);
        let filling = filling?;
        let extent = filling.extent;
        let filled = filling.fill(folder).and_then(|filled| filled.name(folder));
        filled.inspect_err(|error| failed(folder, extent, error)).ok()
    }
}

impl PreparedSlot {
    /// The reverse of [`PreparedSlot::take`], if nobody has begun another in the meantime.
    pub(crate) fn put_back(&self, spare: PreparedExtent) {
        let mut slot = self.lock();
        if matches!(*slot, Slot::Empty) {
            *slot = Slot::Ready(spare);
        }
    }

    /// Gives up what is filled in part: the next open would begin anew.
    pub(crate) fn abandon(&self, folder: &LogFolder) {
        let mut slot = self.lock();
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Begun(filling) => discard(&*folder.disk, &folder.dir, filling.extent),
            other => *slot = other,
        }
    }
}

fn failed(folder: &LogFolder, extent: u64, error: &StorageError) {
    const WHAT: &str = "could not prepare the next extent ahead";
    match error.is_out_of_descriptors() {
        // A roll took what was left, which nobody can keep it from; that they are few was told.
        true => tracing::debug!(%error, "{WHAT}"),
        false => tracing::warn!(%error, "{WHAT}"),
    }
    discard(&*folder.disk, &folder.dir, extent);
}

impl Preparation {
    /// Whether it takes no descriptors from others; dropped, it is begun by a later commit or by the roll.
    pub(crate) fn finds(&mut self, descriptors: &Arc<Descriptors>) -> bool {
        self.promise = self.begins.then(|| descriptors.promise(GROWING)).flatten();
        !self.begins || self.promise.is_some()
    }

    /// Fills as far as it is due, unless the roll did in the meantime.
    pub(crate) fn fulfil(mut self, folder: &LogFolder) {
        self.used = true;
        let filling = {
            let mut slot = self.slot.lock();
            match std::mem::replace(&mut *slot, Slot::Working) {
                Slot::Claimed(extent, filling) if extent == self.shape.extent => filling,
                other => {
                    *slot = other;
                    return;
                }
            }
        };
        let slot = Arc::clone(&self.slot);
        let _outcome = FailOnPanic(&slot);
        if let Err(error) = self.work(folder, filling) {
            failed(folder, self.shape.extent, &error);
            self.slot.put(Slot::Failed);
        }
    }

    fn work(&mut self, folder: &LogFolder, filling: Option<Filling>) -> Result<(), StorageError> {
        let mut filling = match filling {
            Some(filling) => filling,
            None => Filling::begin(folder, self.shape)?,
        };
        self.promise = None;
        if self.shape.allocated {
            filling.leave_unwritten();
        }
        loop {
            if filling.filled >= filling.capacity {
                let spare = filling.fill(folder)?.name(folder)?;
                self.slot.put(Slot::Ready(spare));
                return Ok(());
            }
            let mut slot = self.slot.lock();
            let due = self.slot.due.load(Ordering::Relaxed);
            if filling.filled >= due {
                *slot = Slot::Begun(filling);
                self.slot.changed.notify_all();
                return Ok(());
            }
            drop(slot);
            filling.step(due)?;
        }
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let mut slot = self.slot.lock();
        *slot = match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Claimed(extent, Some(filling)) if extent == self.shape.extent => Slot::Begun(filling),
            Slot::Claimed(extent, None) if extent == self.shape.extent => Slot::Empty,
            other => other,
        };
    }
}

/// After a panic of whoever fills an extent, a roll that waits goes on.
struct FailOnPanic<'a>(&'a PreparedSlot);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        // Otherwise the slot may be somebody else's by now.
        if std::thread::panicking() {
            self.0.put(Slot::Failed);
        }
    }
}

#[cfg(test)]
mod tests;

//! Prepares the next extent ahead: written full of zeros, durably, and named, so that a commit into it never changes the
//! file's metadata and adding it to the log takes one block. On ext4 that makes a durable write 2.5 to 3 times as fast as
//! one that grows the file (docs/decisions, "zero-filled extents").
//!
//! Zeros are written in small steps, each when the open extent has filled by as much: a commit that stands behind one in
//! the device's queue waits for that step, not for an extent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, PoisonError};

use super::headers::read_header;
use super::names::FileName;
use crate::disk::blocks::Blocks;
use crate::disk::latch::Latch;
use crate::disk::{Disk, LogFile, OpenMode, STEP_BYTES};
use crate::error::StorageError;
use crate::format::extent_header::ExtentHeader;
use crate::limits::BLOCK_BYTES;
use crate::model::StoreId;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Bytes of zeros written at once when more than that is due: then the log takes the device's bandwidth, not its latency.
const LARGE_STEP_BYTES: usize = 1 << 20;

/// An extent that is prepared, and not part of the log before its header is written anew.
pub(crate) struct Spare {
    pub(crate) extent: u64,
    pub(crate) capacity: u64,
    /// Open if this process prepared it.
    pub(crate) file: Option<Arc<dyn LogFile>>,
}

/// Where extents are prepared.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    /// The store's.
    pub(crate) latch: Arc<Latch>,
    /// Bytes of the disk that no extent may take.
    pub(crate) keep_free_bytes: u64,
}

impl Place {
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

/// An extent that is being filled with zeros.
pub(crate) struct Filling {
    extent: u64,
    capacity: u64,
    file: Arc<dyn LogFile>,
    path: PathBuf,
    filled: u64,
    /// It has its room already.
    allocated: bool,
}

impl Filling {
    /// Makes the file, empty.
    fn begin(place: &Place, shape: Shape) -> Result<Self, StorageError> {
        let Shape { extent, capacity, .. } = shape;
        let path = FileName::Spare(extent).in_dir(&place.dir);
        place
            .leaves_room(capacity)
            .map_err(|e| StorageError::io("make room for", &path, e))?;
        let made = place.disk.open_log(&path, true);
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
    fn step(&mut self, due: u64) -> Result<(), StorageError> {
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
    fn leave_unwritten(&mut self) {
        if self.allocated {
            self.filled = self.capacity;
        }
    }

    /// Fills what is left. Its header says that it has not begun.
    fn fill(mut self, place: &Place) -> Result<Filled, StorageError> {
        while self.filled < self.capacity {
            self.step(self.capacity)?;
        }
        let io = |operation| {
            let path = self.path.clone();
            move |source| StorageError::io(operation, path, source)
        };
        let header = ExtentHeader::prepared(place.store, self.extent, self.capacity);
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
    pub(crate) fn name(self, place: &Place) -> Result<Spare, StorageError> {
        let filling = self.0;
        let path = FileName::Extent(filling.extent).in_dir(&place.dir);
        refuse_if_begun(&*place.disk, &path)?;
        let unchanged = |error: &StorageError| error.is_refusal() || error.is_full();
        place.latch.guard_unless(unchanged, || {
            let renamed = place.disk.rename(&filling.path, &path);
            renamed.map_err(|source| StorageError::io("rename", &filling.path, source))
        })?;
        // Not for want of room: a sync that began and found none has failed like any other. It begins with opening the folder.
        place.latch.guard_unless(StorageError::is_refusal, || {
            let synced = place.disk.sync_dir(&place.dir);
            synced.map_err(|source| StorageError::io("sync", &place.dir, source))
        })?;
        Ok(Spare {
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
fn discard(disk: &dyn Disk, dir: &Path, extent: u64) {
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
pub(crate) fn prepare(place: &Place, shape: Shape) -> Result<Filled, StorageError> {
    let made = Filling::begin(place, shape).and_then(|mut filling| {
        if shape.allocated {
            filling.leave_unwritten();
        }
        filling.fill(place)
    });
    let extent = shape.extent;
    made.inspect_err(|_| discard(&*place.disk, &place.dir, extent))
}

/// How far the next extent is to be filled when the open one is full up to `tail`: nothing before a quarter of it, so that a
/// small store stays small; all at seven eighths, so that a roll finds it prepared.
pub(crate) fn due(tail: u64, capacity: u64, next_capacity: u64) -> u64 {
    let (start, end) = (capacity / 4, capacity / 8 * 7);
    let done = tail.saturating_sub(start).min(end - start);
    // Capacities are at most 2^30.
    (done * next_capacity / (end - start)).next_multiple_of(BLOCK_BYTES as u64)
}

enum Slot {
    Empty,
    /// A job is to go on with this, and has not come to it. `None`: it is not even begun.
    Claimed(u64, Option<Filling>),
    /// As far as it was due.
    Begun(Filling),
    /// Somebody is at it.
    Working,
    Ready(Spare),
    /// Preparing failed. Not tried again before the roll, which tries itself and reports.
    Failed,
}

/// Where the extent prepared in the background is left and found.
pub(crate) struct SpareSlot {
    slot: Mutex<Slot>,
    changed: Condvar,
    /// How far it is to be filled by now.
    due: AtomicU64,
}

impl SpareSlot {
    /// With what an earlier open has prepared.
    pub(crate) fn new(prepared: Option<Spare>) -> Self {
        Self {
            slot: Mutex::new(prepared.map_or(Slot::Empty, Slot::Ready)),
            changed: Condvar::new(),
            due: AtomicU64::new(0),
        }
    }
}

/// The right to go on with the next extent, for whoever comes to it first: the job that holds this, or the roll that needs
/// it. Dropped unused, it is given back.
pub(crate) struct Claim {
    slot: Arc<SpareSlot>,
    shape: Shape,
    /// Nothing of it is there yet.
    pub(crate) begins: bool,
    /// There is nothing to give back: by the time this is dropped, the slot may hold the next claim to the same extent.
    used: bool,
}

impl SpareSlot {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, slot: Slot) {
        *self.lock() = slot;
        self.changed.notify_all();
    }

    /// Claims the right to fill an extent as far as `due`; `None` if somebody has, or it is prepared.
    pub(crate) fn claim(self: &Arc<Self>, mut shape: Shape, due: u64) -> Option<Claim> {
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
        Some(Claim {
            slot: Arc::clone(self),
            shape,
            begins,
            used: false,
        })
    }

    /// Takes the extent, waiting for one that somebody is filling. `None` if there is none: a claim that nobody works on is
    /// void, since waiting for a queue of jobs could take for ever.
    pub(crate) fn take(&self, place: &Place) -> Option<Spare> {
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
        let filled = filling.fill(place).and_then(|filled| filled.name(place));
        filled.inspect_err(|error| failed(place, extent, error)).ok()
    }
}

impl SpareSlot {
    /// The reverse of [`SpareSlot::take`], if nobody has begun another in the meantime.
    pub(crate) fn put_back(&self, spare: Spare) {
        let mut slot = self.lock();
        if matches!(*slot, Slot::Empty) {
            *slot = Slot::Ready(spare);
        }
    }

    /// Gives up what is filled in part: the next open would begin anew.
    pub(crate) fn abandon(&self, place: &Place) {
        let mut slot = self.lock();
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Begun(filling) => discard(&*place.disk, &place.dir, filling.extent),
            other => *slot = other,
        }
    }
}

fn failed(place: &Place, extent: u64, error: &StorageError) {
    tracing::warn!(%error, "could not prepare the next extent ahead");
    discard(&*place.disk, &place.dir, extent);
}

impl Claim {
    /// Fills as far as it is due, unless the roll did in the meantime.
    pub(crate) fn fulfil(mut self, place: &Place) {
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
        let _outcome = Outcome(&self.slot);
        if let Err(error) = self.work(place, filling) {
            failed(place, self.shape.extent, &error);
            self.slot.put(Slot::Failed);
        }
    }

    fn work(&self, place: &Place, filling: Option<Filling>) -> Result<(), StorageError> {
        let mut filling = match filling {
            Some(filling) => filling,
            None => Filling::begin(place, self.shape)?,
        };
        if self.shape.allocated {
            filling.leave_unwritten();
        }
        loop {
            if filling.filled >= filling.capacity {
                let spare = filling.fill(place)?.name(place)?;
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

impl Drop for Claim {
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
struct Outcome<'a>(&'a SpareSlot);

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        // Otherwise the slot may be somebody else's by now.
        if std::thread::panicking() {
            self.0.put(Slot::Failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OpenMode;
    use crate::disk::simulated::Simulated;

    fn place() -> Place {
        let store = StoreId(uuid::Uuid::from_u128(1));
        Place {
            disk: Arc::new(Simulated::default()),
            dir: PathBuf::from("/store"),
            store,
            latch: Arc::new(Latch::new(store)),
            keep_free_bytes: 0,
        }
    }

    fn shape(extent: u64, capacity: u64) -> Shape {
        Shape {
            extent,
            capacity,
            allocated: false,
        }
    }

    #[test]
    fn a_claim_that_nobody_works_on_holds_up_no_roll() {
        let (slot, place) = (Arc::new(SpareSlot::new(None)), place());
        let claim = slot.claim(shape(2, 1 << 20), 4096).expect("it is empty");
        assert!(slot.claim(shape(2, 1 << 20), 4096).is_none(), "one is enough");
        assert!(slot.take(&place).is_none());
        claim.fulfil(&place);
        assert!(place.disk.list(&place.dir).unwrap().is_empty(), "the roll has done it");
        drop(slot.claim(shape(3, 1 << 20), 4096).expect("it is empty again"));
        assert!(
            slot.claim(shape(3, 1 << 20), 4096).is_some(),
            "a claim dropped unused is given back"
        );
    }

    #[test]
    fn a_failed_preparation_is_not_tried_again_before_the_roll() {
        let memory = Simulated::default();
        memory.set_room(Some(1000));
        let place = Place {
            disk: Arc::new(memory),
            ..place()
        };
        let slot = Arc::new(SpareSlot::new(None));
        slot.claim(shape(2, 1 << 20), 4096).expect("it is empty").fulfil(&place);
        assert!(slot.claim(shape(2, 1 << 20), 1 << 20).is_none());
        assert!(slot.take(&place).is_none());
        assert!(slot.claim(shape(2, 1 << 20), 4096).is_some(), "the roll begins anew");
        assert!(
            place.disk.list(&place.dir).unwrap().is_empty(),
            "it leaves no file behind"
        );
    }

    #[test]
    fn an_extent_is_filled_as_far_as_it_is_due_and_the_roll_fills_the_rest() {
        let (slot, place) = (Arc::new(SpareSlot::new(None)), place());
        let step_bytes = STEP_BYTES as u64;
        let capacity = 8 * step_bytes;
        let size = |name: FileName| {
            let file = place.disk.open(&name.in_dir(&place.dir), OpenMode::Read);
            file.map(|file| file.size().unwrap()).ok()
        };
        for step in 1..4 {
            let due = step * step_bytes;
            let claim = slot.claim(shape(2, capacity), due).expect("nobody is at it");
            assert_eq!(claim.begins, step == 1);
            claim.fulfil(&place);
            assert_eq!(size(FileName::Spare(2)), Some(due));
        }
        let spare = slot.take(&place).expect("it was begun");
        assert_eq!((spare.extent, spare.capacity), (2, capacity));
        assert_eq!(size(FileName::Extent(2)), Some(capacity));
        assert_eq!(size(FileName::Spare(2)), None);
        let claim = slot.claim(shape(3, capacity), step_bytes).expect("the next one");
        claim.fulfil(&place);
        assert_eq!(
            size(FileName::Spare(3)),
            Some(step_bytes),
            "what was due of the last one is not of this"
        );
        slot.abandon(&place);
        assert_eq!(size(FileName::Spare(3)), None);
    }

    #[test]
    fn the_next_extent_is_whole_before_the_open_one_is_full() {
        for (capacity, next) in [(64 << 10, 256 << 10), (1 << 30, 1 << 30)] {
            assert_eq!(due(capacity / 4, capacity, next), 0, "a small store stays small");
            assert!(due(capacity / 2, capacity, next) < next / 2);
            assert_eq!(due(capacity / 8 * 7, capacity, next), next);
            assert_eq!(due(capacity, capacity, next), next);
        }
    }
}

//! What [`PreparedSlot`] promises.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{explore, panic_silently};
use crate::directory::names::FileName;
use crate::disk::blocks::Blocks;
use crate::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, STEP_BYTES};
use crate::log::latch::Latch;
use crate::log::prepared::filling::{Shape, prepare};
use crate::log::prepared::{LogFolder, PreparedExtent, PreparedSlot};
use crate::runtime::sync::thread;
use crate::runtime::workers::Workers;
use crate::simulation::Simulated;
use streamkit_record::StoreId;

const BLOCK: usize = 4096;
/// Two steps, of which the second is small.
const CAPACITY: u64 = (STEP_BYTES + BLOCK) as u64;

fn folder(disk: impl Disk) -> LogFolder {
    let store = StoreId(uuid::Uuid::from_u128(1));
    LogFolder {
        disk: Arc::new(disk),
        dir: PathBuf::from("/store"),
        store,
        latch: Arc::new(Latch::new(store)),
        keep_free_bytes: 0,
    }
}

fn shape(extent: u64) -> Shape {
    Shape {
        extent,
        capacity: CAPACITY,
        allocated: false,
    }
}

fn size(folder: &LogFolder, name: FileName) -> Option<u64> {
    let file = folder.disk.open(&name.in_dir(&folder.dir), OpenMode::Read).ok()?;
    Some(file.size().unwrap())
}

fn workers() -> Workers {
    Workers::new("test", 2, Duration::ZERO, None).unwrap()
}

/// As a roll does: the one that was prepared, or a new one.
fn roll(slot: &PreparedSlot, folder: &LogFolder, extent: u64) -> PreparedExtent {
    let taken = slot.take(folder);
    let spare = taken.unwrap_or_else(|| {
        prepare(folder, shape(extent))
            .and_then(|filled| filled.name(folder))
            .unwrap()
    });
    assert_eq!(spare.extent, extent);
    spare
}

#[test]
fn an_extent_is_taken_once_and_whoever_filled_it_is_done_with_it() {
    explore(600, || {
        let (slot, folder, workers) = (
            Arc::new(PreparedSlot::new(None)),
            folder(Simulated::default()),
            workers(),
        );
        for extent in 2..4 {
            for due in [BLOCK as u64, CAPACITY] {
                if let Some(preparation) = slot.preparation(shape(extent), due) {
                    let folder = folder.clone();
                    workers.spawn(move || preparation.fulfil(&folder));
                }
            }
            let spare = roll(&slot, &folder, extent);
            assert_eq!(size(&folder, FileName::Extent(extent)), Some(CAPACITY));
            let file = spare.file.expect("made here");
            file.write(0, &Blocks::from([7; BLOCK].as_slice())).unwrap();
        }
        drop(workers);
        slot.abandon(&folder);
        for extent in 2..4 {
            let file = folder
                .disk
                .open(&FileName::Extent(extent).in_dir(&folder.dir), OpenMode::Read)
                .unwrap();
            let mut first = [0; BLOCK];
            file.read_at(0, &mut first).unwrap();
            assert_eq!(first, [7; BLOCK], "nobody wrote to it after it was taken");
        }
        assert_eq!(
            folder.disk.list(&folder.dir).unwrap().len(),
            2,
            "and nothing is left over"
        );
    });
}

#[test]
fn what_is_due_is_filled_by_whoever_preparationed_it() {
    explore(600, || {
        let (slot, folder, workers) = (
            Arc::new(PreparedSlot::new(None)),
            folder(Simulated::default()),
            workers(),
        );
        for due in [BLOCK as u64, CAPACITY] {
            if let Some(preparation) = slot.preparation(shape(2), due) {
                let folder = folder.clone();
                workers.spawn(move || preparation.fulfil(&folder));
            }
            thread::yield_now();
        }
        workers.drain();
        assert_eq!(size(&folder, FileName::Extent(2)), Some(CAPACITY));
    });
}

#[test]
fn a_preparation_that_is_dropped_leaves_its_extent_to_the_next() {
    explore(400, || {
        let (slot, folder) = (Arc::new(PreparedSlot::new(None)), folder(Simulated::default()));
        slot.preparation(shape(2), BLOCK as u64)
            .expect("it is empty")
            .fulfil(&folder);
        let preparation = slot.preparation(shape(2), CAPACITY).expect("more is due");
        let dropped = thread::spawn(move || drop(preparation));
        let spare = roll(&slot, &folder, 2);
        assert_eq!(spare.capacity, CAPACITY);
        dropped.join().unwrap();
        let next = slot.preparation(shape(3), CAPACITY).expect("it is empty again");
        next.fulfil(&folder);
        assert_eq!(roll(&slot, &folder, 3).extent, 3);
    });
}

#[test]
fn a_roll_does_not_wait_for_a_panic() {
    explore(2000, || {
        let (slot, folder, workers) = (Arc::new(PreparedSlot::new(None)), folder(Panicking), workers());
        let preparation = slot.preparation(shape(2), CAPACITY).expect("it is empty");
        let own = folder.clone();
        workers.spawn(move || preparation.fulfil(&own));
        assert!(slot.take(&folder).is_none());
    });
}

/// Files are not to be made here.
struct Panicking;

impl Disk for Panicking {
    fn open_log(&self, _: &Path, _: bool) -> io::Result<Arc<dyn LogFile>> {
        thread::yield_now();
        panic_silently()
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn open(&self, _: &Path, _: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Ok(None)
    }
}

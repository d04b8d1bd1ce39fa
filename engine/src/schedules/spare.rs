//! What [`SpareSlot`] promises.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{explore, panic_silently};
use crate::disk::blocks::Blocks;
use crate::disk::latch::Latch;
use crate::disk::simulated::Simulated;
use crate::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, STEP_BYTES};
use crate::log::names::FileName;
use crate::log::spare::{Place, Shape, Spare, SpareSlot, prepare};
use crate::model::StoreId;
use crate::sync::thread;
use crate::workers::Workers;

const BLOCK: usize = 4096;
/// Two steps, of which the second is small.
const CAPACITY: u64 = (STEP_BYTES + BLOCK) as u64;

fn place(disk: impl Disk) -> Place {
    let store = StoreId(uuid::Uuid::from_u128(1));
    Place {
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

fn size(place: &Place, name: FileName) -> Option<u64> {
    let file = place.disk.open(&name.in_dir(&place.dir), OpenMode::Read).ok()?;
    Some(file.size().unwrap())
}

fn workers() -> Workers {
    Workers::new("test", 2, Duration::ZERO, None).unwrap()
}

/// As a roll does: the one that was prepared, or a new one.
fn roll(slot: &SpareSlot, place: &Place, extent: u64) -> Spare {
    let taken = slot.take(place);
    let spare = taken.unwrap_or_else(|| {
        prepare(place, shape(extent))
            .and_then(|filled| filled.name(place))
            .unwrap()
    });
    assert_eq!(spare.extent, extent);
    spare
}

#[test]
fn an_extent_is_taken_once_and_whoever_filled_it_is_done_with_it() {
    explore(600, || {
        let (slot, place, workers) = (Arc::new(SpareSlot::new(None)), place(Simulated::default()), workers());
        for extent in 2..4 {
            for due in [BLOCK as u64, CAPACITY] {
                if let Some(claim) = slot.claim(shape(extent), due) {
                    let place = place.clone();
                    workers.spawn(move || claim.fulfil(&place));
                }
            }
            let spare = roll(&slot, &place, extent);
            assert_eq!(size(&place, FileName::Extent(extent)), Some(CAPACITY));
            let file = spare.file.expect("made here");
            file.write(0, &Blocks::from([7; BLOCK].as_slice())).unwrap();
        }
        drop(workers);
        slot.abandon(&place);
        for extent in 2..4 {
            let file = place
                .disk
                .open(&FileName::Extent(extent).in_dir(&place.dir), OpenMode::Read)
                .unwrap();
            let mut first = [0; BLOCK];
            file.read_at(0, &mut first).unwrap();
            assert_eq!(first, [7; BLOCK], "nobody wrote to it after it was taken");
        }
        assert_eq!(
            place.disk.list(&place.dir).unwrap().len(),
            2,
            "and nothing is left over"
        );
    });
}

#[test]
fn what_is_due_is_filled_by_whoever_claimed_it() {
    explore(600, || {
        let (slot, place, workers) = (Arc::new(SpareSlot::new(None)), place(Simulated::default()), workers());
        for due in [BLOCK as u64, CAPACITY] {
            if let Some(claim) = slot.claim(shape(2), due) {
                let place = place.clone();
                workers.spawn(move || claim.fulfil(&place));
            }
            thread::yield_now();
        }
        workers.drain();
        assert_eq!(size(&place, FileName::Extent(2)), Some(CAPACITY));
    });
}

#[test]
fn a_claim_that_is_dropped_leaves_its_extent_to_the_next() {
    explore(400, || {
        let (slot, place) = (Arc::new(SpareSlot::new(None)), place(Simulated::default()));
        slot.claim(shape(2), BLOCK as u64).expect("it is empty").fulfil(&place);
        let claim = slot.claim(shape(2), CAPACITY).expect("more is due");
        let dropped = thread::spawn(move || drop(claim));
        let spare = roll(&slot, &place, 2);
        assert_eq!(spare.capacity, CAPACITY);
        dropped.join().unwrap();
        let next = slot.claim(shape(3), CAPACITY).expect("it is empty again");
        next.fulfil(&place);
        assert_eq!(roll(&slot, &place, 3).extent, 3);
    });
}

#[test]
fn a_roll_does_not_wait_for_a_panic() {
    explore(2000, || {
        let (slot, place, workers) = (Arc::new(SpareSlot::new(None)), place(Panicking), workers());
        let claim = slot.claim(shape(2), CAPACITY).expect("it is empty");
        let own = place.clone();
        workers.spawn(move || claim.fulfil(&own));
        assert!(slot.take(&place).is_none());
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

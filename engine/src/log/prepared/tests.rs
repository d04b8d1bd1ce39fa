//! Tests of [`super`].

use super::filling::due;
use super::*;
use crate::directory::names::FileName;
use crate::disk::OpenMode;
use crate::disk::STEP_BYTES;
use crate::simulation::Simulated;

fn folder() -> LogFolder {
    let store = StoreId(uuid::Uuid::from_u128(1));
    LogFolder {
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
fn a_preparation_that_nobody_works_on_holds_up_no_roll() {
    let (slot, folder) = (Arc::new(PreparedSlot::new(None)), folder());
    let preparation = slot.preparation(shape(2, 1 << 20), 4096).expect("it is empty");
    assert!(slot.preparation(shape(2, 1 << 20), 4096).is_none(), "one is enough");
    assert!(slot.take(&folder).is_none());
    preparation.fulfil(&folder);
    assert!(
        folder.disk.list(&folder.dir).unwrap().is_empty(),
        "the roll has done it"
    );
    drop(slot.preparation(shape(3, 1 << 20), 4096).expect("it is empty again"));
    assert!(
        slot.preparation(shape(3, 1 << 20), 4096).is_some(),
        "a preparation dropped unused is given back"
    );
}

#[test]
fn a_failed_preparation_is_not_tried_again_before_the_roll() {
    let memory = Simulated::default();
    memory.set_room(Some(1000));
    let folder = LogFolder {
        disk: Arc::new(memory),
        ..folder()
    };
    let slot = Arc::new(PreparedSlot::new(None));
    slot.preparation(shape(2, 1 << 20), 4096)
        .expect("it is empty")
        .fulfil(&folder);
    assert!(slot.preparation(shape(2, 1 << 20), 1 << 20).is_none());
    assert!(slot.take(&folder).is_none());
    assert!(
        slot.preparation(shape(2, 1 << 20), 4096).is_some(),
        "the roll begins anew"
    );
    assert!(
        folder.disk.list(&folder.dir).unwrap().is_empty(),
        "it leaves no file behind"
    );
}

#[test]
fn an_extent_is_filled_as_far_as_it_is_due_and_the_roll_fills_the_rest() {
    let (slot, folder) = (Arc::new(PreparedSlot::new(None)), folder());
    let step_bytes = STEP_BYTES as u64;
    let capacity = 8 * step_bytes;
    let size = |name: FileName| {
        let file = folder.disk.open(&name.in_dir(&folder.dir), OpenMode::Read);
        file.map(|file| file.size().unwrap()).ok()
    };
    for step in 1..4 {
        let due = step * step_bytes;
        let mut preparation = slot.preparation(shape(2, capacity), due).expect("nobody is at it");
        let (few, none) = (Descriptors::at_most(GROWING + 1), Descriptors::at_most(GROWING));
        assert_eq!(preparation.finds(&none), step > 1, "it holds them once it is begun");
        assert!(preparation.finds(&few));
        preparation.fulfil(&folder);
        assert!(few.has_room(GROWING), "what was promised is given back");
        assert_eq!(size(FileName::Spare(2)), Some(due));
    }
    let spare = slot.take(&folder).expect("it was begun");
    assert_eq!((spare.extent, spare.capacity), (2, capacity));
    assert_eq!(size(FileName::Extent(2)), Some(capacity));
    assert_eq!(size(FileName::Spare(2)), None);
    let preparation = slot.preparation(shape(3, capacity), step_bytes).expect("the next one");
    preparation.fulfil(&folder);
    assert_eq!(
        size(FileName::Spare(3)),
        Some(step_bytes),
        "what was due of the last one is not of this"
    );
    slot.abandon(&folder);
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

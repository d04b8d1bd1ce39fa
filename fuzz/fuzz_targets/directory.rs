//! Whatever becomes of a store's files: opening, checking and reading it end in an error or in a prefix of what was
//! written, never in a panic, and never in something else. The input is a list of patches: file, place, length, bytes.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use streamkit_engine::disk::Disk;
use streamkit_engine::simulation::Simulated;
use streamkit_engine::{
    Stepper, Engine, EngineConfig, Record, SegmentPath, SegmentRead, Sequence, Store, StoreId, Transaction, limits,
    verify_on,
};
use streamkit_torture::call::{self, Answer};
use streamkit_torture::run::DIR;

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(1));
const ENTRIES: u64 = 120;

fn config(disk: &Simulated, stepper: &Stepper) -> EngineConfig {
    EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        disk: Arc::new(disk.clone()),
        stepper: Some(stepper.clone()),
        ..EngineConfig::new(DIR)
    }
}

fn segment() -> SegmentPath {
    SegmentPath::new("s", "a").expect("a fine name")
}

fn payload(sequence: u64) -> String {
    format!("{sequence} {}", "x".repeat(900))
}

fn done<T>(stepper: &Stepper, mut future: call::Future<T>) -> T {
    loop {
        match call::poll(&mut future) {
            Some(value) => return value,
            None => assert!(stepper.run_one(), "a call waits for nothing"),
        }
    }
}

/// The files of a store of three extents, closed in good order.
fn pristine() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let (disk, stepper) = (Simulated::new(1), Stepper::new(1));
        let engine = Engine::open(config(&disk, &stepper)).expect("it opens");
        let store: Arc<dyn Store> = Arc::new(engine.open_store(STORE).expect("it opens"));
        for sequence in 1..=ENTRIES {
            let records = vec![Record::new(payload(sequence))];
            let transaction = Transaction::single(segment(), Sequence(sequence), records);
            match done(&stepper, call::append(&store, transaction)) {
                Answer::Appended(outcome) => outcome.expect("it is appended"),
                _ => unreachable!("an append is answered"),
            };
        }
        drop(store);
        done(&stepper, call::close(&engine));
        disk.files()
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut files = pristine().clone();
    let names: Vec<PathBuf> = files.keys().cloned().collect();
    let mut rest = bytes;
    while let [file, a, b, c, length, tail @ ..] = rest {
        let content = files.get_mut(&names[*file as usize % names.len()]).expect("it is there");
        let place = u32::from_le_bytes([*a, *b, *c, 0]) as usize % content.len().max(1);
        let length = (*length as usize).min(tail.len());
        if length == 0 {
            content.truncate(place);
        }
        for (to, from) in content.iter_mut().skip(place).zip(&tail[..length]) {
            *to = *from;
        }
        rest = &tail[length..];
    }
    let (disk, stepper) = (Simulated::with_files(1, files), Stepper::new(1));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let _ = verify_on(&shared, Path::new(DIR), &mut |_| {});
    let Ok(engine) = Engine::open(config(&disk, &stepper)) else {
        return;
    };
    let Ok(store) = engine.open_store(STORE) else { return };
    let store: Arc<dyn Store> = Arc::new(store);
    let Answer::Read(Ok(entries)) = done(&stepper, call::read_segment(&store, SegmentRead::all(segment()))) else {
        return;
    };
    for (entry, sequence) in entries.iter().zip(1..) {
        assert_eq!(entry.sequence, Sequence(sequence));
        assert_eq!(entry.payload, payload(sequence).as_bytes());
    }
});

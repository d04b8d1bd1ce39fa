//! Whatever becomes of a store's files: opening, checking and reading it end in an error or in a prefix of what was
//! written, never in a panic, and never in something else. The input is a list of patches: file, place, length, bytes.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use streamkit_engine::{
    Engine, EngineConfig, Record, SegmentPath, SegmentRead, Sequence, StoreId, Stores, Transaction, limits, verify,
};

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(1));
const ENTRIES: u64 = 120;

fn config(dir: &Path) -> EngineConfig {
    let mut config = EngineConfig::new(dir);
    config.extent_bytes = limits::EXTENT_BYTES_MIN;
    (config.commit_threads, config.read_threads) = (1, 1);
    config
}

fn segment() -> SegmentPath {
    SegmentPath::new("s", "a").expect("a fine name")
}

fn payload(sequence: u64) -> String {
    format!("{sequence} {}", "x".repeat(900))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

/// The files of a store of three extents, closed in good order, by their path in the folder.
fn pristine() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = folder();
        runtime().block_on(async {
            let engine = Engine::open(config(dir.path())).expect("it opens");
            let store = engine.store(STORE).await.expect("it opens");
            for sequence in 1..=ENTRIES {
                let records = vec![Record::new(payload(sequence))];
                let transaction = Transaction::single(segment(), Sequence(sequence), records);
                store.append(transaction).await.expect("it is appended");
            }
            engine.close().await;
        });
        let mut files = BTreeMap::new();
        for sub in ["", "stores", &format!("stores/{STORE}")] {
            for entry in std::fs::read_dir(dir.path().join(sub)).expect("it is there").flatten() {
                if entry.path().is_file() {
                    let name = Path::new(sub).join(entry.file_name());
                    files.insert(name, std::fs::read(entry.path()).expect("it is readable"));
                }
            }
        }
        files
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
    let dir = folder();
    for (name, content) in &files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it is made");
        std::fs::write(path, content).expect("it is written");
    }
    let _ = verify(dir.path(), &mut |_| {});
    runtime().block_on(async {
        let Ok(engine) = Engine::open(config(dir.path())) else { return };
        let Ok(store) = engine.store(STORE).await else { return };
        let mut reader = store.read_segment(SegmentRead::all(segment()));
        let mut next = 1;
        while let Ok(Some(batch)) = reader.next_batch().await {
            for entry in batch {
                assert_eq!(entry.sequence, Sequence(next));
                assert_eq!(entry.payload, payload(next).as_bytes());
                next += 1;
            }
        }
    });
});

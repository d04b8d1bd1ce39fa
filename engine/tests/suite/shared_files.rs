//! One store's files in two data directories: the second engine refuses the store, and everything that the first
//! acknowledged stays.
#![cfg(target_os = "linux")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use streamkit_engine::disk::{self, Disk, DiskFile, DiskLock, LogFile, OpenMode};
use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(7));

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

fn store_of(dir: &Path) -> PathBuf {
    dir.join(format!("stores/{STORE}"))
}

fn config(dir: &Path) -> EngineConfig {
    EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir)
    }
}

/// Two data directories with one store.
fn sharing(dir: &Path) -> [PathBuf; 2] {
    let [one, other] = ["one", "other"].map(|name| dir.join(name));
    for dir in [&one, &other] {
        drop(Engine::open(config(dir)).unwrap());
    }
    std::fs::create_dir(store_of(&one)).unwrap();
    std::os::unix::fs::symlink(store_of(&one), store_of(&other)).unwrap();
    [one, other]
}

fn append(store: &LocalStore, sequence: u64) -> Result<Committed, AppendError> {
    let record = Record::new(vec![sequence as u8; 3000]);
    store.append_blocking(Transaction::single(path(), Sequence(sequence), vec![record]))
}

async fn head(dir: &Path) -> Sequence {
    let engine = Engine::open(config(dir)).unwrap();
    let head = engine.open_store(STORE).unwrap().peek(&path()).await.unwrap();
    engine.close().await;
    head.map_or(Sequence(0), |entry| entry.sequence)
}

#[tokio::test]
async fn a_store_that_was_empty_at_both_opens_is_written_by_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [one, other] = sharing(dir.path());
    let (first, second) = (
        Engine::open(config(&one)).unwrap(),
        Engine::open(config(&other)).unwrap(),
    );
    let [mine, theirs] = [&first, &second].map(|engine| engine.open_store(STORE).unwrap());
    append(&mine, 1).unwrap();
    let refused = append(&theirs, 1).unwrap_err();
    assert!(
        matches!(&refused, AppendError::Rejected(Rejection::NotReady(why)) if why.to_string().contains("another process")),
        "{refused}"
    );
    append(&mine, 2).unwrap();
    drop((mine, theirs));
    first.close().await;
    second.close().await;
    assert_eq!(head(&one).await, Sequence(2));
}

/// Does something once, between the listing of a store's folder and what is done with it.
struct Between {
    disk: Arc<dyn Disk>,
    hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Disk for Between {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, mode)
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        if let Some(hook) = self.hook.lock().unwrap().take() {
            hook();
        }
        self.disk.open_log(path, create)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.lock(path)
    }
}

#[tokio::test]
async fn a_store_that_rolls_while_another_opens_it_is_refused_there() {
    let dir = tempfile::tempdir().unwrap();
    let [one, other] = sharing(dir.path());
    let first = Engine::open(config(&one)).unwrap();
    let mine = first.open_store(STORE).unwrap();
    append(&mine, 1).unwrap();
    // Two extents further: that which was the newest is nobody's any more.
    let rolls = {
        let mine = mine.clone();
        move || (2..=60).for_each(|sequence| drop(append(&mine, sequence).unwrap()))
    };
    let second = Engine::open(EngineConfig {
        disk: Arc::new(Between {
            disk: disk::best(),
            hook: Mutex::new(Some(Box::new(rolls))),
        }),
        ..config(&other)
    })
    .unwrap();
    let refused = second.open_store(STORE).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("another process"), "{refused}");
    append(&mine, 61).unwrap();
    drop(mine);
    first.close().await;
    second.close().await;
    assert_eq!(head(&one).await, Sequence(61));
}

//! What threads that open stores promise those who ask for others.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::engine::{STORE, config};
use super::explore;
use super::time::FOR_EVER;
use crate::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode};
use crate::runtime::blocking;
use crate::runtime::sync::{Condvar, Mutex, thread};
use crate::simulation::Simulated;
use crate::{CommitMethod, Engine, EngineConfig, StoreId, Stores as _};

const OTHER: StoreId = StoreId(uuid::Uuid::from_u128(8));

fn open(disk: &Hanging) -> Engine {
    let config = EngineConfig {
        disk: Arc::new(disk.clone()),
        open_deadline: FOR_EVER,
        ..config(&disk.disk, CommitMethod::Threads)
    };
    Engine::open(config).unwrap()
}

/// A disk that answers what is asked of one store, once that was looked for, when it is let go on.
#[derive(Clone)]
struct Hanging {
    disk: Simulated,
    lists: Arc<Mutex<u32>>,
    goes_on: Arc<(Mutex<bool>, Condvar)>,
}

impl Hanging {
    fn new(disk: Simulated) -> Self {
        Self {
            disk,
            lists: Arc::default(),
            goes_on: Arc::default(),
        }
    }

    fn go_on(&self) {
        *self.goes_on.0.lock().unwrap() = true;
        self.goes_on.1.notify_all();
    }
}

impl Disk for Hanging {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        if path.to_string_lossy().contains(&STORE.to_string()) {
            let first = {
                let mut lists = self.lists.lock().unwrap();
                *lists += 1;
                *lists == 1
            };
            let mut goes_on = self.goes_on.0.lock().unwrap();
            while !first && !*goes_on {
                goes_on = self.goes_on.1.wait(goes_on).unwrap();
            }
        }
        self.disk.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, mode)
    }
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
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

#[test]
fn whoever_opens_a_store_that_hangs_has_first_handed_on_all_else_that_was_to_be_done() {
    explore(1000, || {
        let disk = Hanging::new(Simulated::default());
        let engine = open(&disk);
        let hangs = {
            let engine = engine.clone();
            thread::spawn(move || drop(engine.open_store(STORE).unwrap()))
        };
        drop(engine.open_store(OTHER).unwrap());
        disk.go_on();
        hangs.join().unwrap();
        blocking::wait(None, engine.close());
    });
}

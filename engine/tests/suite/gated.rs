//! Files whose syncs a test lets through one by one, and which count reads of extents.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use streamkit_engine::disk::blocks::Blocks;
use streamkit_engine::disk::files::Files;
use streamkit_engine::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode};

#[derive(Default)]
struct State {
    /// How many may still pass; any number if `None`.
    left: Option<usize>,
    waiting: usize,
}

/// Where threads wait until a test lets them through.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.state.lock().unwrap().left = Some(0);
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().left = None;
        self.changed.notify_all();
    }

    pub(crate) fn let_through(&self, count: usize) {
        if let Some(left) = &mut self.state.lock().unwrap().left {
            *left += count;
        }
        self.changed.notify_all();
    }

    /// Returns once somebody waits in front of it and nobody may pass; of an open one at once.
    pub(crate) fn wait_for_one(&self) {
        let state = self.state.lock().unwrap();
        let wait = |state: &mut State| state.left.is_some_and(|left| left > 0 || state.waiting == 0);
        drop(self.changed.wait_while(state, wait).unwrap());
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.left == Some(0)).unwrap();
        state.waiting -= 1;
        if let Some(left) = &mut state.left {
            *left -= 1;
        }
        self.changed.notify_all();
    }
}

#[derive(Clone, Default)]
pub(crate) struct Gated {
    /// In front of each durable write to an extent.
    pub(crate) syncs: Arc<Gate>,
    /// In front of the making of each checkpoint.
    pub(crate) checkpoints: Arc<Gate>,
    read: Arc<AtomicU64>,
}

struct GatedFile {
    file: Arc<dyn DiskFile>,
    disk: Gated,
}

impl Gated {
    /// Bytes read from extents since the last call.
    pub(crate) fn take_bytes_read(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

impl Disk for Gated {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Files.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Files.list(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(GatedFile {
            file: Files.open(path, mode)?,
            disk: self.clone(),
        }))
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        if path.ends_with("checkpoint.tmp") {
            self.checkpoints.pass();
        }
        Ok(Arc::new(GatedLog {
            file: Files.open_log(path, create)?,
            disk: self.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Files.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Files.lock(path)
    }
}

struct GatedLog {
    file: Arc<dyn LogFile>,
    disk: Gated,
}

impl LogFile for GatedLog {
    fn path(&self) -> &PathBuf {
        self.file.path()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.disk.syncs.pass();
        self.file.write(offset, blocks)
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.grow(offset, blocks)
    }

    fn allocate(&self, size: u64) -> io::Result<bool> {
        self.file.allocate(size)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.file.settle(size)
    }
}

impl DiskFile for GatedFile {
    fn path(&self) -> &PathBuf {
        self.file.path()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(offset, buffer)?;
        if self.path().extension().is_some_and(|extension| extension == "extent") {
            self.disk.read.fetch_add(read as u64, Ordering::Relaxed);
        }
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

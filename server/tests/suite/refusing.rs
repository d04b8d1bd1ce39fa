//! A disk that refuses what a test says, and what is logged of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use streamkit_engine::disk::blocks::Blocks;
use streamkit_engine::disk::files::Files;
use streamkit_engine::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};

/// Files whose log may be told to fail, and with a queue for many writes that the system refuses.
#[derive(Clone)]
pub struct Refusing {
    /// Every group that is written fails. What is written at a file's start is an extent's header.
    pub groups: Arc<AtomicBool>,
    /// Bytes that are free.
    pub free: Arc<AtomicU64>,
}

impl Default for Refusing {
    fn default() -> Self {
        Self {
            groups: Arc::default(),
            free: Arc::new(u64::MAX.into()),
        }
    }
}

struct RefusingLog(Arc<dyn LogFile>, Arc<AtomicBool>);

impl LogFile for RefusingLog {
    fn path(&self) -> &PathBuf {
        self.0.path()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        match self.1.load(Ordering::Acquire) && offset > 0 {
            true => Err(io::Error::other("the cable is out")),
            false => self.0.write(offset, blocks),
        }
    }
    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.0.grow(offset, blocks)
    }

    fn allocate(&self, size: u64) -> io::Result<bool> {
        self.0.allocate(size)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.0.settle(size)
    }
}

impl Disk for Refusing {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Files.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Files.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Files.open(path, mode)
    }
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = Files.open_log(path, create)?;
        Ok(Arc::new(RefusingLog(file, self.groups.clone())))
    }
    fn write_queue(&self, _held: Option<std::fs::File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not in this container"))
    }
    fn free_bytes(&self, _path: &Path) -> io::Result<Option<u64>> {
        Ok(Some(self.free.load(Ordering::Acquire)))
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

/// What is logged.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What all threads of this process log, of all tests: a folder's name tells them apart.
pub fn all_lines() -> &'static Lines {
    static ALL: LazyLock<Lines> = LazyLock::new(|| {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(log).expect("nobody else sets it");
        lines
    });
    &ALL
}

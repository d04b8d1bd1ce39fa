//! A disk whose folder may be renamed, deleted or unmounted while an engine works in it. It creates nothing and finds
//! no name unless the folder is the one that was opened. A store created elsewhere would be lost to the next process;
//! one looked up elsewhere would seem empty.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::descriptors::Descriptors;
use super::folder::Folder;
use super::reserve::Reserve;
use crate::boundary::figures::CacheFigures;
use crate::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};
use crate::error::is_out_of_descriptors;

/// What an engine works on.
pub(crate) struct Guarded {
    disk: Arc<dyn Disk>,
    folder: Arc<Folder>,
    reserve: Reserve,
    descriptors: Arc<Descriptors>,
    /// What closes files that are open only because they may be read again.
    closes_idle: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Guarded {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: Arc<Folder>, descriptors: Arc<Descriptors>) -> Self {
        Self {
            disk,
            folder,
            reserve: Reserve::new(),
            descriptors,
            closes_idle: OnceLock::new(),
        }
    }

    /// Where the process may open no more files, `closes_idle` is called.
    pub(crate) fn when_out_of_descriptors(&self, closes_idle: impl Fn() + Send + Sync + 'static) {
        let _ = self.closes_idle.set(Box::new(closes_idle));
    }

    /// Opens something, if need be in place of what is idle.
    fn opening<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match (open(), self.closes_idle.get()) {
            (Err(error), Some(close)) if is_out_of_descriptors(&error) => {
                self.descriptors.none_left();
                close();
                open()
            }
            (opened, _) => opened,
        }
    }
}

impl Disk for Guarded {
    /// No more than the last folder: those above it were there, and may be gone.
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.make_dir(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.folder.check()?;
        self.reserve.lend(|| self.opening(|| self.disk.make_dir(path)))?;
        self.folder.check()
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.resolve(path)
    }

    fn is_same(&self, one: &Path, other: &Path) -> io::Result<bool> {
        self.disk.is_same(one, other)
    }

    /// A folder that is not there holds no names, so it is looked at after them.
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names = self.opening(|| self.disk.list(path))?;
        self.folder.check()?;
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::Create {
            self.folder.check()?;
        }
        let opened = self.opening(|| self.disk.open(path, mode));
        // Looked at after it: what was opened in another folder, or is not there, is not this one's.
        self.folder.check()?;
        opened
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        self.folder.check()?;
        let file = self
            .reserve
            .lend(|| self.opening(|| self.disk.open_log(path, create)))?;
        Ok(self.descriptors.count(file, create))
    }

    fn write_queue(&self, held: Option<File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        self.disk.write_queue(held)
    }

    fn queues_writes_in(&self, dir: &Path) -> bool {
        self.disk.queues_writes_in(dir)
    }

    fn can_read_without_waiting(&self) -> bool {
        self.disk.can_read_without_waiting()
    }

    fn cache(&self) -> Option<CacheFigures> {
        self.disk.cache()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        self.disk.free_bytes(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.folder.check()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.folder.known()?;
        self.disk.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.folder.known()?;
        self.disk.remove_dir(path)
    }

    /// Looked at after it: a name counts once it is known to be durable in this folder.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.reserve.lend(|| self.opening(|| self.disk.sync_dir(path)))?;
        self.folder.check()
    }

    fn random(&self) -> u32 {
        self.disk.random()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.lock(path)
    }

    fn lock_holder(&self, path: &Path) -> String {
        self.disk.lock_holder(path)
    }
}

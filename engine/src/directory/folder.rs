//! The locked data directory of this process, and whether it is still in its place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use crate::disk::{Disk, DiskLock, FolderWatch};
use crate::error::{Gone, OpenError, StorageError};
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Instant, Mutex, thread};

/// Takes the folder for this process.
pub(crate) fn lock_dir(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, OpenError> {
    /// How long the system may take to end what a process that was just killed had under way.
    const PATIENCE: Duration = Duration::from_secs(1);
    let path = dir.join("lock");
    let since = Instant::now();
    loop {
        let lock = disk.lock(&path).map_err(|e| StorageError::io("lock", &path, e))?;
        match lock {
            Some(lock) => return Ok(lock),
            None if since.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
            None => return Err(in_use(disk, dir)),
        }
    }
}

fn in_use(disk: &dyn Disk, dir: &Path) -> OpenError {
    OpenError::InUse {
        dir: dir.to_owned(),
        holder: disk.lock_holder(&dir.join("lock")),
    }
}

/// The data directory, this process's own until it is released or nothing is left that could write to it.
pub(crate) struct Folder {
    dir: PathBuf,
    lock: Mutex<Option<Box<dyn DiskLock>>>,
    /// Writes are under way of which nobody will hear.
    leaves_writes: Option<Arc<AtomicBool>>,
    released: AtomicBool,
    /// `None` on disks whose folders do not move.
    watch: Option<Arc<dyn FolderWatch>>,
    /// What became of it. It does not come back: what was written meanwhile may be anywhere.
    gone: OnceLock<Gone>,
    /// Why no file could be made at the last look.
    refusal: Mutex<Option<StorageError>>,
}

impl Folder {
    pub(crate) fn new(dir: &Path, lock: Box<dyn DiskLock>, leaves_writes: Option<Arc<AtomicBool>>) -> Self {
        Self {
            dir: dir.to_owned(),
            watch: lock.folder_watch(),
            lock: Mutex::new(Some(lock)),
            leaves_writes,
            released: AtomicBool::new(false),
            gone: OnceLock::new(),
            refusal: Mutex::default(),
        }
    }

    /// Another process may take it, unless something may still be written to it: then it stays this one's until the end.
    pub(crate) fn release(&self) {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        let leaves_writes = self.leaves_writes.as_ref();
        if leaves_writes.is_some_and(|leaves| leaves.load(Ordering::Acquire)) {
            std::mem::forget(lock);
        }
        self.released.store(true, Ordering::Release);
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// Whether it may move.
    pub(crate) fn may_move(&self) -> bool {
        self.watch.is_some()
    }

    /// Takes and watches a folder in it, too.
    pub(crate) fn add(&self, disk: &dyn Disk, folder: &Path) -> Result<(), OpenError> {
        let Some(watch) = &self.watch else { return Ok(()) };
        match watch.add(folder).map_err(|e| StorageError::io("lock", folder, e))? {
            true => Ok(()),
            false => Err(in_use(disk, &self.dir)),
        }
    }

    /// What is known to have become of it.
    pub(crate) fn known(&self) -> io::Result<()> {
        match self.gone.get() {
            Some(gone) => Err(io::Error::other(gone.clone())),
            None => Ok(()),
        }
    }

    /// Looks whether it is where it was. Once it is not, this fails for good.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.known()?;
        let Some(watch) = &self.watch else { return Ok(()) };
        let Some(what) = watch.check()? else { return Ok(()) };
        let gone = Gone {
            path: self.dir.clone(),
            what,
        };
        if self.gone.set(gone.clone()).is_ok() {
            tracing::error!(
                dir = %self.dir.display(), cause = gone.what,
                "the data directory is not the one that was opened: no store accepts writes until the server is started again"
            );
        }
        Err(io::Error::other(gone))
    }

    /// Looks at it, also whether it takes files, for [`Folder::ready`].
    pub(crate) fn look(&self) {
        let failed = |operation: &'static str| move |e| StorageError::io(operation, &self.dir, e);
        let looked = self
            .check()
            .map_err(failed("look at"))
            .and_then(|()| match &self.watch {
                Some(watch) => watch.takes_files().map_err(failed("make files in")),
                None => Ok(()),
            });
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = looked.err();
    }

    /// Whether appends that need a new file met anything at the last look.
    pub(crate) fn ready(&self) -> Result<(), StorageError> {
        self.gone()?;
        match &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(()),
        }
    }

    /// As [`Folder::known`].
    pub(crate) fn gone(&self) -> Result<(), StorageError> {
        self.known().map_err(|e| StorageError::io("write to", &self.dir, e))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.release();
    }
}

//! One archived file, on the disk or not.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

use super::{Archive, ArchivedDisk, FetchError};
use crate::disk::{Disk, DiskFile, OpenMode, STEP_BYTES, nonblocking};
use crate::error::{Busy, DamagedPlace, SegmentsHit, StorageError};
use crate::format::archive::ArchivedFile;
use crate::runtime::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, RwLock};

/// When a file that could not be fetched may be asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What all archived files have in common.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) archive: Arc<dyn Archive>,
    pub(super) most: u64,
    pub(super) uses: AtomicU64,
    pub(super) fetched: AtomicU64,
    pub(super) fetched_bytes: AtomicU64,
    pub(super) removed: AtomicU64,
    /// Those on the disk when they were counted last.
    pub(super) bytes: AtomicU64,
    pub(super) making_room: Mutex<()>,
}

/// One file.
pub(super) struct CacheFile {
    path: PathBuf,
    pub(super) file: ArchivedFile,
    /// On the disk.
    pub(super) bytes: u64,
    head: Vec<u8>,
    used: AtomicU64,
    /// Whether its bytes are counted as being on the disk.
    on_disk: AtomicBool,
    /// Open for all who read it, until it is removed.
    open: RwLock<Option<Arc<dyn DiskFile>>>,
    /// Held by who fetches or removes it. Why the last fetch failed.
    working: Mutex<Option<StorageError>>,
    /// Fetches that ended.
    attempts: AtomicU64,
}

impl CacheFile {
    pub(super) fn new(path: PathBuf, file: ArchivedFile, bytes: u64, head: Vec<u8>, is_on_disk: bool) -> Self {
        Self {
            path,
            file,
            bytes,
            head,
            used: AtomicU64::new(0),
            on_disk: AtomicBool::new(is_on_disk),
            open: RwLock::default(),
            working: Mutex::default(),
            attempts: AtomicU64::new(0),
        }
    }

    pub(super) fn is_on_disk(&self) -> bool {
        self.on_disk.load(Ordering::Relaxed)
    }

    pub(super) fn is_to_be_on_disk(&self) {
        self.on_disk.store(true, Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn opened(&self) -> Option<Arc<dyn DiskFile>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens it if it is on the disk, and nobody is at work on it.
    pub(super) fn open(&self, disk: &dyn Disk) -> io::Result<()> {
        let _working = match self.working.try_lock() {
            Ok(working) => working,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        if self.opened().is_none() {
            self.open_on_disk(disk)?;
        }
        Ok(())
    }

    fn open_on_disk(&self, disk: &dyn Disk) -> io::Result<Option<Arc<dyn DiskFile>>> {
        match disk.open(&self.path, OpenMode::Read) {
            Ok(file) => {
                self.is_to_be_on_disk();
                *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&file));
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes it from the disk, unless somebody is at work on it. Whoever reads it at this moment has it open.
    pub(super) fn remove(&self, disk: &dyn Disk) -> bool {
        let Ok(_working) = self.working.try_lock() else {
            return false;
        };
        match disk.remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "a file that is archived cannot be removed");
                false
            }
            _ => {
                *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
                self.on_disk.store(false, Ordering::Relaxed);
                true
            }
        }
    }
}

/// An archived file that somebody has open: its bytes come when they are first read.
pub(super) struct OpenCacheFile {
    kept: Arc<CacheFile>,
    disk: ArchivedDisk,
}

impl OpenCacheFile {
    pub(super) fn new(kept: Arc<CacheFile>, disk: ArchivedDisk) -> Self {
        Self { kept, disk }
    }

    /// Brings it to the disk, or waits for who does.
    fn bring(&self) -> io::Result<Arc<dyn DiskFile>> {
        if nonblocking::must_not_wait() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (kept, shared) = (&self.kept, &self.disk.shared);
        let came = kept.attempts.load(Ordering::Acquire);
        let mut failed = kept.working.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = kept.opened() {
            return Ok(file);
        }
        if let Some(error) = failed
            .as_ref()
            .filter(|_| kept.attempts.load(Ordering::Acquire) != came)
        {
            return Err(io::Error::other(error.clone()));
        }
        let brought = kept
            .open_on_disk(&*shared.disk)
            .map_err(|error| self.away(&error.to_string()));
        let brought = brought.and_then(|found| found.map_or_else(|| self.fetch(), Ok));
        *failed = brought.as_ref().err().cloned();
        kept.attempts.fetch_add(1, Ordering::Release);
        brought.map_err(io::Error::other)
    }

    fn fetch(&self) -> Result<Arc<dyn DiskFile>, StorageError> {
        let (kept, shared) = (&self.kept, &self.disk.shared);
        let damaged = |found: String| StorageError::Corrupt {
            store: kept.file.store,
            place: DamagedPlace::Named(shared.archive.place(&kept.file)),
            found,
            segments: SegmentsHit::InAccount,
        };
        let bytes = shared.archive.fetch(&kept.file).map_err(|error| match error {
            FetchError::Away(why) => self.away(&why),
            FetchError::Damaged(found) => damaged(found),
        })?;
        if bytes.len() != kept.file.bytes as usize {
            return Err(damaged(format!("{} bytes, and not {}", bytes.len(), kept.file.bytes)));
        }
        if crc32fast::hash(&bytes) != kept.file.checksum {
            return Err(damaged("other bytes than were archived".to_owned()));
        }
        self.disk.make_room(kept.bytes, Some(kept));
        let written = self.write(&bytes).and_then(|()| kept.open_on_disk(&*shared.disk));
        match written {
            Ok(Some(file)) => {
                shared.fetched.fetch_add(1, Ordering::Relaxed);
                shared.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(file)
            }
            other => {
                kept.on_disk.store(false, Ordering::Relaxed);
                let why = other
                    .err()
                    .map_or_else(|| "it was removed".to_owned(), |error| error.to_string());
                Err(self.away(&why))
            }
        }
    }

    /// Writes it under another name first: under its own, all of it is there, also after power loss.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let (kept, disk) = (&self.kept, &self.disk.shared.disk);
        let mut temporary = kept.path.clone().into_os_string();
        temporary.push(".fetched.tmp");
        let temporary = PathBuf::from(temporary);
        let made = || {
            let file = disk.open(&temporary, OpenMode::Create)?;
            for (step, bytes) in bytes.chunks(STEP_BYTES).enumerate() {
                file.write_at((step * STEP_BYTES) as u64, bytes)?;
            }
            if (bytes.len() as u64) < kept.bytes {
                file.write_at(kept.bytes - 1, &[0])?;
            }
            file.sync_all()?;
            disk.rename(&temporary, &kept.path)
        };
        made().inspect_err(|_| _ = disk.remove(&temporary))
    }

    fn away(&self, why: &str) -> StorageError {
        let place = self.disk.shared.archive.place(&self.kept.file);
        StorageError::NotFetched(Busy {
            why: format!("{place} could not be fetched: {why}"),
            retry_after: RETRY_AFTER,
        })
    }
}

impl DiskFile for OpenCacheFile {
    fn path(&self) -> &PathBuf {
        &self.kept.path
    }

    fn size(&self) -> io::Result<u64> {
        self.kept.opened().map_or(Ok(self.kept.bytes), |file| file.size())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.disk.shared.uses.fetch_add(1, Ordering::Relaxed);
        let Some(file) = self.kept.opened() else {
            let end = offset.saturating_add(buffer.len() as u64);
            if end <= self.kept.head.len() as u64 {
                buffer.copy_from_slice(&self.kept.head[offset as usize..end as usize]);
                return Ok(buffer.len());
            }
            self.kept.used.store(now, Ordering::Relaxed);
            return self.bring()?.read_at(offset, buffer);
        };
        self.kept.used.store(now, Ordering::Relaxed);
        file.read_at(offset, buffer)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

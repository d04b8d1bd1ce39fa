//! Linux: writes the log past the page cache, each write durable on return (`O_DIRECT | O_DSYNC`). Everything else is
//! as in [`super::files`]. If a file system refuses `O_DIRECT`, its files are written the portable way, one by one.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, ReadWriteFlags};

use super::blocks::Blocks;
use super::files::{Files, OpenFile, open_own};
use super::in_place::write_in_place;
use super::nonblocking::may_wait;
use super::ring::Ring;
use super::traits::{Disk, DiskFile, DiskLock, LogFile, OpenMode};
use super::write_queue::WriteQueue;
use crate::limits::BLOCK_BYTES;

/// Files of the operating system, the log's past its page cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct(Files);

/// A file written past the page cache.
pub(super) struct DirectFile {
    file: File,
    path: PathBuf,
    /// Of a file made anew, until it is settled: writes that are not durable one by one. What they change in the file's
    /// metadata would take the device as much as they do.
    growing: Mutex<Option<File>>,
}

impl DirectFile {
    pub(super) fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.file.as_raw_fd()
    }

    #[cfg(test)]
    pub(super) fn for_test(file: File, path: PathBuf) -> Self {
        let growing = Mutex::default();
        Self { file, path, growing }
    }

    /// `None` where the file system has no direct writes.
    fn open(path: &Path, create: bool) -> io::Result<Option<Self>> {
        let open = |flags, make_anew| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(make_anew).truncate(make_anew);
            open_own(path, &mut options, flags, make_anew)
        };
        // Some refuse the flag, some accept it and refuse what comes after, or want larger blocks. A new file is to be filled
        // with zeros.
        let mut block = Blocks::zeros(BLOCK_BYTES);
        let mut opened = || -> io::Result<(File, Option<File>)> {
            if create {
                let growing = open(libc::O_DIRECT, true)?;
                write_in_place(&growing);
                growing.write_all_at(&block, 0)?;
                Ok((open(libc::O_DIRECT | libc::O_DSYNC, false)?, Some(growing)))
            } else {
                let file = open(libc::O_DIRECT | libc::O_DSYNC, false)?;
                file.read_at(&mut block, 0)?;
                Ok((file, None))
            }
        };
        match opened() {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error),
            Ok((file, growing)) => Ok(Some(Self {
                file,
                path: path.to_owned(),
                growing: Mutex::new(growing),
            })),
        }
    }
}

impl LogFile for DirectFile {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn is_queueable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.write_all_at(blocks, offset)
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        let growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        growing.as_ref().unwrap_or(&self.file).write_all_at(blocks, offset)
    }

    fn allocate(&self, size: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            allocated => Ok(allocated.map(|()| true)?),
        }
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.file.sync_all()?;
        *self.growing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn take(&self) -> io::Result<()> {
        super::lock::take(&self.file)
    }

    fn has_size(&self, bytes: u64) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() == bytes)
    }

    fn has_name(&self) -> io::Result<bool> {
        super::lock::has_name(&self.file)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        super::lock::is_at(&self.file, path)
    }
}

/// A file that is read, and never waits for that where it must not.
struct ReadFile(OpenFile);

impl ReadFile {
    /// As [`DiskFile::read_at`], from the system's cache alone.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let mut rest = [IoSliceMut::new(&mut buffer[done..])];
            let read = rustix::io::preadv2(self.0.file(), &mut rest, offset + done as u64, ReadWriteFlags::NOWAIT);
            match read {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                // Some file systems cannot tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }
}

impl DiskFile for ReadFile {
    fn path(&self) -> &PathBuf {
        DiskFile::path(&self.0)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match may_wait(buffer.len())? {
            true => self.0.read_at(offset, buffer),
            false => self.read_cached(offset, buffer),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Disk for Direct {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.0.make_dir(path)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.resolve(path)
    }

    fn is_same(&self, one: &Path, other: &Path) -> io::Result<bool> {
        self.0.is_same(one, other)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.list(path)
    }

    /// Reading does not note the time of reading, which takes a part of each small read; only who owns a file may leave
    /// that out.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode != OpenMode::Read {
            return self.0.open(path, mode);
        }
        if !may_wait(0)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file = match OpenFile::open_with(path, mode, libc::O_NOATIME) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => OpenFile::open(path, mode),
            opened => opened,
        };
        Ok(Arc::new(ReadFile(file?)))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        let system = rustix::fs::statvfs(path)?;
        Ok(Some(system.f_bavail.saturating_mul(system.f_frsize)))
    }

    fn can_read_without_waiting(&self) -> bool {
        true
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        match DirectFile::open(path, create)? {
            Some(file) => Ok(Arc::new(file)),
            None => self.0.open_log(path, create),
        }
    }

    fn write_queue(&self, held: Option<File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        let ring = Ring::new()?;
        if let Some(held) = held {
            ring.hold(&held)?;
        }
        Ok(Some(Box::new(ring)))
    }

    /// Told by the file that says what the folder is, which is there before any store.
    fn queues_writes_in(&self, dir: &Path) -> bool {
        let told = DirectFile::open(&dir.join("format"), false);
        !matches!(told, Ok(None))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.0.lock(path)
    }

    fn lock_holder(&self, path: &Path) -> String {
        self.0.lock_holder(path)
    }
}

#[cfg(test)]
mod tests;

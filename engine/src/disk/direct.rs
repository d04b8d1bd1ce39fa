//! Linux: the log is written past the page cache, each write durable when it returns (`O_DIRECT | O_DSYNC`). Everything
//! else is as in [`super::files`]. A file system that refuses `O_DIRECT` gets the portable way, file by file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::blocks::Blocks;
use super::files::{Files, OpenFile};
use super::ring::Ring;
use super::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};
use crate::limits::BLOCK_BYTES;

/// Files of the operating system, the log's past its page cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct(Files);

/// A file written past the page cache.
pub(super) struct DirectFile {
    file: File,
    path: PathBuf,
}

impl DirectFile {
    pub(super) fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.file.as_raw_fd()
    }

    #[cfg(test)]
    pub(super) fn for_test(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    /// `None` where the file system has no direct writes.
    fn open(path: &Path, create: bool) -> io::Result<Option<Self>> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(create)
            .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
            .open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            other => other?,
        };
        // Some accept the flag and refuse what comes after, or want larger blocks. A new file is to be filled with zeros.
        let mut block = Blocks::zeros(BLOCK_BYTES);
        let tried = if create {
            file.write_at(&block, 0)
        } else {
            file.read_at(&mut block, 0)
        };
        match tried {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Ok(Some(Self {
                file,
                path: path.to_owned(),
            })),
        }
    }
}

impl LogFile for DirectFile {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.write_all_at(blocks, offset)
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.write_all_at(blocks, offset)
    }

    fn allocate(&self, size: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            allocated => Ok(allocated.map(|()| true)?),
        }
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.file.sync_all()
    }
}

impl Disk for Direct {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.list(path)
    }

    /// Reading does not note the time of reading, which takes a part of each small read; only who owns a file may leave
    /// that out.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::Read {
            let mut options = OpenOptions::new();
            options.custom_flags(libc::O_NOATIME);
            match OpenFile::open_with(path, mode, options) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                opened => return Ok(Arc::new(opened?)),
            }
        }
        self.0.open(path, mode)
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        match DirectFile::open(path, create)? {
            Some(file) => Ok(Arc::new(file)),
            None => self.0.open_log(path, create),
        }
    }

    fn write_queue(&self) -> io::Result<Option<Box<dyn WriteQueue>>> {
        Ok(Some(Box::new(Ring::new()?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.0.lock(path)
    }
}

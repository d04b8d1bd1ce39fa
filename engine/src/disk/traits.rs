//! The traits of a disk.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::Blocks;
use super::write_queue::WriteQueue;
use crate::boundary::figures::CacheFigures;

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; created anew, empty.
    Create,
}

/// Files in folders.
pub trait Disk: Send + Sync + 'static {
    /// Creates a folder and those above it, durably. An existing one may come from a process that was killed before it
    /// synced the name, so its name is synced too.
    ///
    /// # Errors
    /// What the operating system says; likewise for all below.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder in an existing one, durably, unless it exists. It creates nothing above: what is missing there
    /// existed once and is gone.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.create_dir(path)
    }
    /// The canonical path of a file or folder; of a missing one, as far as it exists.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
    /// Whether two paths lead to the same file or folder.
    fn is_same(&self, one: &Path, other: &Path) -> io::Result<bool> {
        Ok(one == other)
    }
    /// The names in a folder; none if it does not exist. A name that is no text appears under a substitute that
    /// nothing has.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for durable writes of whole blocks, as for the log; `create` creates it anew, empty.
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>>;
    /// A queue for many concurrent writes, for use by the calling thread alone; `None` if this backend has none.
    /// Writes under way may outlive a killed process; then the lock on `held` outlives it too.
    fn write_queue(&self, held: Option<File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        drop(held);
        Ok(None)
    }
    /// Whether the log's files in a folder would go through that queue ([`LogFile::is_queueable`]).
    fn queues_writes_in(&self, dir: &Path) -> bool {
        let _ = dir;
        true
    }
    /// Whether its files can detect that a read would wait for a device, and refuse it.
    fn can_read_without_waiting(&self) -> bool {
        false
    }
    /// Free bytes for files in a folder; `None` if unknown.
    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }
    /// What it holds of an archive, if it is a cache of one. Waits for nothing.
    fn cache(&self) -> Option<CacheFigures> {
        None
    }
    /// Renames a file over an existing name, or a folder to a new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// An unpredictable number. Files that carry it in their checksums never pass for each other.
    fn random(&self) -> u32 {
        std::hash::RandomState::new().build_hasher().finish() as u32
    }
    /// Locks the folder for this process, for as long as the lock lives; `path` is its lock file. `None` while another
    /// process has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
    /// The holder of a folder that could not be locked, in words.
    fn lock_holder(&self, path: &Path) -> String {
        let _ = path;
        "another process".to_owned()
    }
}

/// The lock on a folder.
pub trait DiskLock: Send + Sync {
    /// The open file of the lock, if it is one.
    fn file(&self) -> Option<&File> {
        None
    }
    /// Watches whether the folder is still in its place; `None` where folders do not move.
    fn folder_watch(&self) -> Option<Arc<dyn FolderWatch>> {
        None
    }
}

/// Watches whether a locked folder, and its lock file, are still what their paths lead to.
pub trait FolderWatch: Send + Sync {
    /// Compares now, which blocks like any access to a file system. `Some`: what became of the folder, for good.
    ///
    /// # Errors
    /// The operating system's error if it refuses the look; likewise below.
    fn check(&self) -> io::Result<Option<String>>;
    /// Whether the folder takes files, as far as that is known without creating one.
    fn takes_files(&self) -> io::Result<()>;
    /// Locks and watches a folder within it, too; `false` while another process has that.
    fn add(&self, folder: &Path) -> io::Result<bool>;
}

/// An open file. Reads and writes are positional, so many threads may share it.
pub trait DiskFile: Send + Sync {
    /// Its path, for messages.
    fn path(&self) -> &PathBuf;
    /// Its size in bytes.
    ///
    /// # Errors
    /// What the operating system says; likewise for all below.
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` as far as the file goes; returns the number of bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes written bytes durable, if the file's size did not change.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes bytes and size durable.
    fn sync_all(&self) -> io::Result<()>;
}

/// A file with durable writes of whole blocks.
pub trait LogFile: Send + Sync {
    /// Its path at opening, for messages.
    fn path(&self) -> &PathBuf;
    /// Writes whole blocks at a multiple of [`BLOCK_BYTES`](crate::limits::BLOCK_BYTES) within the file's size. They
    /// are durable on return. After a failed write those blocks may hold anything.
    ///
    /// # Errors
    /// What the operating system says; likewise below.
    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()>;
    /// Whether a [`WriteQueue`] of its disk writes it concurrently. If the queue would write it in its own thread, one
    /// write after the other, better use other threads.
    fn is_queueable(&self) -> bool {
        false
    }
    /// Itself, for its backend.
    fn as_any(&self) -> &dyn std::any::Any;
    /// Writes whole blocks after the written part of a new file. Durable, size included, once [`LogFile::settle`]
    /// returned.
    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()>;
    /// Allocates `size` bytes for a new file, which read as zeros, without writing them. `false` if that is
    /// unsupported. The first write of each block then changes the file's metadata.
    fn allocate(&self, size: u64) -> io::Result<bool>;
    /// Cuts a new file to `size`, at most the written part, and makes it durable.
    fn settle(&self, size: u64) -> io::Result<()>;
    /// Locks it for this process until it is closed: data directories may share a file under different names.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] while another has it.
    fn take(&self) -> io::Result<()> {
        Ok(())
    }
    /// Whether it has this size. A file cut or extended by somebody is no extent any more.
    fn has_size(&self, bytes: u64) -> io::Result<bool> {
        let _ = bytes;
        Ok(true)
    }
    /// Whether it has a name. A deleted file still takes writes, and is gone with the process.
    fn has_name(&self) -> io::Result<bool> {
        Ok(true)
    }
    /// Whether a path leads to it, so that the next process finds it.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let _ = path;
        Ok(true)
    }
}

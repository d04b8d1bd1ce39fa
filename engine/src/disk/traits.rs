//! What the engine asks of a disk.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::Blocks;
use super::write_queue::WriteQueue;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; made anew, empty.
    Create,
}

/// Files in folders.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder and those above it, durably. One that is there already may have been made by a process that was
    /// killed before it could sync its name: that is made up for.
    ///
    /// # Errors
    /// What the operating system says; likewise for all below.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder in one that is there, durably, if it is not there already. What is missing above it is not made: it was
    /// there, and is gone.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.create_dir(path)
    }
    /// The one path that a file or folder has however it is written; of one that is not there, as far as it goes.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
    /// Whether two paths lead to the same thing.
    fn is_same(&self, one: &Path, other: &Path) -> io::Result<bool> {
        Ok(one == other)
    }
    /// The names in a folder; of none that does not exist. What stands there of a name that is no text has another one here,
    /// which is nobody's.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for durable writes of whole blocks, as the log's are; `create` makes it anew, empty.
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>>;
    /// A queue for many writes at a time, used by the calling thread alone; `None` if this backend has none. What was started
    /// may outlive a process that is killed: then the lock that stands on `held` has to, too.
    fn write_queue(&self, held: Option<File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        drop(held);
        Ok(None)
    }
    /// Whether the files of the log in a folder would go through that queue ([`LogFile::is_queueable`]).
    fn queues_writes_in(&self, dir: &Path) -> bool {
        let _ = dir;
        true
    }
    /// Whether its files can tell that a read would wait for a device, and refuse it where it must not.
    fn can_read_without_waiting(&self) -> bool {
        false
    }
    /// Bytes that the files in a folder may still take together; `None` where nobody can tell.
    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        let _ = path;
        Ok(None)
    }
    /// Renames a file over whatever has the name, or a folder to a name that nothing has.
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
    /// A number that nobody can foresee: with it in their checksums, the bytes of one file never pass for another's.
    fn random(&self) -> u32 {
        std::hash::RandomState::new().build_hasher().finish() as u32
    }
    /// Takes the folder for this process alone, for as long as the lock lives; `path` is its lock file. `None` while another
    /// has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
    /// Who has a folder that could not be taken, for people.
    fn lock_holder(&self, path: &Path) -> String {
        let _ = path;
        "another process".to_owned()
    }
}

/// Held while a process owns a folder.
pub trait DiskLock: Send + Sync {
    /// The open file that the lock stands on, if it is one.
    fn file(&self) -> Option<&File> {
        None
    }
    /// What tells whether the folder is still in its place; `None` where folders do not move.
    fn folder_watch(&self) -> Option<Arc<dyn FolderWatch>> {
        None
    }
}

/// Whether a folder that a process has for itself is still the one that its path leads to, and its lock file, too.
pub trait FolderWatch: Send + Sync {
    /// Looks, which blocks as any look at a file system does. `Some`: what became of it, for good.
    ///
    /// # Errors
    /// What the operating system says where it lets nobody look; likewise below.
    fn check(&self) -> io::Result<Option<String>>;
    /// Whether files can be made there, as far as that can be told without making one.
    fn takes_files(&self) -> io::Result<()>;
    /// Takes and watches a folder within it, too; `false` while another process has that.
    fn add(&self, folder: &Path) -> io::Result<bool>;
}

/// An open file. Reads and writes are positional, so one may be shared by many threads.
pub trait DiskFile: Send + Sync {
    /// Its path, for messages.
    fn path(&self) -> &PathBuf;
    /// Its size in bytes.
    ///
    /// # Errors
    /// What the operating system says; likewise for all below.
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` as far as the file goes; returns the bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes written bytes durable where the file's size did not change.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes bytes and size durable.
    fn sync_all(&self) -> io::Result<()>;
}

/// A file that is written durably, block by block.
pub trait LogFile: Send + Sync {
    /// Its path when it was opened, for messages.
    fn path(&self) -> &PathBuf;
    /// Writes whole blocks at a multiple of [`BLOCK_BYTES`](crate::limits::BLOCK_BYTES), where the file's size does not
    /// change. They are durable when it returns; the blocks of a write that failed may hold anything.
    ///
    /// # Errors
    /// What the operating system says; likewise below.
    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()>;
    /// Whether a [`WriteQueue`] of its disk writes it beside others. Where it would write it in its own thread, one after the
    /// other, those who write it had better have threads of their own.
    fn is_queueable(&self) -> bool {
        false
    }
    /// Itself, for the backend that made it.
    fn as_any(&self) -> &dyn std::any::Any;
    /// Writes whole blocks behind what was written of a file made anew. Durable, size and all, once [`LogFile::settle`]
    /// returned.
    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()>;
    /// Takes the room for a file made anew of `size` bytes, which read as zeros, without writing them. `false` where that is
    /// not to be had. The first write of each block then changes the file's metadata.
    fn allocate(&self, size: u64) -> io::Result<bool>;
    /// Cuts a file made anew to `size`, which is at most what was written, and makes it durable.
    fn settle(&self, size: u64) -> io::Result<()>;
    /// Takes it for this process alone, until it is closed: data directories may share a file, under other names.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] while another has it.
    fn take(&self) -> io::Result<()> {
        Ok(())
    }
    /// Whether it has so many bytes: who cuts it, or makes it longer, leaves a file that is no extent any more.
    fn has_size(&self, bytes: u64) -> io::Result<bool> {
        let _ = bytes;
        Ok(true)
    }
    /// Whether it has a name: one that was deleted can still be written, and is gone with the process.
    fn has_name(&self) -> io::Result<bool> {
        Ok(true)
    }
    /// Whether a path leads to it, so that the next process finds it.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let _ = path;
        Ok(true)
    }
}

//! The only door to the operating system. Everything above speaks to [`Disk`], [`DiskFile`], [`LogFile`] and
//! [`WriteQueue`]; nothing else in the engine opens, writes, renames or syncs. What the engine may assume of an
//! implementation:
//! - a [`LogFile::write`] that returned, or ended well in a [`WriteQueue`], survives power loss;
//! - a write that returned and was followed by a successful [`DiskFile::sync_data`] survives power loss, if the file's
//!   size did not change since its last [`DiskFile::sync_all`];
//! - a file's name survives once [`Disk::sync_dir`] of its folder returned;
//! - a write may be torn between sectors of 512 bytes, never inside one.

pub(crate) mod at_once;
pub mod blocks;
#[cfg(target_os = "linux")]
pub mod direct;
pub mod files;
pub(crate) mod guarded;
#[cfg(target_os = "linux")]
mod in_place;
pub mod latch;
#[cfg(unix)]
mod lock;
#[cfg(target_os = "linux")]
mod place;
mod reader;
mod regular;
pub(crate) mod reserve;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the kernel reads and writes memory that the ring points to")]
pub mod ring;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blocks::Blocks;
pub(crate) use reader::Reader;

use crate::limits::BLOCK_BYTES;

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
    fn can_read_at_once(&self) -> bool {
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
    fn standing(&self) -> Option<Arc<dyn Standing>> {
        None
    }
}

/// Whether a folder that a process has for itself is still the one that its path leads to, and its lock file, too.
pub trait Standing: Send + Sync {
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
    /// Writes whole blocks at a multiple of [`BLOCK_BYTES`], where the file's size does not
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

/// A write that [`WriteQueue::start`] started, at its end.
pub struct Ended {
    /// As given.
    pub ticket: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// As given; empty if the device may still read them.
    pub blocks: Blocks,
}

/// How a write of a [`WriteQueue`] ended.
#[derive(Debug)]
pub enum Outcome {
    /// As [`LogFile::write`] returns it.
    Made(io::Result<()>),
    /// It was never begun, nor will it be: the queue broke before.
    NotBegun,
}

/// A [`WriteQueue`] failed for good: it takes nothing more.
#[derive(Debug)]
pub struct Broken {
    /// Why.
    pub cause: io::Error,
    /// Writes are under way of which nobody will hear: they may still reach the device, as long as this process lives.
    pub leaves_writes: bool,
}

/// Many durable writes at a time, of one thread: whoever made it uses it. What was started ends, each once, or the queue
/// breaks.
pub trait WriteQueue: Send {
    /// Starts what [`LogFile::write`] does. `ticket` is not that of another write under way. The device may get it only with
    /// the next [`WriteQueue::submit`] or [`WriteQueue::reap`].
    fn start(&mut self, ticket: u64, file: Arc<dyn LogFile>, offset: u64, blocks: Blocks);
    /// Gives the device what was started.
    fn submit(&mut self) {}
    /// Adds the writes that have ended, in any order; if it `may_wait`, waits until one has or somebody wakes it.
    ///
    /// # Errors
    /// It broke: all that was under way is among `ended`.
    fn reap(&mut self, may_wait: bool, ended: &mut Vec<Ended>) -> Result<(), Broken>;
    /// What ends a wait, from any thread.
    fn waker(&self) -> Arc<dyn Waker>;
    /// Waits until nothing is under way any more, and forgets how that ended.
    ///
    /// # Errors
    /// It broke.
    fn finish(&mut self) -> Result<(), Broken>;
}

/// Ends the wait of a [`WriteQueue`], this or the next one.
pub trait Waker: Send + Sync {
    /// Does it.
    fn wake(&self);
}

/// The best backend there is on this system.
pub fn best() -> Arc<dyn Disk> {
    #[cfg(target_os = "linux")]
    let disk = direct::Direct::default();
    #[cfg(not(target_os = "linux"))]
    let disk = files::Files;
    Arc::new(disk)
}

/// Whether a file's writes go past the page cache.
pub fn is_direct(file: &dyn LogFile) -> bool {
    #[cfg(target_os = "linux")]
    let direct = file.as_any().is::<direct::DirectFile>();
    #[cfg(not(target_os = "linux"))]
    let direct = file.as_any().is::<()>();
    direct
}

/// What a folder stands on. `None` where the system does not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ground {
    /// Type of the file system, as `ext4`.
    pub file_system: Option<String>,
    /// What is mounted there, as `/dev/sda1`.
    pub device: Option<String>,
    /// Whether the device says of itself that it has a cache which loses what it holds with the power, unless it is flushed.
    pub volatile_cache: Option<bool>,
    /// Whether a sync flushes that cache, as the folder is mounted.
    pub syncs_flush: Option<bool>,
    /// Files that this process may have open.
    pub open_files: Option<u64>,
}

/// Asks the system what a folder stands on.
pub fn ground(dir: &Path) -> Ground {
    #[cfg(target_os = "linux")]
    let ground = place::ground(dir);
    #[cfg(not(target_os = "linux"))]
    let ground = (|_| Ground::default())(dir);
    ground
}

/// Who may read what is stored: its owner, whatever the process that makes it leaves to others.
#[cfg(unix)]
pub(crate) const FILE_MODE: u32 = 0o600;

/// The same for folders.
#[cfg(unix)]
pub(crate) const DIR_MODE: u32 = 0o700;

/// The folder that a path stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether others than a folder's owner may look into it.
pub fn is_open_to_others(dir: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(dir).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        false
    }
}

/// Files that this process may have open, where the system says.
pub fn open_files() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return place::open_files();
    #[cfg(not(target_os = "linux"))]
    None
}

/// Lets this process have as many files open as it may: what systems set at first is for programs of another kind. Whoever runs
/// the process decides; the engine itself does not. Returns how many, where the system says.
pub fn raise_open_files() -> Option<u64> {
    #[cfg(target_os = "linux")]
    place::raise_open_files();
    open_files()
}

/// Whether files can be made in a folder, as far as that can be told without making one.
#[cfg(unix)]
fn may_write(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        let access = Access::WRITE_OK | Access::EXEC_OK;
        match accessat(CWD, folder, access, AtFlags::EACCESS) {
            // An old kernel or libc knows the real user only.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            told => return Ok(told?),
        }
    }
    let _ = folder;
    Ok(())
}

/// Bytes that are written at once where nobody waits for them. Larger writes hold up the commits behind them in the device's
/// queue, smaller ones cost the device more than they write: docs/decisions/2026-11-25-commit-path.md has the
/// measurements.
pub const STEP_BYTES: usize = 128 << 10;

/// Writes a file so that its name always stands for either its old or its new content.
///
/// # Errors
/// What the operating system says; the old content is then still there.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let file = disk.open_log(&temporary, true)?;
    let mut blocks = Blocks::with_capacity(STEP_BYTES);
    for (step, bytes) in bytes.chunks(STEP_BYTES).enumerate() {
        blocks.clear();
        blocks.extend_from_slice(bytes);
        blocks.pad_to(bytes.len().next_multiple_of(BLOCK_BYTES));
        file.grow((step * STEP_BYTES) as u64, &blocks)?;
    }
    file.settle(bytes.len() as u64)?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_dir(parent(path))
}

/// Reads a whole file.
///
/// # Errors
/// What the operating system says.
pub fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    const PIECE: u64 = 1 << 20;
    let size = file.size()?;
    // Memory follows what was read: a size is only a number.
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let start = bytes.len();
        let length = PIECE.max(start as u64).min(size - start as u64);
        bytes.resize(start + length as usize, 0);
        let read = file.read_at(start as u64, &mut bytes[start..])?;
        bytes.truncate(start + read);
        if (read as u64) < length {
            break;
        }
    }
    Ok(bytes)
}

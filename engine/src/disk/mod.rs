//! The only door to the operating system. Everything above speaks to [`Disk`] and [`DiskFile`]; nothing else in the
//! engine opens, writes, renames or syncs. What the engine may assume of an implementation:
//! - a write that returned and was followed by a successful [`DiskFile::sync_data`] survives power loss, if the file's
//!   size did not change since its last [`DiskFile::sync_all`];
//! - a file's name survives once [`Disk::sync_dir`] of its folder returned;
//! - a write may be torn between sectors of 512 bytes, never inside one.

pub mod files;
pub mod latch;
#[cfg(test)]
pub(crate) mod memory;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The names in a folder; of none that does not exist.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file over whatever has the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the folder for this process alone, for as long as the lock lives.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// Held while a process owns a folder.
pub trait DiskLock: Send + Sync {}

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

/// Writes a small file so that its name always stands for either its old or its new content.
///
/// # Errors
/// What the operating system says; the old content is then still there.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let file = disk.open(&temporary, OpenMode::Create)?;
    file.write_at(0, bytes)?;
    file.sync_all()?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Reads a whole file.
///
/// # Errors
/// What the operating system says.
pub fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

//! The only door to the operating system. Rooms above use [`Disk`], [`DiskFile`], [`LogFile`] and [`WriteQueue`];
//! nothing else in the engine opens, writes, renames or syncs. Every implementation guarantees:
//! - a [`LogFile::write`] that returned, or succeeded in a [`WriteQueue`], survives power loss;
//! - a write that returned, followed by a successful [`DiskFile::sync_data`], survives power loss if the file's size
//!   did not change since its last [`DiskFile::sync_all`];
//! - a file's name survives once [`Disk::sync_dir`] of its folder returned;
//! - a write may tear between sectors of 512 bytes, never inside one.

pub mod blocks;
#[cfg(target_os = "linux")]
pub mod direct;
pub mod files;
mod ground;
#[cfg(target_os = "linux")]
mod in_place;
#[cfg(unix)]
mod lock;
#[cfg(target_os = "linux")]
mod mounts;
pub(crate) mod nonblocking;
mod owner;
mod reader;
mod regular;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the kernel reads and writes memory that the ring points to")]
pub mod ring;
mod traits;
mod whole;
mod write_queue;

use std::sync::Arc;

pub use ground::{Ground, ground, open_files, raise_open_files};
pub use owner::is_open_to_others;
pub(crate) use reader::FileReader;
pub use traits::{Disk, DiskFile, DiskLock, FolderWatch, LogFile, OpenMode};
pub use whole::{STEP_BYTES, read_all, replace};
pub use write_queue::{BrokenQueue, EndedWrite, Waker, WriteOutcome, WriteQueue};

/// The best backend on this system.
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

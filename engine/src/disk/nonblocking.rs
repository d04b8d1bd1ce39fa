//! Small reads without a thread switch: bytes in the system's cache are read on the calling thread; reads that need a
//! device are left to threads that may wait.
//!
//! While [`without_waiting`] runs, files of a disk that can tell
//! ([`Disk::can_read_without_waiting`](super::traits::Disk)) refuse with
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead of waiting. The mode belongs to the calling thread, so
//! nothing between the caller and the files needs to know.

use std::cell::Cell;
use std::io;

use crate::error::StorageError;

/// Reads that may be made at once: whoever needs more has a longer way to go, and holds up nobody on it.
const READS_MAX: u32 = 64;
/// Bytes of one of them.
const READ_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// Reads left; `None` where it may wait.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

struct Mode;

impl Drop for Mode {
    fn drop(&mut self) {
        LEFT.set(None);
    }
}

/// Runs reads that do not wait for a device. `None` if one of them would have had to: nothing is known then.
pub(crate) fn without_waiting<T>(reads: impl FnOnce() -> Result<T, StorageError>) -> Option<Result<T, StorageError>> {
    LEFT.set(Some(READS_MAX));
    let mode = Mode;
    let outcome = reads();
    drop(mode);
    match outcome {
        Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => None,
        outcome => Some(outcome),
    }
}

/// Whether the calling thread must wait for nothing.
pub(crate) fn must_not_wait() -> bool {
    LEFT.get().is_some()
}

/// Whether the calling thread may wait; if not, that one read of so many bytes is made at once, or none.
pub(super) fn may_wait(bytes: usize) -> io::Result<bool> {
    match LEFT.get() {
        None => Ok(true),
        Some(left) if left > 0 && bytes <= READ_BYTES_MAX => {
            LEFT.set(Some(left - 1));
            Ok(false)
        }
        Some(_) => Err(io::ErrorKind::WouldBlock.into()),
    }
}

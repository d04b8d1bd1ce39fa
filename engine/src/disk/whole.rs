//! Files that are written and read as a whole.

use std::io;
use std::path::Path;

use super::blocks::Blocks;
use super::owner::parent;
use super::traits::{Disk, DiskFile};
use crate::limits::BLOCK_BYTES;

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

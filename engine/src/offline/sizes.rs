//! Reads no more of a file than it can hold. A size is only a claim of the file system, and a file of a terabyte costs
//! one line in a shell.

use std::io;

use crate::disk::DiskFile;
use crate::format::index::IndexHeader;
use crate::limits::{BLOCK_BYTES, EXTENT_BYTES_MAX};

/// Most bytes of a checkpoint: more segments than a store has.
const CHECKPOINT_BYTES_MAX: u64 = 16 << 30;

/// Bytes read at once.
const STEP: usize = 1 << 20;

/// How many bytes of an extent's file are looked at; `capacity` is what its header says, if that is whole. Bytes may have been
/// put in, but not more than there were.
pub(super) fn extent_bytes(size: u64, capacity: Option<u64>) -> u64 {
    let most = capacity.map_or(EXTENT_BYTES_MAX, |capacity| capacity.saturating_mul(2));
    size.min(most.min(EXTENT_BYTES_MAX))
}

fn impossible(size: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a file of {size} bytes, which no such file has"),
    )
}

/// All of an index file, which says in its first page how long it is.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if it has another size; what the operating system says.
pub(super) fn read_index(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = file.size()?;
    let mut page = vec![0; BLOCK_BYTES];
    let read = file.read_at(0, &mut page)?;
    page.truncate(read);
    let Ok((header, _)) = IndexHeader::decode(&page) else {
        // No more of it counts.
        return Ok(page);
    };
    let pages = (header.checksums / BLOCK_BYTES as u64).saturating_sub(1);
    if header.checksums.saturating_add(pages.saturating_mul(4)) != size {
        return Err(impossible(size));
    }
    read_up_to(file, size)
}

/// All of a checkpoint. Its checksum is made first, in little memory.
///
/// # Errors
/// As [`read_index`], also if the checksum does not hold.
pub(super) fn read_checkpoint(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    const PREFIX: usize = 16;
    let size = file.size()?;
    if size > CHECKPOINT_BYTES_MAX {
        return Err(impossible(size));
    }
    let mut prefix = [0; PREFIX];
    if size <= STEP as u64 || file.read_at(0, &mut prefix)? < PREFIX {
        return read_up_to(file, size);
    }
    let mut crc = crc32fast::Hasher::new();
    let (mut at, mut bytes) = (PREFIX as u64, vec![0; STEP]);
    while at < size {
        let read = file.read_at(at, &mut bytes)?;
        if read == 0 {
            break;
        }
        crc.update(&bytes[..read]);
        at += read as u64;
    }
    match crc.finalize().to_le_bytes() == prefix[12..] {
        true => read_up_to(file, size),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "checksum mismatch")),
    }
}

fn read_up_to(file: &dyn DiskFile, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let from = bytes.len();
        bytes.resize(from + STEP.min(size as usize - from), 0);
        let read = file.read_at(from as u64, &mut bytes[from..])?;
        bytes.truncate(from + read);
        if read == 0 {
            break;
        }
    }
    Ok(bytes)
}

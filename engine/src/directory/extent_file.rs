//! An extent's file and the contents of its first block.

use std::path::Path;
use std::sync::Arc;

use super::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::StorageError;
use crate::format::FormatError;
use crate::format::extent_header::ExtentHeader;
use crate::limits::BLOCK_BYTES;

/// What the first block of an extent says, or why it says nothing.
pub(crate) type DecodedHeader = Result<ExtentHeader, FormatError>;

/// An extent's file, and what its first block says.
pub(crate) fn open_extent(
    disk: &dyn Disk,
    dir: &Path,
    extent: u64,
) -> Result<(Arc<dyn DiskFile>, DecodedHeader), StorageError> {
    let path = FileName::Extent(extent).in_dir(dir);
    let file = disk
        .open(&path, OpenMode::Read)
        .map_err(|e| StorageError::io("open", &path, e))?;
    let header = read_header(&*file)?;
    Ok((file, header))
}

/// What the first block of an extent's file says.
pub(crate) fn read_header(file: &dyn DiskFile) -> Result<DecodedHeader, StorageError> {
    let block = read_block(file, 0)?;
    Ok(ExtentHeader::decode(&block))
}

/// The block at a place of a file, or as much of it as there is.
pub(crate) fn read_block(file: &dyn DiskFile, at: u64) -> Result<Vec<u8>, StorageError> {
    let mut block = vec![0; BLOCK_BYTES];
    let read = file
        .read_at(at, &mut block)
        .map_err(|e| StorageError::io("read", file.path(), e))?;
    block.truncate(read);
    Ok(block)
}

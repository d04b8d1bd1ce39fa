//! Checks an extent of a backup: its header, each group's checksum and chain up to its end, and that nothing is
//! missing.

use std::path::Path;
use std::sync::Arc;

use crate::boundary::backup::{BackupError, ExtentPrefix};
use crate::directory::manifest::ExtentEntry;
use crate::directory::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::StorageError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader};
use crate::log::walk::{Step, Walk};
use streamkit_record::{LogPosition, StoreId};

/// What an extent is to be.
pub(crate) struct ExpectedExtent {
    pub(crate) store: StoreId,
    pub(crate) extent: u64,
    pub(crate) capacity: u64,
    pub(crate) used_bytes: u32,
    pub(crate) salt: u32,
    /// Of its last group, where that is known.
    pub(crate) chain: Option<u32>,
    /// Of the used bytes behind the header, where that is known.
    pub(crate) crc32: Option<u32>,
    /// Where the extent before ends, and the chain of its last group.
    pub(crate) previous: Option<(u32, u32)>,
    /// Where a group must end, and the chain there: what an earlier backup ended with.
    pub(crate) passes: Option<(u32, u32)>,
}

/// What was found of an extent that is whole.
pub(crate) struct Checked {
    pub(crate) chain: u32,
    pub(crate) crc32: u32,
}

/// What is wrong with one.
pub(crate) enum ExtentFault {
    Damage {
        byte: u64,
        found: String,
    },
    /// It is whole, but does not continue what it should.
    AnotherHistory,
}

impl ExpectedExtent {
    pub(crate) fn of(store: StoreId, extent: &ExtentPrefix) -> Self {
        Self {
            store,
            extent: extent.extent,
            capacity: extent.capacity,
            used_bytes: extent.used_bytes,
            salt: extent.salt,
            chain: extent.sealed,
            crc32: None,
            previous: None,
            passes: None,
        }
    }

    pub(crate) fn by(store: StoreId, entry: &ExtentEntry) -> Self {
        Self {
            store,
            extent: entry.extent,
            capacity: entry.capacity,
            used_bytes: entry.used_bytes,
            salt: entry.salt,
            chain: Some(entry.chain),
            crc32: Some(entry.crc32),
            previous: None,
            passes: None,
        }
    }
}

/// Checks the file that has an extent's name. One that is not there, or cannot be read any more, is damage, too.
pub(crate) fn check_file(
    disk: &dyn Disk,
    dir: &Path,
    expected: &ExpectedExtent,
) -> Result<Result<Checked, ExtentFault>, BackupError> {
    let path = FileName::Extent(expected.extent).in_dir(dir);
    match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Err(damage(0, "nothing"))),
        Err(error) => Ok(Err(unreadable(&error))),
        Ok(file) => match check(file, expected) {
            Err(StorageError::Io { source, .. }) => Ok(Err(unreadable(&source))),
            checked => Ok(checked?),
        },
    }
}

fn unreadable(error: &std::io::Error) -> ExtentFault {
    damage(0, format!("what cannot be read: {error}"))
}

fn damage(byte: u64, found: impl Into<String>) -> ExtentFault {
    ExtentFault::Damage {
        byte,
        found: found.into(),
    }
}

/// Compares an extent's header and size.
pub(crate) fn check_header(
    file: &dyn DiskFile,
    expected: &ExpectedExtent,
) -> Result<Result<ExtentHeader, ExtentFault>, StorageError> {
    let read = |e| StorageError::io("read", file.path(), e);
    let mut block = vec![0; EXTENT_HEADER_BYTES];
    let length = file.read_at(0, &mut block).map_err(read)?;
    let header = match ExtentHeader::decode(&block[..length]) {
        Ok(header) => header,
        Err(error) => return Ok(Err(damage(0, format!("the extent's header: {error}")))),
    };
    let found = (header.store, header.extent, header.capacity, header.salt, header.begun);
    let wanted = (expected.store, expected.extent, expected.capacity, expected.salt, true);
    if found != wanted {
        return Ok(Err(damage(0, "the header of another extent")));
    }
    let continued = (header.previous_end, header.state.chain);
    if expected.previous.is_some_and(|previous| previous != continued) {
        return Ok(Err(damage(0, "a header that does not continue the extent before")));
    }
    let size = file.size().map_err(read)?;
    if size < header.capacity {
        return Ok(Err(damage(
            size,
            format!("the end of the file; it was made with {} bytes", header.capacity),
        )));
    }
    Ok(Ok(header))
}

/// Checks all that counts of an extent.
pub(crate) fn check(
    file: Arc<dyn DiskFile>,
    expected: &ExpectedExtent,
) -> Result<Result<Checked, ExtentFault>, StorageError> {
    let header = match check_header(&*file, expected)? {
        Ok(header) => header,
        Err(fault) => return Ok(Err(fault)),
    };
    let start = LogPosition {
        extent: expected.extent,
        byte: EXTENT_HEADER_BYTES as u32,
    };
    let mut walk = Walk::new(Arc::clone(&file), header.salt, start, header.state)?;
    let mut passed = None;
    loop {
        let at = walk.at().byte;
        if expected.passes.is_some_and(|(byte, _)| byte == at) {
            passed = Some((at, walk.state.chain));
        }
        if at == expected.used_bytes {
            break;
        }
        if at > expected.used_bytes {
            return Ok(Err(damage(u64::from(expected.used_bytes), "the middle of a group")));
        }
        if let Step::End { at, .. } = walk.step()? {
            return Ok(Err(damage(u64::from(at), "a group that is not whole")));
        }
    }
    let chain = walk.state.chain;
    if expected.chain.is_some_and(|wanted| wanted != chain) {
        return Ok(Err(damage(u64::from(expected.used_bytes), "another last group")));
    }
    if expected.passes != passed {
        return Ok(Err(ExtentFault::AnotherHistory));
    }
    let crc32 = crc32(&*file, expected.used_bytes)?;
    if expected.crc32.is_some_and(|wanted| wanted != crc32) {
        let found = "bytes between groups that differ from what was copied";
        return Ok(Err(damage(EXTENT_HEADER_BYTES as u64, found)));
    }
    Ok(Ok(Checked { chain, crc32 }))
}

/// Of the used bytes behind the header.
pub(super) fn crc32(file: &dyn DiskFile, used_bytes: u32) -> Result<u32, StorageError> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; 1 << 20];
    let (mut at, end) = (EXTENT_HEADER_BYTES as u64, u64::from(used_bytes));
    while at < end {
        let length = (end - at).min(piece.len() as u64) as usize;
        let read = file.read_at(at, &mut piece[..length]);
        let read = read.map_err(|e| StorageError::io("read", file.path(), e))?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        at += read as u64;
    }
    Ok(hasher.finalize())
}

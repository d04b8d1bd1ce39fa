//! Reads the headers of a store's extents, and checks that they agree with their files, with each other, and with the
//! index files beside them. Reads no group.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::directory::extent_file::{open_extent, read_block};
use crate::directory::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{DamagedPlace, corrupt};
use crate::error::{OpenError, SegmentsHit, StorageError};
use crate::format::FormatError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::index::IndexHeader;
use crate::format::log_start::LogStart;
use crate::limits::{EXTENT_BYTES_MAX, FORMAT_VERSION};
use streamkit_record::StoreId;

/// The headers of a store's extents.
pub(crate) struct Headers {
    /// Of those that the log has come to, by number.
    pub(crate) log: BTreeMap<u64, ExtentHeader>,
    /// Of the one behind them, if it is prepared.
    pub(crate) prepared: Option<ExtentHeader>,
    /// The extents with an index file: those are written when the log has durably come to the next one.
    pub(crate) indexed: BTreeSet<u64>,
}

/// Reads the headers of all extents, and of the index files beside them, and checks that nothing is missing and nothing
/// contradicts anything else.
///
/// # Errors
/// [`OpenError::Storage`] with [`StorageError::Corrupt`] where they do not agree.
pub(crate) fn read_headers(disk: &dyn Disk, dir: &Path, store: StoreId) -> Result<Headers, OpenError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let (mut log, mut prepared, mut indexed) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for name in names {
        match FileName::parse(&name) {
            Some(FileName::Extent(number)) => {
                let header = checked_header(disk, dir, store, number)?;
                let stage = if header.begun { &mut log } else { &mut prepared };
                stage.insert(number, header);
            }
            Some(FileName::Index(number)) => {
                indexed.insert(number);
            }
            _ => {}
        }
    }
    check_row(store, &log)?;
    let next = LogStart::WHOLE.next_behind(log.keys().next_back().copied());
    if let Some(&number) = prepared.keys().find(|&&number| number != next) {
        let found = "an extent that was never begun, though its number is not the log's next";
        return Err(corrupt(store, number, 0, found).into());
    }
    for &extent in &indexed {
        if let Some(next) = log.get(&extent.saturating_add(1)) {
            check_index(disk, dir, store, extent, next)?;
        }
    }
    Ok(Headers {
        log,
        prepared: prepared.remove(&next),
        indexed,
    })
}

/// The header of an extent, whole, of this store and number, in a file as large as it says.
fn checked_header(disk: &dyn Disk, dir: &Path, store: StoreId, number: u64) -> Result<ExtentHeader, OpenError> {
    let (file, header) = open_extent(disk, dir, number)?;
    let header = match header {
        Ok(header) => header,
        Err(FormatError::Version(found)) => {
            return Err(OpenError::NewerFormat {
                path: file.path().clone(),
                found,
                supported: FORMAT_VERSION,
            });
        }
        Err(error) => return Err(corrupt(store, number, 0, format!("the extent's header: {error}")).into()),
    };
    if header.store != store || header.extent != number {
        let found = format!("the header of extent {} of store {}", header.extent, header.store);
        return Err(corrupt(store, number, 0, found).into());
    }
    let size = file
        .size()
        .map_err(|e| StorageError::io("read the size of", file.path(), e))?;
    // An extent has all its bytes before it has its name, and never gets more: where some are too many, others have moved.
    if size != header.capacity || size > EXTENT_BYTES_MAX {
        let found = format!("a file of {size} bytes; it was made with {}", header.capacity);
        let byte = size.min(header.capacity).min(u64::from(u32::MAX)) as u32;
        return Err(corrupt(store, number, byte, found).into());
    }
    if !header.begun && has_groups(&*file)? {
        let found = "groups, though the extent's header says that the log never came to it";
        return Err(corrupt(store, number, EXTENT_HEADER_BYTES as u32, found).into());
    }
    Ok(header)
}

/// Whether anything stands where the first group of an extent does. One that is prepared is full of zeros, durably, before it
/// has its name, and its header is written anew, durably, before the first group is: if there is one, the header is an older
/// copy.
pub(crate) fn has_groups(file: &dyn DiskFile) -> Result<bool, StorageError> {
    let block = read_block(file, EXTENT_HEADER_BYTES as u64)?;
    Ok(block.iter().any(|&byte| byte != 0))
}

/// Checks that no extent is missing, and that each header can be what the log came to behind the one before.
fn check_row(store: StoreId, log: &BTreeMap<u64, ExtentHeader>) -> Result<(), StorageError> {
    let last = log.keys().next_back().copied().unwrap_or(0);
    if let Some(missing) = (LogStart::WHOLE.extent()..last).find(|number| !log.contains_key(number)) {
        return Err(corrupt(store, missing, 0, "nothing: the extent's file is missing"));
    }
    let mut before = None;
    for (&number, header) in log {
        if let Some(found) = wrong_behind(before, header) {
            return Err(corrupt(store, number, 0, found));
        }
        before = Some(header);
    }
    Ok(())
}

/// What cannot be in a header, by the one before.
fn wrong_behind(before: Option<&ExtentHeader>, header: &ExtentHeader) -> Option<&'static str> {
    let (state, end) = (&header.state, u64::from(header.previous_end));
    let Some(before) = before else {
        let says_something = end != 0 || *state != LogState::default();
        return says_something.then_some("a header that tells of groups before the first extent");
    };
    let first = EXTENT_HEADER_BYTES as u64;
    if end < first || end > before.capacity || !end.is_multiple_of(8) {
        return Some("a header that tells of an end which the extent before cannot have");
    }
    let earlier = &before.state;
    let continues = if end == first {
        state == earlier
    } else {
        let groups = state.group_number.checked_sub(earlier.group_number);
        let transactions = state.trx_number.checked_sub(earlier.trx_number);
        // Each group holds a transaction at least.
        groups.is_some_and(|groups| groups > 0)
            && transactions >= groups
            && state.epoch >= earlier.epoch
            && state.last_timestamp >= earlier.last_timestamp
    };
    (!continues).then_some("a header that cannot follow the header of the extent before")
}

/// Checks that an index file, if its header is whole, is that of this extent, which ends as the next one's header says. What
/// is only damaged is told by the reads that need it.
fn check_index(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    extent: u64,
    next: &ExtentHeader,
) -> Result<(), StorageError> {
    let path = FileName::Index(extent).in_dir(dir);
    let file = match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| StorageError::io("open", &path, e))?,
    };
    let block = match read_block(&*file, 0) {
        Ok(block) => block,
        Err(error) => {
            // As good as damaged: the log says all that it does, and reads that need it fail.
            tracing::warn!(%error, "an index file cannot be read");
            return Ok(());
        }
    };
    let Ok((index, _)) = IndexHeader::decode(&block) else {
        return Ok(());
    };
    let (found, segments) = if (index.store, index.extent) != (store, extent) {
        let found = format!("the index file of extent {} of store {}", index.extent, index.store);
        (found, SegmentsHit::None)
    } else if (index.end, index.chain) != (next.previous_end, next.state.chain) {
        let found = format!(
            "an index file of an extent that ends at {}, and the next one's header says {}",
            index.end, next.previous_end
        );
        // Perhaps the extents are older copies, and this file is all that still tells of what is missing.
        (found, SegmentsHit::Unknown)
    } else {
        return Ok(());
    };
    Err(StorageError::Corrupt {
        store,
        place: DamagedPlace::Extent { extent, byte: 0 },
        found: format!("{}: {found}", path.display()),
        segments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamkit_record::Timestamp;

    fn state(group_number: u64, trx_number: u64, epoch: u64, time: i64) -> LogState {
        LogState {
            epoch,
            group_number,
            chain: group_number as u32,
            trx_number,
            last_timestamp: Timestamp(time),
        }
    }

    fn header(extent: u64, previous_end: u32, state: LogState) -> ExtentHeader {
        ExtentHeader {
            begun: true,
            previous_end,
            state,
            ..ExtentHeader::prepared(StoreId(uuid::Uuid::nil()), extent, 65536)
        }
    }

    #[test]
    fn headers_only_grow_from_one_extent_to_the_next() {
        let nothing = LogState::default();
        assert_eq!(wrong_behind(None, &header(1, 0, nothing)), None);
        assert!(wrong_behind(None, &header(1, 4096, nothing)).is_some());
        assert!(wrong_behind(None, &header(1, 0, state(1, 1, 1, 1))).is_some());
        let second = header(2, 8192, state(5, 9, 2, 70));
        let behind = |end, state| wrong_behind(Some(&second), &header(3, end, state));
        assert_eq!(behind(8192, state(6, 10, 2, 70)), None);
        assert_eq!(behind(4096, second.state), None, "an extent may hold no group");
        for wrong in [
            behind(4096, state(6, 10, 2, 70)),
            behind(8192, second.state),
            behind(8192, state(4, 10, 2, 70)),
            behind(8192, state(7, 10, 2, 70)),
            behind(8192, state(6, 8, 2, 70)),
            behind(8192, state(6, 10, 1, 70)),
            behind(8192, state(6, 10, 2, 69)),
            behind(8193, state(6, 10, 2, 70)),
            behind(0, second.state),
            behind(65544, state(6, 10, 2, 70)),
        ] {
            assert!(wrong.is_some());
        }
    }
}

//! Writes the log's next group, and its next extent when the open one is full.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::names::FileName;
use super::spare::{Claim, Spare, SpareSlot, prepare};
use crate::disk::latch::Latch;
use crate::disk::{Disk, DiskFile};
use crate::error::StorageError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::limits::{BLOCK_BYTES, EXTENT_BYTES_MIN};
use crate::model::{LogPosition, StoreId};

/// The open end of a store's log.
pub(crate) struct LogWriter {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    pub(crate) latch: Arc<Latch>,
    pub(crate) spare: Arc<SpareSlot>,
    pub(crate) extent_bytes: u64,
    /// There was no room for the last extent wished for.
    pub(crate) disk_is_full: bool,
    /// The open extent, unless the store was never written to.
    pub(crate) open: Option<OpenExtent>,
    pub(crate) state: LogState,
}

/// The extent that takes the next group.
pub(crate) struct OpenExtent {
    pub(crate) number: u64,
    /// Of the checksums of its groups.
    pub(crate) salt: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) capacity: u64,
    /// Where the next group goes: everything before is durable.
    pub(crate) tail: u32,
}

/// An extent to be prepared ahead.
pub(crate) struct Wish {
    pub(crate) claim: Claim,
    pub(crate) capacity: u64,
}

impl LogWriter {
    /// Whether a group of these bytes fits into the open extent.
    pub(crate) fn fits(&self, group_bytes: usize) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| u64::from(open.tail) + group_bytes as u64 <= open.capacity)
    }

    fn next_number(&self) -> u64 {
        self.open.as_ref().map_or(1, |open| open.number + 1)
    }

    fn next_capacity(&self) -> u64 {
        let grown = self
            .open
            .as_ref()
            .map_or(EXTENT_BYTES_MIN, |open| open.capacity.saturating_mul(4));
        grown.clamp(EXTENT_BYTES_MIN, self.extent_bytes)
    }

    /// The extent to prepare now, if the open one is half full and nobody does already.
    pub(crate) fn wish(&self) -> Option<Wish> {
        let open = self.open.as_ref()?;
        let half_full = u64::from(open.tail) > open.capacity / 2;
        let claim = half_full.then(|| self.spare.claim(self.next_number()))??;
        Some(Wish {
            claim,
            capacity: self.next_capacity(),
        })
    }

    /// Adds an extent that a group of these bytes fits in. Nothing acknowledged depends on it before it is there whole:
    /// 1. the header is written and synced while the file still has its spare name;
    /// 2. the rename makes it part of the log; 3. the folder is synced before the first group is.
    ///
    /// A crash in between leaves either no extent or one with a whole header and no group.
    pub(crate) fn roll(&mut self, group_bytes: usize) -> Result<(), StorageError> {
        self.latch.check()?;
        let number = self.next_number();
        let needed = (EXTENT_HEADER_BYTES + group_bytes).next_multiple_of(BLOCK_BYTES) as u64;
        let spare = match self.spare.take().filter(|spare| spare.capacity >= needed) {
            Some(spare) => spare,
            None => self.prepare_now(number, needed)?,
        };
        let header = ExtentHeader {
            store: self.store,
            extent: number,
            first_extent: 1,
            capacity: spare.capacity,
            previous_end: self.open.as_ref().map_or(0, |open| open.tail),
            salt: random(),
            state: self.state,
        };
        self.latch.guard(|| self.adopt(&spare, &header))?;
        let Spare { file, capacity, .. } = spare;
        self.open = Some(OpenExtent {
            number,
            salt: header.salt,
            file,
            capacity,
            tail: EXTENT_HEADER_BYTES as u32,
        });
        Ok(())
    }

    /// Prepares an extent that is needed this moment. On a full disk one that is just large enough may still find room, and
    /// until it does, nothing larger is tried: that would write all the room that is left full of zeros each time.
    fn prepare_now(&mut self, number: u64, needed: u64) -> Result<Spare, StorageError> {
        let smallest = needed.max(EXTENT_BYTES_MIN);
        let wished = if self.disk_is_full {
            smallest
        } else {
            smallest.max(self.next_capacity())
        };
        let mut made = prepare(&*self.disk, &self.dir, number, wished);
        if wished > smallest && made.as_ref().is_err_and(StorageError::is_full) {
            made = prepare(&*self.disk, &self.dir, number, smallest);
        }
        self.disk_is_full = made.as_ref().is_err_and(StorageError::is_full);
        made
    }

    fn adopt(&self, spare: &Spare, header: &ExtentHeader) -> Result<(), StorageError> {
        let io = |operation| move |source| StorageError::io(operation, &spare.path, source);
        spare
            .file
            .write_at(0, &header.encode())
            .map_err(io("write the header of"))?;
        spare.file.sync_data().map_err(io("sync"))?;
        let path = FileName::Extent(header.extent).in_dir(&self.dir);
        self.disk.rename(&spare.path, &path).map_err(io("rename"))?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(|source| StorageError::io("sync", &self.dir, source))
    }

    /// Writes a group durably. `group` holds room for the header, then the transactions. Returns where it starts.
    ///
    /// # Panics
    /// If it does not fit: [`LogWriter::fits`] comes first.
    pub(crate) fn write(&mut self, group: &mut [u8], transaction_count: u32) -> Result<LogPosition, StorageError> {
        assert!(self.fits(group.len()), "a group is written only where it fits");
        let open = self.open.as_mut().expect("a group that fits has an extent");
        let at = LogPosition {
            extent: open.number,
            byte: open.tail,
        };
        let header = GroupHeader {
            body_crc: 0,
            body_bytes: 0,
            chain: self.state.chain,
            transaction_count,
            number: self.state.group_number + 1,
            epoch: self.state.epoch,
            durable: at,
            extent: open.number as u32,
            writer: Uuid::nil(),
            link: 0,
        };
        let header = header.seal(open.salt, group);
        let file = &open.file;
        self.latch.guard(|| {
            file.write_at(u64::from(at.byte), group)
                .map_err(|e| StorageError::io("write", file.path(), e))?;
            file.sync_data().map_err(|e| StorageError::io("sync", file.path(), e))
        })?;
        // Groups start on multiples of eight; a capacity is one of those too, so the tail never passes it.
        open.tail += header.span() as u32;
        self.state.chain = header.link;
        self.state.group_number = header.number;
        Ok(at)
    }

    /// Everything before it is durable.
    pub(crate) fn tail(&self) -> LogPosition {
        self.open
            .as_ref()
            .map_or(LogPosition { extent: 1, byte: 0 }, |open| LogPosition {
                extent: open.number,
                byte: open.tail,
            })
    }

    /// A group's buffer: the header's place.
    pub(crate) fn start_group(buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.resize(GROUP_HEADER_BYTES, 0);
    }
}

/// A number that nobody can foresee.
fn random() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() as u32
}

//! Writes the log's next group, and its next extent when the open one is full.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::names::FileName;
use super::spare::{Claim, Spare, SpareSlot, prepare};
use crate::disk::blocks::Blocks;
use crate::disk::latch::Latch;
use crate::disk::{Disk, LogFile};
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
    pub(crate) file: Arc<dyn LogFile>,
    pub(crate) capacity: u64,
    /// Where the next group goes: everything before is durable.
    pub(crate) tail: u32,
    /// What stands in the tail's block before it: it is written again with the next group, byte for byte.
    pub(crate) begun: Vec<u8>,
}

/// A group that is made, and where it goes.
pub(crate) struct Pending {
    pub(crate) at: LogPosition,
    pub(crate) file: Arc<dyn LogFile>,
    /// Of its first block in the file.
    pub(crate) offset: u64,
    /// Where the next group may start, counted from `offset`.
    end: usize,
    /// Checksum of its header.
    link: u32,
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
    /// 1. the header is written, durably, while the file still has its spare name;
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
            begun: Vec::new(),
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
        let mut block = Blocks::with_capacity(EXTENT_HEADER_BYTES);
        block.extend_from_slice(&header.encode());
        spare.file.write(0, &block).map_err(io("write the header of"))?;
        let path = FileName::Extent(header.extent).in_dir(&self.dir);
        self.disk.rename(&spare.path, &path).map_err(io("rename"))?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(|source| StorageError::io("sync", &self.dir, source))
    }

    /// Completes a group: `blocks` as [`LogWriter::start_group`] began them, then the transactions. It may then be written.
    ///
    /// # Panics
    /// If it does not fit: [`LogWriter::fits`] comes first.
    pub(crate) fn seal(&self, blocks: &mut Blocks, transaction_count: u32) -> Pending {
        let open = self.open.as_ref().expect("a group is begun in an extent");
        let begun = open.begun.len();
        let length = blocks.len() - begun;
        assert!(
            u64::from(open.tail) + length as u64 <= open.capacity,
            "a group is written only where it fits"
        );
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
        let header = header.seal(open.salt, &mut blocks[begun..]);
        let end = begun + header.span();
        blocks.pad_to(end.next_multiple_of(BLOCK_BYTES));
        Pending {
            at,
            file: Arc::clone(&open.file),
            offset: u64::from(at.byte) - begun as u64,
            end,
            link: header.link,
        }
    }

    /// What becomes of the store when a group was written, or was not.
    pub(crate) fn durable(&self, pending: &Pending, written: io::Result<()>) -> Result<(), StorageError> {
        self.latch
            .guard(|| written.map_err(|e| StorageError::io("write", pending.file.path(), e)))
    }

    /// The group is durable: the next one goes behind it.
    pub(crate) fn landed(&mut self, pending: &Pending, blocks: &Blocks) {
        let open = self.open.as_mut().expect("a group is begun in an extent");
        // Groups start on multiples of eight; a capacity is one of whole blocks, so the tail never passes it.
        open.tail = (pending.offset + pending.end as u64) as u32;
        open.begun.clear();
        open.begun
            .extend_from_slice(&blocks[pending.end / BLOCK_BYTES * BLOCK_BYTES..pending.end]);
        self.state.chain = pending.link;
        self.state.group_number += 1;
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

    /// Begins a group: what stands in its first block before it, and the header's place. Returns where its transactions go.
    pub(crate) fn start_group(&self, group: &mut Blocks) -> usize {
        group.clear();
        if let Some(open) = &self.open {
            group.extend_from_slice(&open.begun);
        }
        group.pad_to(group.len() + GROUP_HEADER_BYTES);
        group.len()
    }
}

/// A number that nobody can foresee.
fn random() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish() as u32
}

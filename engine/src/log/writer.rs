//! Writes the log's next group, and its next extent when the open one is full.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::prepared::filling::{Filled, Shape, due, prepare};
use super::prepared::{LogFolder, Preparation, PreparedExtent, PreparedSlot};
use crate::directory::names::FileName;
use crate::disk::blocks::Blocks;
use crate::disk::{LogFile, STEP_BYTES};
use crate::error::StorageError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState, common_salt};
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::format::log_start::LogStart;
use crate::limits::{BLOCK_BYTES, EXTENT_BYTES_MIN};
use streamkit_record::LogPosition;

/// An extent takes at most this part of the log, since that much may be zeros in the open and in the prepared one.
const LOG_PER_EXTENT: u64 = 6;

/// But at least this much, once the first ones are full: a log of many small extents takes longer to read.
const GROWING_BYTES: u64 = 4 << 20;

/// The open end of a store's log.
pub(crate) struct LogWriter {
    pub(crate) folder: LogFolder,
    pub(crate) spare: Arc<PreparedSlot>,
    /// Where in the open extent the next one is to be filled further.
    pub(crate) prepare_at: u64,
    pub(crate) extent_bytes: u64,
    /// Bytes of all extents, the open one among them.
    pub(crate) log_bytes: u64,
    /// Whether the last extent wished for found no room.
    pub(crate) disk_is_full: bool,
    /// Whether other hosts write the same log: extents have the sizes and salts that they have there, or there are none. Then
    /// places are the same, and so are the files of what is sealed.
    pub(crate) is_replica: bool,
    /// When it was last checked that the open extent is in its place.
    pub(crate) looked_at: Cell<Option<Instant>>,
    /// The open extent, unless the store was never written to.
    pub(crate) open: Option<OpenExtent>,
    /// The state after the last group made, which the next one must continue.
    pub(crate) state: LogState,
}

/// The extent that takes the next group.
pub(crate) struct OpenExtent {
    pub(crate) header: ExtentHeader,
    pub(crate) file: Arc<dyn LogFile>,
    /// Everything before is durable.
    pub(crate) durable: u32,
    /// The end of the last group made. Beyond `durable` while groups are under way.
    pub(crate) made: u32,
    /// What stands in `made`'s block before it, when nothing is under way: it is written again with the next group, byte for
    /// byte.
    pub(crate) begun: Vec<u8>,
    /// Where this process began to write in it.
    pub(crate) from: u32,
    /// Groups that it made since.
    pub(crate) groups: u32,
}

/// A group that was made, and its place.
pub(crate) struct PendingWrite {
    pub(crate) at: LogPosition,
    pub(crate) file: Arc<dyn LogFile>,
    /// Of its first block in the file.
    pub(crate) offset: u64,
    /// Where the next group may start, counted from `offset`.
    end: usize,
}

/// The next extent is to be filled further.
pub(crate) struct DuePreparation {
    pub(crate) preparation: Preparation,
    pub(crate) folder: LogFolder,
}

/// Groups from which on, in the mean, an extent is better allocated than filled with zeros: 288 KiB at a time went at 190 to
/// 230 MB/s into an allocated file, at 270 to 300 into one of zeros that had to be written first at 300
/// (docs/decisions/2026-11-25-commit-path.md).
const LARGE_GROUP_BYTES: u32 = 128 << 10;

impl OpenExtent {
    fn takes_large_groups(&self) -> bool {
        self.groups > 0 && (self.made - self.from) / self.groups >= LARGE_GROUP_BYTES
    }

    /// Where the next group starts. While another is under way, it starts in a new block: two writes of one block
    /// could end in either order.
    fn next(&self) -> u32 {
        if self.made == self.durable {
            self.made
        } else {
            self.made.next_multiple_of(BLOCK_BYTES as u32)
        }
    }
}

impl LogWriter {
    /// Whether a group of these bytes fits into the open extent.
    pub(crate) fn fits(&self, group_bytes: usize) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| u64::from(open.next()) + group_bytes as u64 <= open.header.capacity)
    }

    /// Whether all groups made have landed.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.made == open.durable)
    }

    /// Logs once why producers are refused, until that changes.
    pub(crate) fn note_refusal(&self, why: Option<&StorageError>) {
        let was_refused = self.folder.latch.refuse(why);
        if let (Some(cause), false) = (why, was_refused) {
            tracing::warn!(store = %self.folder.store, %cause, "the log cannot be made ready for the next group: appends are refused until it can");
        }
    }

    fn next_number(&self) -> u64 {
        LogStart::WHOLE.next_behind(self.open.as_ref().map(|open| open.header.extent))
    }

    /// The size of the next extent. Extents grow with the log, so that the zeros in the last ones stay a small part of
    /// it.
    fn next_capacity(&self) -> u64 {
        let Some(open) = &self.open else {
            return EXTENT_BYTES_MIN;
        };
        let grown = (self.log_bytes / LOG_PER_EXTENT).max(GROWING_BYTES) / EXTENT_BYTES_MIN * EXTENT_BYTES_MIN;
        // In a folder whose extents were allowed to be larger once, the next ones are not.
        grown
            .min(open.header.capacity.saturating_mul(4))
            .clamp(EXTENT_BYTES_MIN, self.extent_bytes)
    }

    fn next_shape(&self, capacity: u64) -> Shape {
        let open = self.open.as_ref();
        Shape {
            extent: self.next_number(),
            capacity,
            allocated: open.is_some_and(OpenExtent::takes_large_groups),
        }
    }

    /// What to do now for the next extent, if anything and nobody does already.
    pub(crate) fn due_preparation(&mut self) -> Option<DuePreparation> {
        let next_capacity = self.next_capacity();
        let open = self.open.as_ref()?;
        let tail = u64::from(open.durable);
        if tail < self.prepare_at {
            return None;
        }
        let due = due(tail, open.header.capacity, next_capacity);
        if due == 0 {
            return None;
        }
        // The next step is due when as much of this extent is filled as it is of the next.
        self.prepare_at = tail + (STEP_BYTES as u64 * open.header.capacity / next_capacity).max(BLOCK_BYTES as u64);
        let preparation = self.spare.preparation(self.next_shape(next_capacity), due)?;
        let folder = self.folder.clone();
        Some(DuePreparation { preparation, folder })
    }

    /// Adds an extent that a group of these bytes fits in, once all groups have landed. Its file exists with a durable
    /// name; its header makes it part of the log before the first group in it is written. A crash leaves either no new
    /// extent or one with no group.
    pub(crate) fn roll(&mut self, group_bytes: usize) -> Result<(), StorageError> {
        assert!(self.is_settled(), "an extent is sealed when all its groups have landed");
        self.folder.latch.check()?;
        let number = self.next_number();
        let needed = (EXTENT_HEADER_BYTES + group_bytes).next_multiple_of(BLOCK_BYTES) as u64;
        let spare = match self.spare.take(&self.folder).filter(|spare| spare.extent == number) {
            Some(spare) if spare.capacity >= needed => spare,
            Some(small) => match self.prepare_now(needed) {
                Ok(large) => large.name(&self.folder)?,
                // It stays for smaller groups if there is no room for a larger one, which has not touched it.
                Err(error) => {
                    self.spare.put_back(small);
                    return Err(error);
                }
            },
            None => self.prepare_now(needed)?.name(&self.folder)?,
        };
        // Nothing is written yet: what is prepared stays so.
        let (spare, file) = match self.open_spare(&spare) {
            Ok(file) => (spare, file),
            Err(error) => {
                self.spare.put_back(spare);
                return Err(error);
            }
        };
        let header = ExtentHeader {
            store: self.folder.store,
            extent: number,
            begun: true,
            first_extent: LogStart::WHOLE.extent(),
            capacity: spare.capacity,
            previous_end: self.open.as_ref().map_or(0, |open| open.durable),
            salt: match self.is_replica {
                true => common_salt(self.folder.store, number, &self.state),
                false => self.folder.disk.random(),
            },
            state: self.state,
            durable: 0,
        };
        self.folder.latch.guard(|| {
            let written = file.write(0, &Blocks::from(header.encode().as_slice()));
            let path = FileName::Extent(number).in_dir(&self.folder.dir);
            written.map_err(|source| StorageError::io("write the header of", path, source))
        })?;
        self.prepare_at = 0;
        self.log_bytes += header.capacity;
        self.open = Some(OpenExtent {
            header,
            file,
            durable: EXTENT_HEADER_BYTES as u32,
            made: EXTENT_HEADER_BYTES as u32,
            begun: Vec::new(),
            from: EXTENT_HEADER_BYTES as u32,
            groups: 0,
        });
        Ok(())
    }

    /// Prepares an extent that is needed now. On a full disk a minimal one may still find room. Until it does, nothing
    /// larger is tried: that would fill all the remaining space with zeros each time.
    fn prepare_now(&mut self, needed: u64) -> Result<Filled, StorageError> {
        let smallest = needed.max(EXTENT_BYTES_MIN);
        let wished = if self.disk_is_full && !self.is_replica {
            smallest
        } else {
            smallest.max(self.next_capacity())
        };
        let mut made = prepare(&self.folder, self.next_shape(wished));
        let too_large = |error: &StorageError| match error {
            StorageError::Io { source, .. } => error.is_full() || source.kind() == io::ErrorKind::FileTooLarge,
            _ => false,
        };
        if wished > smallest && !self.is_replica && made.as_ref().is_err_and(too_large) {
            made = prepare(&self.folder, self.next_shape(smallest));
        }
        let was_full = std::mem::replace(&mut self.disk_is_full, made.as_ref().is_err_and(StorageError::is_full));
        // The producers are told only that the disk is full; that some of it is to stay free, nobody else would say.
        if let (Err(cause), true, false) = (&made, self.disk_is_full, was_full) {
            tracing::warn!(store = %self.folder.store, %cause, "no room for the next extent: appends are refused until there is");
        }
        made
    }

    fn open_spare(&self, spare: &PreparedExtent) -> Result<Arc<dyn LogFile>, StorageError> {
        if let Some(file) = &spare.file {
            return Ok(Arc::clone(file));
        }
        let path = FileName::Extent(spare.extent).in_dir(&self.folder.dir);
        let opened = self.folder.disk.open_log(&path, false);
        let taken = opened.and_then(|file| file.take().map(|()| file));
        taken.map_err(|source| StorageError::io("open", path, source))
    }

    /// Begins a group: what stands in its first block before it, and the header's place. Returns where its transactions go.
    pub(crate) fn start_group(&self, group: &mut Blocks) -> usize {
        group.clear();
        if let Some(open) = &self.open
            && open.made == open.durable
        {
            group.extend_from_slice(&open.begun);
        }
        group.pad_to(group.len() + GROUP_HEADER_BYTES);
        group.len()
    }

    /// Completes a group: `blocks` as [`LogWriter::start_group`] began them, then the transactions, which `state` counts in
    /// already. It may then be written, and the next one be made, which continues this.
    ///
    /// # Panics
    /// If it does not fit: [`LogWriter::fits`] comes first.
    pub(crate) fn seal(&mut self, blocks: &mut Blocks, transaction_count: u32) -> PendingWrite {
        if self.is_settled() {
            self.folder.latch.waits(Some(Instant::now()));
        }
        let open = self.open.as_mut().expect("a group is begun in an extent");
        let next = open.next();
        let begun = next as usize % BLOCK_BYTES;
        let length = blocks.len() - begun;
        assert!(
            u64::from(next) + length as u64 <= open.header.capacity,
            "a group is written only where it fits"
        );
        let at = |byte| LogPosition {
            extent: open.header.extent,
            byte,
        };
        let header = GroupHeader {
            body_crc: 0,
            body_bytes: 0,
            chain: self.state.chain,
            transaction_count,
            number: self.state.group_number + 1,
            epoch: self.state.epoch,
            durable: at(open.durable),
            extent: open.header.extent as u32,
            writer: Uuid::nil(),
            link: 0,
        };
        let header = header.seal(open.header.salt, &mut blocks[begun..]);
        let end = begun + header.span();
        blocks.pad_to(end.next_multiple_of(BLOCK_BYTES));
        let pending = PendingWrite {
            at: at(next),
            file: Arc::clone(&open.file),
            offset: u64::from(next) - begun as u64,
            end,
        };
        // Groups start on multiples of eight; a capacity is one of whole blocks, so the end never passes it.
        open.made = (pending.offset + end as u64) as u32;
        open.groups += 1;
        self.state.chain = header.link;
        self.state.group_number = header.number;
        pending
    }

    /// The effect on the store of a group's write, successful or not.
    pub(crate) fn confirm(&self, pending: &PendingWrite, written: io::Result<()>) -> Result<(), StorageError> {
        self.folder.latch.guard(|| {
            // Not the file's own path: that may be the one it had before it became the extent.
            let path = FileName::Extent(pending.at.extent).in_dir(&self.folder.dir);
            let written = written.map_err(|e| StorageError::io("write", path, e));
            written.inspect_err(|_| self.leave_mark())?;
            self.check_place(pending)
        })
    }

    /// Notes how far the extent is durable, where a write that failed may have damaged what stood beside it.
    fn leave_mark(&self) {
        const TRIES: usize = 3;
        let Some(open) = &self.open else { return };
        let header = ExtentHeader {
            durable: open.durable,
            ..open.header
        };
        let block = Blocks::from(header.encode().as_slice());
        let mut left = Ok(());
        for _ in 0..TRIES {
            left = open.file.write(0, &block);
            if left.is_ok() {
                return;
            }
        }
        if let Err(error) = left {
            tracing::error!(
                store = %self.folder.store, extent = open.header.extent, durable = open.durable, %error,
                "could not note how far the log is durable: where the write that failed damaged what was written before, \
                 the next start may take it for torn"
            );
        }
    }

    /// The oldest group under way is durable.
    pub(crate) fn landed(&mut self, pending: &PendingWrite, blocks: &Blocks) {
        let open = self.open.as_mut().expect("a group is begun in an extent");
        open.durable = (pending.offset + pending.end as u64) as u32;
        if open.durable == open.made {
            open.begun.clear();
            open.begun
                .extend_from_slice(&blocks[pending.end / BLOCK_BYTES * BLOCK_BYTES..pending.end]);
        }
        self.folder.latch.waits((!self.is_settled()).then(Instant::now));
    }

    /// Everything before it is durable.
    pub(crate) fn tail(&self) -> LogPosition {
        self.open
            .as_ref()
            .map_or(LogStart::WHOLE.position(), |open| LogPosition {
                extent: open.header.extent,
                byte: open.durable,
            })
    }
}

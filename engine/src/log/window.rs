//! Reads transactions of one extent by position: many per read where they stand close together, and one at a time
//! where they do not. It checks each before use, and entries share the bytes read, without another copy.
//!
//! **Memory of a kept entry.** An entry keeps the allocation it was read into: its transaction alone if that is large,
//! else up to [`READ_BYTES_MAX`] with its neighbours, or [`CHUNK_BYTES`] with others of its scan.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::extents::Extents;
use super::recent::PIECE_BYTES_MAX;
use crate::disk::DiskFile;
use crate::error::{DamagedPlace, SegmentsHit, StorageError};
use crate::format::FormatError;
use crate::format::transaction::{TRANSACTION_HEADER_BYTES, TransactionHeader, open_transaction, take_transaction};
use crate::limits::TRANSACTION_ENCODED_BYTES_MAX;
use streamkit_record::{LogPosition, StoreId};

/// Bytes from the first to the last of transactions that are read at once.
pub(crate) const SPAN_BYTES_MAX: usize = 256 << 10;
/// Bytes read at once, unless one transaction has more.
const READ_BYTES_MAX: usize = SPAN_BYTES_MAX + SMALL_BYTES;
/// Bytes of memory that small reads share.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of the first chunk, which is all that a point read needs.
const FIRST_CHUNK_BYTES: usize = GUESS_BYTES;
/// Bytes up to which a read is small.
const SMALL_BYTES: usize = CHUNK_BYTES / 4;
/// What a transaction is taken to have before one was seen: a second read costs more than a page.
const GUESS_BYTES: usize = 4 << 10;
/// What is read has a multiple of so many bytes.
const STEP_BYTES: usize = 512;

const _: () = assert!(
    PIECE_BYTES_MAX <= READ_BYTES_MAX,
    "what an entry keeps is the same wherever it comes from"
);

/// Bytes of one extent in memory.
pub(crate) struct Window {
    store: StoreId,
    extent: u64,
    /// Opened when first needed: what was committed last may be in memory.
    file: Option<Arc<dyn DiskFile>>,
    size: Option<u64>,
    start: u64,
    bytes: Bytes,
    /// Whether the checksums in `bytes` were made by this process, just now.
    checked: bool,
    /// Room for the next small reads.
    chunk: BytesMut,
    chunk_bytes: usize,
    /// About as many bytes as the last transactions had.
    typical: usize,
    /// The transaction checked last: its place and header, so that its other sections are not checked again.
    last: Option<(u32, TransactionHeader)>,
}

/// A checked transaction within a window's bytes.
pub(crate) struct Located {
    /// Where it stands in the log.
    pub(crate) at: LogPosition,
    pub(crate) header: TransactionHeader,
    /// The window's bytes; entries are slices of them.
    pub(crate) buffer: Bytes,
    /// Where the transaction starts in `buffer`.
    pub(crate) start: usize,
}

impl Located {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.header.length as usize]
    }

    /// The same, sharing the buffer.
    pub(crate) fn transaction(&self) -> Bytes {
        self.buffer.slice(self.start..self.start + self.header.length as usize)
    }
}

impl Window {
    pub(crate) fn new(store: StoreId, extent: u64) -> Self {
        Self {
            store,
            extent,
            file: None,
            size: None,
            start: 0,
            bytes: Bytes::new(),
            checked: false,
            chunk: BytesMut::new(),
            chunk_bytes: FIRST_CHUNK_BYTES,
            typical: GUESS_BYTES,
            last: None,
        }
    }

    pub(crate) fn extent(&self) -> u64 {
        self.extent
    }

    /// For transactions like those of this one.
    pub(crate) fn beside(&self) -> Self {
        Self {
            typical: self.typical,
            chunk_bytes: self.chunk_bytes,
            ..Self::new(self.store, self.extent)
        }
    }

    /// Goes on in another extent, with the memory it has.
    pub(crate) fn turn_to(&mut self, extent: u64) {
        if self.extent == extent {
            return;
        }
        (self.extent, self.file, self.size, self.last) = (extent, None, None, None);
        // The bytes stay for their memory: see `reuse`.
        self.start = u64::MAX;
    }

    /// Damage at a byte of this extent.
    pub(crate) fn damage(&self, byte: u32, found: FormatError) -> StorageError {
        StorageError::Corrupt {
            store: self.store,
            place: DamagedPlace::Extent {
                extent: self.extent,
                byte: u64::from(byte),
            },
            found: found.to_string(),
            segments: SegmentsHit::Unknown,
        }
    }

    /// The transaction at `byte`. When it is not in memory, it is read, and with it those that start in the `close()` bytes
    /// after that.
    pub(crate) fn transaction(
        &mut self,
        extents: &Extents,
        byte: u32,
        close: impl FnOnce() -> usize,
    ) -> Result<Located, StorageError> {
        let known = self.last.filter(|&(at, _)| at == byte);
        if known.is_none() && !self.holds(byte) {
            let position = self.position(byte);
            if let Some((start, bytes)) = extents.recent.find(position) {
                (self.start, self.bytes, self.checked) = (u64::from(start), bytes, true);
            } else {
                self.read(extents, byte, close())?;
                self.checked = false;
            }
        }
        let start = (u64::from(byte) - self.start) as usize;
        let header = match known {
            Some((_, header)) => header,
            None => {
                let open = if self.checked {
                    take_transaction
                } else {
                    open_transaction
                };
                let (header, _) = open(&self.bytes[start..]).map_err(|e| self.damage(byte, e))?;
                self.last = Some((byte, header));
                header
            }
        };
        Ok(Located {
            at: self.position(byte),
            header,
            buffer: self.bytes.clone(),
            start,
        })
    }

    /// Whether the bytes in memory hold all of the transaction at `byte`.
    fn holds(&self, byte: u32) -> bool {
        let from = u64::from(byte).checked_sub(self.start);
        let bytes = from.and_then(|from| self.bytes.get(usize::try_from(from).ok()?..));
        bytes.is_some_and(|bytes| match bytes.first_chunk() {
            Some(length) => bytes.len() >= TRANSACTION_HEADER_BYTES.max(u32::from_le_bytes(*length) as usize),
            None => false,
        })
    }

    fn read(&mut self, extents: &Extents, byte: u32, close: usize) -> Result<(), StorageError> {
        self.last = None;
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(extents.file(self.extent)?)),
        };
        let read = |at: usize, buffer: &mut [u8]| {
            let read = file.read_at(u64::from(byte) + at as u64, buffer);
            read.map_err(|e| StorageError::io("read", file.path(), e))
        };
        let close = close.min(SPAN_BYTES_MAX);
        let wanted = close + self.guess(close > 0);
        let small = wanted <= SMALL_BYTES;
        let mut buffer = if small { self.chunk(wanted) } else { self.reuse(wanted) };
        // Extents never change their size: a read that comes back short has met the file's end, where none should be.
        let mut got = read(0, &mut buffer[..wanted])?;
        let header = TransactionHeader::decode(&buffer[..got]).map_err(|e| self.damage(byte, e))?;
        let length = header.length as usize;
        let mut shared = small;
        if length > got {
            // A length comes from the disk: it must not make us take memory for what cannot be.
            let possible = length <= TRANSACTION_ENCODED_BYTES_MAX
                && (length <= SPAN_BYTES_MAX || self.may_have(&*file, byte, length)?);
            if got < wanted || !possible {
                return Err(self.damage(byte, FormatError::Short));
            }
            if length > buffer.len() {
                let mut larger = self.reuse(length);
                larger[..got].copy_from_slice(&buffer[..got]);
                if small {
                    self.chunk = buffer;
                }
                (buffer, shared) = (larger, false);
            }
            got += read(got, &mut buffer[got..length])?;
            if got < length {
                return Err(self.damage(byte, FormatError::Short));
            }
        }
        self.typical = length.max(self.typical - self.typical / 4);
        // Where nothing else is close, the rest is of no use, and the next read may have its room.
        let kept = if close > 0 { got } else { length };
        self.bytes = buffer.split_to(kept).freeze();
        self.start = u64::from(byte);
        if shared {
            self.chunk = buffer;
        }
        Ok(())
    }

    /// Bytes to read of a transaction whose length is not known. Behind others a large one is left to a read of its own,
    /// and one that is larger than a read gets a second one, of just its length.
    fn guess(&self, behind_others: bool) -> usize {
        let typical = self.typical.next_multiple_of(STEP_BYTES);
        match behind_others {
            true => typical.min(SMALL_BYTES),
            false if typical > SPAN_BYTES_MAX => STEP_BYTES,
            false => typical,
        }
    }

    /// Whether the file is long enough for a transaction of this length. Its size is asked for once.
    fn may_have(&mut self, file: &dyn DiskFile, byte: u32, length: usize) -> Result<bool, StorageError> {
        let size = match self.size {
            Some(size) => size,
            None => {
                let size = file.size();
                *self
                    .size
                    .insert(size.map_err(|e| StorageError::io("read the size of", file.path(), e))?)
            }
        };
        Ok(u64::from(byte) + length as u64 <= size)
    }

    /// At least so many bytes of the chunk, or of a new one: each is larger than the one before, up to the most.
    fn chunk(&mut self, bytes: usize) -> BytesMut {
        if self.chunk.len() < bytes {
            self.chunk = BytesMut::zeroed(self.chunk_bytes.max(bytes));
            self.chunk_bytes = (self.chunk_bytes * 4).min(CHUNK_BYTES);
        }
        std::mem::take(&mut self.chunk)
    }

    /// A buffer of just so many bytes: that of the last read, if nobody else keeps it, which need not be filled with zeros.
    fn reuse(&mut self, bytes: usize) -> BytesMut {
        match std::mem::take(&mut self.bytes).try_into_mut() {
            Ok(mut buffer) if (bytes..=bytes.max(READ_BYTES_MAX)).contains(&buffer.capacity()) => {
                buffer.resize(bytes, 0);
                buffer
            }
            _ => BytesMut::zeroed(bytes),
        }
    }

    pub(crate) fn position(&self, byte: u32) -> LogPosition {
        LogPosition {
            extent: self.extent,
            byte,
        }
    }
}

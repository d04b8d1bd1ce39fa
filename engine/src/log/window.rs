//! Reads transactions of one extent by position, many per read where they stand close together. Each is checked before
//! it is believed, and entries share the bytes that were read: nothing is copied a second time.

use std::sync::Arc;

use bytes::Bytes;

use crate::disk::DiskFile;
use crate::error::StorageError;
use crate::format::FormatError;
use crate::format::transaction::{TRANSACTION_HEADER_BYTES, TransactionHeader, open_transaction};
use crate::limits::TRANSACTION_ENCODED_BYTES_MAX;
use crate::model::{LogPosition, StoreId};

/// Bytes of one extent in memory.
pub(crate) struct Window {
    store: StoreId,
    extent: u64,
    file: Arc<dyn DiskFile>,
    start: u64,
    bytes: Bytes,
    /// The transaction checked last: its place and header, so that its other sections are not checked again.
    last: Option<(u32, TransactionHeader)>,
}

/// A checked transaction within a window's bytes.
pub(crate) struct Located {
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
}

impl Window {
    pub(crate) fn new(store: StoreId, extent: u64, file: Arc<dyn DiskFile>) -> Self {
        Self {
            store,
            extent,
            file,
            start: 0,
            bytes: Bytes::new(),
            last: None,
        }
    }

    pub(crate) fn extent(&self) -> u64 {
        self.extent
    }

    /// Damage at a byte of this extent.
    pub(crate) fn damage(&self, byte: u32, found: FormatError) -> StorageError {
        StorageError::Corrupt {
            store: self.store,
            extent: self.extent,
            byte: u64::from(byte),
            found: found.to_string(),
        }
    }

    /// The transaction at `byte`. When it is not in memory, about `read_ahead()` bytes from there are read.
    pub(crate) fn transaction(&mut self, byte: u32, read_ahead: impl Fn() -> usize) -> Result<Located, StorageError> {
        self.ensure(byte, TRANSACTION_HEADER_BYTES, &read_ahead)?;
        let start = (u64::from(byte) - self.start) as usize;
        if let Some((at, header)) = self.last
            && at == byte
            && self.bytes.len() >= start + header.length as usize
        {
            return Ok(Located {
                header,
                buffer: self.bytes.clone(),
                start,
            });
        }
        let header = TransactionHeader::decode(&self.bytes[start..]).map_err(|e| self.damage(byte, e))?;
        // A length comes from the disk: it must not make us read what no transaction can be.
        if header.length as usize > TRANSACTION_ENCODED_BYTES_MAX {
            return Err(self.damage(byte, FormatError::Invalid("a transaction longer than any may be")));
        }
        self.ensure(byte, header.length as usize, &read_ahead)?;
        let start = (u64::from(byte) - self.start) as usize;
        let (header, _) = open_transaction(&self.bytes[start..]).map_err(|e| self.damage(byte, e))?;
        self.last = Some((byte, header));
        Ok(Located {
            header,
            buffer: self.bytes.clone(),
            start,
        })
    }

    fn ensure(&mut self, byte: u32, length: usize, read_ahead: &impl Fn() -> usize) -> Result<(), StorageError> {
        let at = u64::from(byte);
        if self.start <= at && at + length as u64 <= self.start + self.bytes.len() as u64 {
            return Ok(());
        }
        let size = self
            .file
            .size()
            .map_err(|e| StorageError::io("read the size of", self.file.path(), e))?;
        let available = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX);
        if available < length {
            return Err(self.damage(byte, FormatError::Short));
        }
        let mut bytes = vec![0; length.max(read_ahead()).min(available)];
        let read = self.file.read_at(at, &mut bytes);
        let read = read.map_err(|e| StorageError::io("read", self.file.path(), e))?;
        bytes.truncate(read);
        if read < length {
            return Err(self.damage(byte, FormatError::Short));
        }
        self.start = at;
        self.bytes = bytes.into();
        self.last = None;
        Ok(())
    }

    pub(crate) fn position(&self, byte: u32) -> LogPosition {
        LogPosition {
            extent: self.extent,
            byte,
        }
    }
}

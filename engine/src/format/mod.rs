//! Bytes ↔ values of format version 1 (docs/FORMAT.md). Pure: no I/O, no clock. All numbers are little-endian, all
//! checksums CRC-32 (IEEE 802.3). Decoders take any bytes, never panic, and never allocate past their input.

pub(crate) mod checkpoint;
pub mod extent_header;
pub mod group;
pub mod index;
pub(crate) mod log_start;
pub mod run;
pub mod transaction;

use crate::limits::FORMAT_VERSION;

/// Why bytes are not what their place demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end too early.
    #[error("it ends too early")]
    Short,
    /// Something else stands here, or nothing.
    #[error("the magic bytes are missing")]
    Magic,
    /// A newer version wrote it.
    #[error("it has format version {0}, which is newer than this program")]
    Version(u16),
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The checksum matches, but the bytes break the rules of the format.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Takes numbers and slices off the front of bytes.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// What each file begins with: its magic bytes and the format's version, which is looked at before anything else is. What two bytes
    /// say that each kind of file has for itself.
    pub(crate) fn file_prefix(&mut self, magic: [u8; 8]) -> Result<u16, FormatError> {
        if self.array::<8>()? != magic {
            return Err(FormatError::Magic);
        }
        match self.u16()? {
            ..=FORMAT_VERSION => self.u16(),
            newer => Err(FormatError::Version(newer)),
        }
    }

    pub(crate) fn slice(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(length).ok_or(FormatError::Short)?;
        let slice = self.bytes.get(self.at..end).ok_or(FormatError::Short)?;
        self.at = end;
        Ok(slice)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let slice = self.slice(N)?;
        slice.try_into().map_err(|_| FormatError::Short)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, FormatError> {
        Ok(i64::from_le_bytes(self.array()?))
    }
}

/// Bytes up to the next multiple of eight, on which groups start.
pub const fn align_group(byte: usize) -> usize {
    (byte + 7) & !7
}

//! Bytes ↔ values of format version 1 (docs/FORMAT.md). Pure: no I/O, no clock. All numbers are little-endian, all
//! checksums CRC-32 (IEEE 802.3). Decoders take any bytes, never panic, and never allocate past their input.

pub(crate) mod archive;
pub(crate) mod checkpoint;
pub mod extent_header;
pub mod group;
pub mod index;
pub(crate) mod log_start;
pub mod run;

pub(crate) use streamkit_record::Cursor;
pub use streamkit_record::{FormatError, transaction};

use crate::limits::FORMAT_VERSION;

/// What each file begins with: its magic bytes and the format's version, which is looked at before anything else is. What two bytes say
/// that each kind of file has for itself.
pub(crate) fn file_prefix(cursor: &mut Cursor<'_>, magic: [u8; 8]) -> Result<u16, FormatError> {
    if cursor.array::<8>()? != magic {
        return Err(FormatError::Magic);
    }
    match cursor.u16()? {
        ..=FORMAT_VERSION => cursor.u16(),
        newer => Err(FormatError::Version(newer)),
    }
}

/// Bytes up to the next multiple of eight, on which groups start.
pub const fn align_group(byte: usize) -> usize {
    (byte + 7) & !7
}

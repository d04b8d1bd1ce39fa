//! The place behind an entry, as a cursor holds it: the number of its transaction, where that stands, how many of its records stand before
//! the place, and its checksum. The checksum covers number and time too: two logs that differ before a place differ at it.

use bytes::Bytes;

use crate::format::transaction::{Section, TRANSACTION_HEADER_BYTES, TransactionHeader};
use crate::format::{Cursor, FormatError};
use streamkit_record::{LogCursor, LogPosition};

/// Version of the encoding, the first byte.
const VERSION: u8 = 1;

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(super) number: u64,
    pub(super) crc: u32,
    pub(super) at: LogPosition,
    /// Records of the transaction, of all its sections, before this place.
    pub(super) records: u32,
}

impl Place {
    /// Before the first transaction, which has number 1.
    pub(super) const BEGINNING: Self = Self {
        number: 0,
        crc: 0,
        at: LogPosition { extent: 0, byte: 0 },
        records: 0,
    };

    /// Whether a cursor stands there: the empty one does, too.
    pub(super) fn is_beginning(cursor: &LogCursor) -> bool {
        cursor.bytes().is_empty() || Self::of(cursor) == Some(Self::BEGINNING)
    }

    /// Behind so many records of a transaction.
    pub(super) fn behind(at: LogPosition, header: &TransactionHeader, records: u32) -> Self {
        Self {
            number: header.number,
            crc: header.crc,
            at,
            records,
        }
    }

    pub(super) fn cursor(&self) -> LogCursor {
        let mut out = Vec::with_capacity(29);
        out.push(VERSION);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.at.extent.to_le_bytes());
        out.extend_from_slice(&self.at.byte.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        LogCursor::new(Bytes::from(out)).unwrap_or_default() // it has 29 bytes
    }

    /// The place of a cursor; `None`: it is none of this engine.
    pub(super) fn of(cursor: &LogCursor) -> Option<Self> {
        let mut from = Cursor::new(cursor.bytes());
        let mut take = || -> Result<Option<Self>, FormatError> {
            if from.u8()? != VERSION {
                return Ok(None);
            }
            let (number, crc) = (from.u64()?, from.u32()?);
            let (extent, byte) = (from.u64()?, from.u32()?);
            let place = Self {
                number,
                crc,
                at: LogPosition { extent, byte },
                records: from.u32()?,
            };
            Ok((from.remaining() == 0).then_some(place))
        };
        take().ok().flatten()
    }

    /// Whether this is its transaction.
    pub(super) fn is_in(&self, header: &TransactionHeader) -> bool {
        (self.number, self.crc) == (header.number, header.crc) && self.records <= header.record_count
    }
}

/// A section of a transaction, and how many records stand before it.
#[derive(Clone, Copy)]
pub(super) struct Before {
    section: usize,
    pub(super) records: u32,
}

impl Before {
    /// The first section.
    pub(super) const FIRST: Self = Self {
        section: TRANSACTION_HEADER_BYTES,
        records: 0,
    };

    /// Goes on to the section at an offset.
    ///
    /// # Errors
    /// [`FormatError`]: no sections lead there.
    pub(super) fn go_to(mut self, transaction: &[u8], section: u32) -> Result<Self, FormatError> {
        while self.section < section as usize {
            let passed = Section::decode(transaction, self.section)?;
            self.records = self.records.saturating_add(passed.record_count);
            self.section += passed.length();
        }
        match self.section == section as usize {
            true => Ok(self),
            false => Err(FormatError::Invalid("a section where none begins")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_out_of_its_cursor_and_nothing_else_does() {
        let place = Place {
            number: 7,
            crc: 9,
            at: LogPosition { extent: 3, byte: 5000 },
            records: 11,
        };
        let cursor = place.cursor();
        assert_eq!(Place::of(&cursor), Some(place));
        let bytes = cursor.bytes();
        for end in 0..bytes.len() {
            let cut = LogCursor::new(bytes.slice(..end)).unwrap();
            assert_eq!(Place::of(&cut), None, "{end}");
        }
        let more = [bytes, &[0][..]].concat();
        let newer = [&[2], &bytes[1..]].concat();
        for other in [more, newer] {
            assert_eq!(Place::of(&LogCursor::new(other.into()).unwrap()), None);
        }
    }
}

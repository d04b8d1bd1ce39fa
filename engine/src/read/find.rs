//! Finds the place of a cursor in this log. Its transaction stands where it stood, or, in a log that was written anew, elsewhere under the
//! same number. Where another stands under that number, or none, the cursor is of another log.

use super::place::Place;
use crate::error::{StorageError, corrupt};
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::log_start::LogStart;
use crate::format::transaction::{TransactionHeader, take_transaction};
use crate::log::opened::StoreLog;
use crate::log::walk::{Step, Walk};
use crate::log::window::Window;
use streamkit_record::LogPosition;

impl Place {
    /// The same place in this log, before its durable `end`.
    ///
    /// # Errors
    /// [`StorageError::OtherLog`]: its transaction is not in this log. Others: what cannot be read may be what is looked for.
    pub(super) fn find(self, log: &StoreLog, window: &mut Window, end: LogPosition) -> Result<Self, StorageError> {
        match self.at < end && self.stands(log, window)? {
            true => Ok(self),
            false => self.find_by_number(log, end),
        }
    }

    /// Whether its transaction is where it says.
    fn stands(&self, log: &StoreLog, window: &mut Window) -> Result<bool, StorageError> {
        if self.at.extent < LogStart::WHOLE.extent() || self.at.byte < EXTENT_HEADER_BYTES as u32 {
            return Ok(false);
        }
        window.turn_to(self.at.extent);
        match window.transaction(&log.extents, self.at.byte, || 0) {
            // What is in memory was checked as the transactions that it is, which need not be at this byte.
            Ok(found) => Ok(self.is_in(&found.header) && crc32fast::hash(&found.bytes()[8..]) == self.crc),
            // Anything may stand there: the walk below says what is damage.
            Err(StorageError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn find_by_number(self, log: &StoreLog, end: LogPosition) -> Result<Self, StorageError> {
        let first = LogStart::WHOLE.extent();
        if end.extent < first || self.number == 0 {
            return Err(StorageError::OtherLog);
        }
        let (mut low, mut high) = (first, end.extent);
        while low < high {
            let middle = high - (high - low) / 2;
            match log.extents.header(middle)?.1.state.trx_number < self.number {
                true => low = middle,
                false => high = middle - 1,
            }
        }
        let extent = low;
        let (file, header) = log.extents.header(extent)?;
        let byte = EXTENT_HEADER_BYTES as u32;
        let mut walk = Walk::new(file, header.salt, LogPosition { extent, byte }, header.state)?;
        while walk.at() < end {
            match walk.step()? {
                Step::Group { at, body, .. } => {
                    let start = at + GROUP_HEADER_BYTES as u32;
                    if let Some((byte, header)) = self.among(body).map_err(|error| {
                        corrupt(log.id, extent, start, error.to_string()) // it is whole, and yet holds none
                    })? {
                        let at = LogPosition {
                            extent,
                            byte: start + byte,
                        };
                        return match self.is_in(&header) {
                            true => Ok(Self { at, ..self }),
                            false => Err(StorageError::OtherLog),
                        };
                    }
                }
                Step::End { at, .. } if extent < end.extent => {
                    return match log.extents.header(extent + 1)?.1.previous_end == at {
                        true => Err(StorageError::OtherLog),
                        false => Err(corrupt(log.id, extent, at, "no whole group, though the extent goes on")),
                    };
                }
                Step::End { at, .. } => return Err(corrupt(log.id, extent, at, "no group, before the durable end")),
            }
        }
        Err(StorageError::OtherLog)
    }

    /// The first of a group's transactions that has this number, or a later one, and where it begins.
    fn among(&self, group: &[u8]) -> Result<Option<(u32, TransactionHeader)>, crate::format::FormatError> {
        let mut at = 0;
        while at < group.len() {
            let (header, transaction) = take_transaction(&group[at..])?;
            if header.number >= self.number {
                return Ok(Some((at as u32, header)));
            }
            at += transaction.len();
        }
        Ok(None)
    }
}

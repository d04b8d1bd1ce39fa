//! Finds the place of a cursor in this log. Its transaction stands where it stood, or, in a log that was written anew, elsewhere under the
//! same number. Where another stands under that number, or none, the cursor is of another log: also where a repair left out some of its
//! sections, since its checksum is another then.

use super::PART_BYTES;
use super::place::Place;
use crate::error::{StorageError, corrupt};
use crate::format::FormatError;
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::log_start::LogStart;
use crate::format::transaction::{TransactionHeader, take_transaction};
use crate::log::opened::StoreLog;
use crate::log::walk::{Step, Walk};
use crate::log::window::Window;
use streamkit_record::LogPosition;

/// A search for the place of a cursor.
pub(super) struct PlaceSearch {
    place: Place,
    /// Through the extent that has its number, unless it stands where it says.
    walk: Option<Walk>,
}

impl PlaceSearch {
    pub(super) fn new(place: Place) -> Self {
        Self { place, walk: None }
    }

    /// Looks through the next part of the log, before its durable `end`. `None`: there is more to look through.
    ///
    /// # Errors
    /// [`StorageError::OtherLog`]: its transaction is not in this log. Others: what cannot be read may be what is looked for.
    pub(super) fn go_on(
        &mut self,
        log: &StoreLog,
        window: &mut Window,
        end: LogPosition,
    ) -> Result<Option<Place>, StorageError> {
        let place = self.place;
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None if place.at < end && place.stands(log, window)? => return Ok(Some(place)),
            None => place.enter(log, end)?,
        };
        let found = place.find(log, &mut walk, end)?;
        self.walk = found.is_none().then_some(walk);
        Ok(found)
    }
}

impl Place {
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

    /// A walk through the extent that has its number.
    fn enter(&self, log: &StoreLog, end: LogPosition) -> Result<Walk, StorageError> {
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
        let (file, header) = log.extents.header(low)?;
        let start = LogPosition {
            extent: low,
            byte: EXTENT_HEADER_BYTES as u32,
        };
        Walk::new(file, header.salt, start, header.state)
    }

    /// Looks through a part of an extent; `None`: there is more of it.
    fn find(&self, log: &StoreLog, walk: &mut Walk, end: LogPosition) -> Result<Option<Self>, StorageError> {
        let LogPosition { extent, byte } = walk.at();
        let until = u64::from(byte) + PART_BYTES;
        while walk.at() < end {
            if u64::from(walk.at().byte) >= until {
                return Ok(None);
            }
            match walk.step()? {
                Step::Group { at, body, .. } => {
                    let start = at + GROUP_HEADER_BYTES as u32;
                    // The group is whole, and yet holds none.
                    let damage = |error: FormatError| corrupt(log.id, extent, start, error.to_string());
                    if let Some((byte, header)) = self.among(body).map_err(damage)? {
                        let byte = start + byte;
                        let at = LogPosition { extent, byte };
                        return match self.is_in(&header) {
                            true => Ok(Some(Self { at, ..*self })),
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
    fn among(&self, group: &[u8]) -> Result<Option<(u32, TransactionHeader)>, FormatError> {
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

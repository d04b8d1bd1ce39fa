//! Goes through the transactions of an extent.

use super::opened::StoreLog;
use super::walk::{Step, Walk};
use crate::error::{StorageError, corrupt};
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::transaction::{TransactionHeader, take_transaction};
use streamkit_record::LogPosition;

impl StoreLog {
    /// Calls `each` with all transactions of an extent whose groups end at `end`. Returns where those of the extent before it end.
    ///
    /// # Errors
    /// [`StorageError`]: some cannot be read.
    pub(super) fn each_transaction(
        &self,
        extent: u64,
        end: u32,
        mut each: impl FnMut(LogPosition, TransactionHeader),
    ) -> Result<u32, StorageError> {
        let (file, header) = self.extents.header(extent)?;
        let previous_end = header.previous_end;
        let start = LogPosition {
            extent,
            byte: EXTENT_HEADER_BYTES as u32,
        };
        let mut walk = Walk::new(file, header.salt, start, header.state)?;
        while walk.at().byte < end {
            match walk.step()? {
                Step::Group { at, body, .. } => {
                    let mut offset = 0;
                    while offset < body.len() {
                        let byte = at + GROUP_HEADER_BYTES as u32 + offset as u32;
                        let (header, transaction) = take_transaction(&body[offset..])
                            .map_err(|error| corrupt(self.id, extent, byte, error.to_string()))?;
                        each(LogPosition { extent, byte }, header);
                        offset += transaction.len();
                    }
                }
                Step::End { at, .. } => return Err(corrupt(self.id, extent, at, "no group, before the durable end")),
            }
        }
        Ok(previous_end)
    }
}

//! Learns the ids of the transactions that the log ends with, when somebody first needs them.

use std::sync::PoisonError;

use streamkit_record::LogPosition;
use uuid::Uuid;

use super::opened::StoreLog;
use crate::error::StorageError;
use crate::format::log_start::LogStart;
use crate::format::transaction::Kind;
use crate::index::ids::RecentIds;
use crate::limits::RECALLED_BYTES_MIN;

impl StoreLog {
    /// Whether the ids of the latest transactions are known.
    pub(crate) fn knows_ids(&self) -> bool {
        self.catalog().ids.as_ref().is_some_and(|ids| ids.is_complete())
    }

    /// Makes them known. Reads the log, the first time.
    ///
    /// # Errors
    /// It cannot be read: then nothing tells a retry, and nothing may be appended that could be one.
    pub(crate) fn recall_ids(&self) -> Result<(), StorageError> {
        let _turn = self.recalling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.knows_ids() {
            return Ok(());
        }
        let tail = {
            // Nothing becomes visible meanwhile: what comes after the tail, the catalog notes.
            let writer = self.writer();
            self.catalog_mut().ids = Some(RecentIds::default());
            writer.open.is_some().then(|| writer.tail())
        };
        self.recall_before(tail).inspect_err(|_| self.catalog_mut().ids = None)
    }

    fn recall_before(&self, tail: Option<LogPosition>) -> Result<(), StorageError> {
        let first = LogStart::WHOLE.extent();
        let (mut end, mut bytes) = (tail, 0);
        while let Some(LogPosition { extent, byte }) = end {
            let (found, previous_end) = self.ids_in(extent, byte, &mut bytes)?;
            let before = LogPosition {
                extent: extent - 1,
                byte: previous_end,
            };
            end = (extent > first && bytes < RECALLED_BYTES_MIN).then_some(before);
            let mut catalog = self.catalog_mut();
            let ids = catalog.ids.get_or_insert_default();
            ids.add_before(found);
            if ids.is_full() {
                break;
            }
        }
        self.catalog_mut().ids.get_or_insert_default().completed();
        Ok(())
    }

    /// The ids of an extent whose groups end at `end`, oldest first, and where those of the extent before it end.
    fn ids_in(&self, extent: u64, end: u32, bytes: &mut u64) -> Result<(Vec<(Uuid, LogPosition)>, u32), StorageError> {
        let mut found = Vec::new();
        let previous_end = self.each_transaction(extent, end, |at, header| {
            *bytes += u64::from(header.length);
            if header.kind == Kind::Data {
                found.push((header.id, at));
            }
        })?;
        Ok((found, previous_end))
    }
}

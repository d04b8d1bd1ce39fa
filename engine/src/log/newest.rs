//! Shows readers a new end of the log, and finds the transaction before it where nobody knows it.

use super::opened::StoreLog;
use super::shown::{End, Newest};
use crate::error::StorageError;
use crate::format::log_start::LogStart;
use crate::runtime::waking::waking;
use streamkit_record::LogPosition;

impl StoreLog {
    /// Shows readers a new end; the catalog has come to it.
    pub(crate) fn show(&self, tail: LogPosition, newest: Newest) {
        self.shown.moved(tail, newest);
        waking(|| {
            self.tail.send_replace(tail.into());
        });
    }

    /// The end, with the newest transaction. An open knows it, but for a last extent in which nothing was written: then it is read.
    /// There is none only where nothing was ever written.
    ///
    /// # Errors
    /// [`StorageError`]: it cannot be read.
    pub(crate) fn known_end(&self) -> Result<End, StorageError> {
        let end = self.shown.end();
        if end.newest.is_some() || end.tail.byte == 0 {
            return Ok(end);
        }
        let newest = self.last_before(end.tail)?;
        self.shown.found(end.tail, newest);
        Ok(End { newest, ..end })
    }

    /// The last transaction before a place where groups end.
    fn last_before(&self, end: LogPosition) -> Result<Option<Newest>, StorageError> {
        let mut end = end;
        loop {
            let mut last = None;
            let previous_end = self.each_transaction(end.extent, end.byte, |at, header| {
                last = Some(Newest { at, header });
            })?;
            if last.is_some() || end.extent <= LogStart::WHOLE.extent() {
                return Ok(last);
            }
            end = LogPosition {
                extent: end.extent - 1,
                byte: previous_end,
            };
        }
    }
}

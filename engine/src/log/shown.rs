//! What readers see of the log's end: the durable tail, and the transaction that stands before it.

use std::sync::PoisonError;

use super::opened::StoreLog;
use crate::error::StorageError;
use crate::format::log_start::LogStart;
use crate::format::transaction::TransactionHeader;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard};
use crate::runtime::waking::waking;
use streamkit_record::LogPosition;

/// The end of what readers see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// Where it is; at byte 0, nothing was ever written.
    pub(crate) tail: LogPosition,
    /// The transaction before it; `None`: nobody has looked for it since the store was opened.
    pub(crate) newest: Option<Newest>,
}

/// The newest transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    pub(crate) at: LogPosition,
    pub(crate) header: TransactionHeader,
}

/// The end, as it moves on.
pub(crate) struct Shown {
    end: Mutex<End>,
    /// The number of the newest transaction, for whoever asks for no more than that.
    number: AtomicU64,
}

impl Shown {
    /// That of a log that was just opened.
    pub(crate) fn new(end: End, number: u64) -> Self {
        Self {
            end: Mutex::new(end),
            number: AtomicU64::new(number),
        }
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn end(&self) -> End {
        *self.lock()
    }

    /// A read that begins after this sees the transaction of this number.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }
}

impl StoreLog {
    /// Shows readers a new end; the catalog has come to it.
    pub(crate) fn show(&self, tail: LogPosition, newest: Newest) {
        let number = newest.header.number;
        let newest = Some(newest);
        *self.shown.lock() = End { tail, newest };
        self.shown.number.store(number, Ordering::Release);
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
        let mut now = self.shown.lock();
        if now.newest.is_none() && now.tail == end.tail {
            now.newest = newest;
        }
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

//! What readers see of the log's end: the durable tail, and the transaction that stands before it.

use std::sync::PoisonError;

use crate::format::transaction::TransactionHeader;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard};
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
pub(crate) struct ShownEnd {
    end: Mutex<End>,
    /// The number of the newest transaction, for whoever asks for no more than that.
    number: AtomicU64,
}

impl ShownEnd {
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

    /// It moves on.
    pub(super) fn moved(&self, tail: LogPosition, newest: Newest) {
        let number = newest.header.number;
        let newest = Some(newest);
        *self.lock() = End { tail, newest };
        self.number.store(number, Ordering::Release);
    }

    /// Somebody has looked for the transaction before `tail`.
    pub(super) fn found(&self, tail: LogPosition, newest: Option<Newest>) {
        let mut now = self.lock();
        if now.newest.is_none() && now.tail == tail {
            now.newest = newest;
        }
    }

    /// A read that begins after this sees the transaction of this number.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }
}

//! The committer of one store: its log and the queue of its requests. One driver at a time works on it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::queue::{CommitQueue, Request};
use crate::error::Rejection;
use crate::log::opened::StoreLog;
use crate::log::writer::LogWriter;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Condvar, Mutex, MutexGuard};

/// A store's committer.
pub(crate) struct StoreCommitter {
    pub(crate) log: Arc<StoreLog>,
    queue: Mutex<CommitQueue>,
    /// Notified when no driver works on the queue any more.
    pub(crate) idle: Condvar,
    /// The I/O thread cannot write the open extent concurrently, so commit threads do.
    pub(crate) by_threads: AtomicBool,
}

impl StoreCommitter {
    pub(crate) fn new(log: StoreLog) -> Self {
        Self {
            log: Arc::new(log),
            queue: Mutex::default(),
            idle: Condvar::new(),
            by_threads: AtomicBool::new(false),
        }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, CommitQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which driver writes to the open extent.
    pub(crate) fn note_method(&self, writer: &LogWriter) {
        let Some(open) = &writer.open else { return };
        let by_threads = !open.file.is_queueable();
        if by_threads && !self.by_threads.swap(by_threads, Ordering::Relaxed) {
            tracing::debug!(store = %self.log.id, "no direct writes here: the store commits with threads");
        } else {
            self.by_threads.store(by_threads, Ordering::Relaxed);
        }
    }

    /// Stops accepting writes, and refuses queued ones, since no driver works on them any more.
    pub(crate) fn give_up(&self, cause: &str) {
        self.log.latch.halt(cause);
        let left = {
            let mut queue = self.queue();
            let left = std::mem::take(&mut queue.requests);
            queue.end();
            left
        };
        self.idle.notify_all();
        for request in left {
            if let Err(halted) = self.log.latch.check() {
                request.refuse(Rejection::Storage(halted));
            }
        }
    }

    /// Moves the queue behind `waiting`; `false` if there is nothing at all, and then no driver works on the queue any
    /// more.
    pub(crate) fn take_queued(&self, waiting: &mut VecDeque<Request>) -> bool {
        let mut queue = self.queue();
        let some = queue.take(waiting);
        if !some {
            queue.end();
            self.idle.notify_all();
        }
        some
    }

    /// Like [`StoreCommitter::take_queued`], but the driver keeps the queue.
    pub(crate) fn take_some(&self, waiting: &mut VecDeque<Request>) -> bool {
        let mut queue = self.queue();
        queue.take(waiting)
    }

    /// Puts requests back to the front of the queue for the next driver; `false` if the queue is empty.
    pub(crate) fn put_back(&self, waiting: &mut VecDeque<Request>) -> bool {
        let mut queue = self.queue();
        queue.put_back(waiting)
    }
}

//! Appends on the thread that calls.

use std::sync::Arc;

use super::{LocalStore, append_request, recall};
use crate::commit::drive::threads::{QueueLeft, work};
use crate::error::AppendError;
use crate::runtime::blocking;
use streamkit_record::{Committed, Transaction};

impl LocalStore {
    /// Commits a transaction and blocks this thread. If nobody else commits to the store, this thread itself writes to
    /// the disk, which saves two thread switches, a third of the time.
    ///
    /// # Durability, errors
    /// As [`Store::append`](crate::Store::append).
    ///
    /// # Panics
    /// Never by itself. Within an async runtime it blocks the thread's other tasks.
    pub fn append_blocking(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        let bytes = self.admit(&transaction)?;
        if self.has_to_recall(&transaction) {
            recall(self.log())?;
        }
        let room = blocking::wait(self.threads.stepper.as_ref(), self.room.take(bytes))?;
        let (request, receive) = append_request(transaction, room);
        if self.push(request)? {
            let answered = || !receive.is_empty() || receive.is_terminated();
            if let QueueLeft::Work = work(&self.committer, || !answered()) {
                self.threads.commit.start(Arc::clone(&self.committer));
            }
        }
        self.outcome(blocking::wait(self.threads.stepper.as_ref(), receive).ok())
    }
}

//! The calls of a connection that are open, by their channel. Numbers go up: whatever is not open and not higher is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamkit_engine::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::credit::Credit;

/// All of a connection.
#[derive(Default)]
pub(super) struct Calls(Mutex<HashMap<u32, OpenCall>>);

/// What the connection's frames do to a call. An append has none: it takes no credit of its own, and runs to its end once begun.
#[derive(Clone)]
pub(super) struct OpenCall {
    pub(super) credit: Arc<Credit>,
    /// Cancelled when its peer wants no more, or the connection ends.
    pub(super) cancelled: CancellationToken,
    /// Where a worker says that it is there: when it said so last, by its clock.
    pub(super) signs: Option<watch::Sender<Timestamp>>,
}

impl Calls {
    pub(super) fn open(&self, channel: u32, call: OpenCall) {
        self.all().insert(channel, call);
    }

    pub(super) fn over(&self, channel: u32) {
        self.all().remove(&channel);
    }

    pub(super) fn find(&self, channel: u32) -> Option<OpenCall> {
        self.all().get(&channel).cloned()
    }

    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    /// Nobody hears anything any more.
    pub(super) fn end_credit(&self) {
        for call in self.all().values() {
            call.credit.end();
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u32, OpenCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

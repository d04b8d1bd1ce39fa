//! Who lands in a copy: one log at a time, or two would land the same groups.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use streamkit_engine::StoreId;

/// The copies of a host in which somebody lands.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<HashSet<StoreId>>>);

/// The turn of one log, until it is dropped.
pub(super) struct Turn {
    turns: Turns,
    store: StoreId,
}

impl Turns {
    /// The turn at a copy; `None`: another log has it.
    pub(super) fn take(&self, store: StoreId) -> Option<Turn> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(store);
        is_free.then(|| Turn {
            turns: self.clone(),
            store,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut landing = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        landing.remove(&self.store);
    }
}

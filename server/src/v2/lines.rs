//! Lines before the stores: appends of one connection to one store come into its queue in the order in which they were called, also
//! while the store is being opened.

use std::collections::HashMap;
use std::sync::Arc;

use streamkit_engine::StoreId;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Stores of which a connection keeps a line that nobody stands in.
const IDLE_MAX: usize = 64;

/// Those of one connection.
#[derive(Default)]
pub(super) struct Lines(HashMap<StoreId, Line>);

/// The line before one store.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Mutex<()>>);

/// The right to be the next in the store's queue, given on when dropped.
pub(super) struct First(#[expect(dead_code, reason = "held, not used")] OwnedMutexGuard<()>);

impl Lines {
    /// The line before a store.
    pub(super) fn before(&mut self, store: StoreId) -> Line {
        if self.0.len() >= IDLE_MAX {
            self.0.retain(|_, line| Arc::strong_count(&line.0) > 1);
        }
        self.0.entry(store).or_default().clone()
    }
}

impl Line {
    /// Waits in the line, from the first poll on.
    pub(super) async fn first(&self) -> First {
        First(self.0.clone().lock_owned().await)
    }
}

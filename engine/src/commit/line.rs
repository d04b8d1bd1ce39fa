//! The line before a store's queue while a transaction waits for something else than room: for ids, which the first that takes any
//! sequence makes the store read. Transactions of one task keep their order, so whatever comes meanwhile stands behind it.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The line of one store.
pub(crate) struct Line {
    turn: Semaphore,
}

/// The turn of whoever is first in the line, given on when dropped.
pub(crate) type LineTurn<'a> = SemaphorePermit<'a>;

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            turn: Semaphore::new(1),
        }
    }

    /// Whether somebody stands in it.
    pub(crate) fn is_busy(&self) -> bool {
        self.turn.available_permits() == 0
    }

    /// Stands in it, from the first poll on, until it is this one's turn.
    ///
    /// Cancel safe.
    pub(crate) async fn turn(&self) -> LineTurn<'_> {
        self.turn.acquire().await.expect("nobody closes it")
    }
}

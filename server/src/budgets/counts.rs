//! How many of something all connections together may have.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places.
#[derive(Clone)]
pub(crate) struct Counted(Arc<Semaphore>);

/// One of them, given back when dropped.
pub(crate) struct CountedPlace(#[expect(dead_code, reason = "held, not used")] OwnedSemaphorePermit);

impl Counted {
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    /// A place, if one is free.
    pub(crate) fn place(&self) -> Option<CountedPlace> {
        self.0.clone().try_acquire_owned().ok().map(CountedPlace)
    }
}

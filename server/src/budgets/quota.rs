//! How many of something all connections together may have.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places.
#[derive(Clone)]
pub(crate) struct Quota(Arc<Semaphore>);

/// One of them, given back when dropped.
pub(crate) struct QuotaPlace(#[expect(dead_code, reason = "held, not used")] OwnedSemaphorePermit);

impl Quota {
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    /// A place, if one is free.
    pub(crate) fn place(&self) -> Option<QuotaPlace> {
        self.0.clone().try_acquire_owned().ok().map(QuotaPlace)
    }
}

//! The sessions under way: so many at a time, and all of them to their end when the server stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// All of them.
pub(super) struct Sessions {
    most: usize,
    places: Arc<Semaphore>,
    under_way: TaskTracker,
}

/// The right to hold a session, until dropped.
pub(super) struct SessionPlace(
    #[expect(dead_code, reason = "held, not used")] OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held, not used")] TaskTrackerToken,
);

impl Sessions {
    /// At most so many at a time.
    pub(super) fn new(most: usize) -> Self {
        let places = Arc::new(Semaphore::new(most));
        let under_way = TaskTracker::new();
        Self {
            most,
            places,
            under_way,
        }
    }

    /// A place, if one is free.
    pub(super) fn place(&self) -> Option<SessionPlace> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(SessionPlace(place, self.under_way.token()))
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// Waits until there are none, and no longer than `deadline`.
    pub(super) async fn ended(&self, deadline: Duration) {
        self.under_way.close();
        if tokio::time::timeout(deadline, self.under_way.wait()).await.is_err() {
            tracing::warn!(sessions = self.under_way.len(), "sessions did not end in time");
        }
    }
}

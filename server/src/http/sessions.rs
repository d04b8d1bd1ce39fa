//! The sessions under way: so many at a time, and all of them to their end when the server stops.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::auth::Scopes;
use crate::budgets::{FairBudget, FairShare, Share};

/// All of them.
pub(super) struct Sessions {
    most: usize,
    places: Arc<FairBudget>,
    under_way: TaskTracker,
}

/// The right to hold a session, until dropped.
pub(super) struct SessionPlace(
    #[expect(dead_code, reason = "held, not used")] PlaceOf,
    #[expect(dead_code, reason = "held, not used")] TaskTrackerToken,
);

/// A place among all.
enum PlaceOf {
    Tenant(#[expect(dead_code, reason = "held, not used")] FairShare),
    All(#[expect(dead_code, reason = "held, not used")] Share),
}

impl Sessions {
    /// At most so many at a time.
    pub(super) fn new(most: usize) -> Self {
        let places = FairBudget::new(most);
        let under_way = TaskTracker::new();
        Self {
            most,
            places,
            under_way,
        }
    }

    /// A place, if one is free: of a tenant, no more than half of all.
    pub(super) fn place(&self, scopes: &Scopes) -> Option<SessionPlace> {
        let place = match scopes.tenant() {
            Some(store) => PlaceOf::Tenant(self.places.try_take(store.0, 1)?),
            None => PlaceOf::All(self.places.all().try_take(1)?),
        };
        Some(SessionPlace(place, self.under_way.token()))
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.places.all().held()
    }

    /// Waits until there are none, and no longer than `deadline`.
    pub(super) async fn ended(&self, deadline: Duration) {
        self.under_way.close();
        if tokio::time::timeout(deadline, self.under_way.wait()).await.is_err() {
            tracing::warn!(sessions = self.under_way.len(), "sessions did not end in time");
        }
    }
}

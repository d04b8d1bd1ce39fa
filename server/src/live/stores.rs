//! The stores that somebody follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use streamkit_engine::{Name, Store, StoreId};

use super::bus::MessageBus;
use super::follower::{Follower, follow};
use super::mailbox::{Mailbox, News};
use super::presence::Workers;
use crate::metrics::Metrics;

/// All that is live.
pub(crate) struct Live {
    bus: Arc<dyn MessageBus>,
    metrics: Arc<Metrics>,
    followers: Mutex<HashMap<StoreId, Weak<Follower>>>,
    workers: Workers,
}

/// What somebody follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Interest {
    pub(crate) space: Name,
    /// `None`: all of the space.
    pub(crate) segment: Option<Name>,
}

/// Hears of what somebody follows, until it is dropped.
pub(crate) struct Subscription {
    follower: Arc<Follower>,
    interest: Interest,
    number: u64,
    mailbox: Arc<Mailbox>,
    metrics: Arc<Metrics>,
}

impl Live {
    pub(crate) fn new(bus: Arc<dyn MessageBus>, metrics: Arc<Metrics>) -> Self {
        Self {
            bus,
            metrics,
            followers: Mutex::default(),
            workers: Workers::default(),
        }
    }

    /// The workers of all stores.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Something was committed in a store.
    pub(crate) fn committed(&self, store: &dyn Store) {
        self.bus.announce(store.id(), *store.durable_tail().borrow());
    }

    /// Follows something of a store: whatever is committed from now on is news.
    pub(crate) fn subscribe(&self, store: &Arc<dyn Store>, interest: Interest) -> Subscription {
        let follower = self.follower(store);
        let mailbox = Arc::new(Mailbox::new());
        let number = follower.add(&interest.space, interest.segment.as_ref(), mailbox.clone());
        self.metrics.followers.subscriptions(1);
        Subscription {
            metrics: self.metrics.clone(),
            follower,
            interest,
            number,
            mailbox,
        }
    }

    fn follower(&self, store: &Arc<dyn Store>) -> Arc<Follower> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(follower) = followers.get(&store.id()).and_then(Weak::upgrade) {
            return follower;
        }
        // As many as there are at most doubles before all are looked through again.
        if followers.len().is_power_of_two() {
            followers.retain(|_, follower| follower.strong_count() > 0);
        }
        let follower = Arc::new(Follower::new(store.clone()));
        followers.insert(store.id(), Arc::downgrade(&follower));
        let mark = *store.durable_tail().borrow();
        let metrics = self.metrics.clone();
        let coalesced = move |statuses| metrics.followers.coalesced(statuses);
        tokio::spawn(follow(Arc::downgrade(&follower), self.bus.clone(), mark, coalesced));
        follower
    }
}

impl Subscription {
    /// Waits for what there is to tell.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&self) -> News {
        self.mailbox.take().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Interest { space, segment } = &self.interest;
        self.follower.remove(space, segment.as_ref(), self.number);
        self.metrics.followers.subscriptions(-1);
    }
}

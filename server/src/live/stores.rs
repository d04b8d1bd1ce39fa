//! The stores that somebody follows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use streamkit_engine::{Filter, Name, Store, StoreId, Wanted};

use super::bus::MessageBus;
use super::common::Common;
use super::followed::{FollowedStore, StoreLost};
use super::follower::{Follower, follow};
use super::mailbox::{Mailbox, News};
use super::presence::Workers;
use super::register::WorkerRegister;
use crate::budgets::Budget;
use crate::metrics::Metrics;
use crate::stores::OpenStores;

/// Bytes of batches that several who follow the same have in common, of all stores. Without room for them, each reads on his own.
const COMMON_BYTES_MAX: usize = 32 << 20;

/// All that is live.
pub(crate) struct Live {
    stores: Arc<OpenStores>,
    bus: Arc<dyn MessageBus>,
    metrics: Arc<Metrics>,
    /// What batches take that several who follow the same have in common.
    common: Arc<Budget>,
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
    /// Each with its number.
    interests: Vec<(Interest, u64)>,
    mailbox: Arc<Mailbox>,
    metrics: Arc<Metrics>,
    common: Arc<Budget>,
}

impl Live {
    pub(crate) fn new(
        stores: Arc<OpenStores>,
        bus: Arc<dyn MessageBus>,
        workers: Option<Arc<dyn WorkerRegister>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            stores,
            bus,
            metrics,
            common: Budget::new(COMMON_BYTES_MAX),
            followers: Mutex::default(),
            workers: workers.map_or_else(Workers::default, Workers::shared),
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

    /// Follows something of a store: whatever is committed from now on is news. It keeps the store from being closed for others
    /// only while somebody reads what is new.
    pub(crate) fn subscribe(&self, store: &Arc<dyn Store>, interest: Interest) -> Subscription {
        self.subscription(store, vec![interest], Mailbox::new())
    }

    /// Follows parts of a store in the same way, to be told that there is something new in any of them.
    pub(crate) fn follow(&self, store: &Arc<dyn Store>, parts: &[Wanted]) -> Subscription {
        let interests = parts.iter().map(|part| match part {
            Wanted::Segment(path) => Interest {
                space: path.space.clone(),
                segment: Some(path.segment.clone()),
            },
            Wanted::Space(space) | Wanted::Prefix(space, _) => Interest {
                space: space.clone(),
                segment: None,
            },
        });
        self.subscription(store, interests.collect(), Mailbox::of_any())
    }

    fn subscription(&self, store: &Arc<dyn Store>, interests: Vec<Interest>, mailbox: Mailbox) -> Subscription {
        let follower = self.follower(store);
        let mailbox = Arc::new(mailbox);
        let numbered = interests.into_iter().map(|interest| {
            let number = follower.add(&interest.space, interest.segment.as_ref(), mailbox.clone());
            (interest, number)
        });
        let interests = numbered.collect();
        self.metrics.followers.subscriptions(1);
        Subscription {
            metrics: self.metrics.clone(),
            common: self.common.clone(),
            follower,
            interests,
            mailbox,
        }
    }

    fn follower(&self, store: &Arc<dyn Store>) -> Arc<Follower> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = followers.get(&store.id()).and_then(Weak::upgrade);
        if let Some(follower) = known.filter(|follower| !follower.is_lost()) {
            return follower;
        }
        // As many as there are at most doubles before all are looked through again.
        if followers.len().is_power_of_two() {
            followers.retain(|_, follower| follower.strong_count() > 0);
        }
        let follower = Arc::new(Follower::new(FollowedStore::new(self.stores.clone(), store)));
        followers.insert(store.id(), Arc::downgrade(&follower));
        let (tail, hints) = (store.durable_tail(), self.bus.listen(store.id()));
        let metrics = self.metrics.clone();
        let coalesced = move |statuses| metrics.followers.coalesced(statuses);
        tokio::spawn(follow(Arc::downgrade(&follower), tail, hints, coalesced));
        follower
    }
}

impl Subscription {
    /// Waits until there is something to tell, and has the store opened to read it.
    ///
    /// Cancel safe: what there is to tell stays.
    ///
    /// # Errors
    /// [`StoreLost`]: nothing more will be told.
    pub(crate) async fn ready(&self) -> Result<Arc<dyn Store>, StoreLost> {
        self.news().await;
        self.store().await
    }

    /// Waits until there is something to tell.
    ///
    /// Cancel safe.
    pub(crate) async fn news(&self) {
        self.mailbox.filled().await;
    }

    /// Has the store opened, for as long as it is held.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub(crate) async fn store(&self) -> Result<Arc<dyn Store>, StoreLost> {
        self.goes_on()?;
        self.follower.store.open().await
    }

    /// Whether more will be told. To be asked with each news: that there is no more is told once.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub(crate) fn goes_on(&self) -> Result<(), StoreLost> {
        match self.follower.is_lost() {
            true => Err(StoreLost),
            false => Ok(()),
        }
    }

    /// The newest transaction of which news may tell. It, and all before, is there for whoever reads from now on.
    pub(crate) fn position(&self) -> u64 {
        self.follower.position()
    }

    /// What those who follow these parts through this filter share.
    pub(crate) fn common(&self, parts: &[Wanted], filter: &Filter) -> Arc<Common> {
        self.follower.common(parts, filter, &self.common)
    }

    /// What there is to tell.
    pub(crate) fn take(&self) -> News {
        self.mailbox.take()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for (Interest { space, segment }, number) in &self.interests {
            self.follower.remove(space, segment.as_ref(), *number);
        }
        self.metrics.followers.subscriptions(-1);
    }
}

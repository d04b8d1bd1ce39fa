//! A budget, of bytes or of places, that stores share by dynamic thresholds (Choudhury and Hahne, "Dynamic queue length thresholds
//! for shared-memory packet switches", IEEE/ACM Transactions on Networking 6, 1998): a store may take as long as it then holds at
//! most what is then free. So one that takes all it can leaves half to the others, however long it keeps its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::budget::{Budget, Share};

/// The budget.
pub(crate) struct FairBudget {
    all: Arc<Budget>,
    bytes: usize,
    /// What each store holds that holds something.
    held: Mutex<HashMap<Uuid, usize>>,
}

/// A store's part of it, given back when dropped.
pub(crate) struct FairShare {
    bytes: usize,
    store: Uuid,
    budget: Arc<FairBudget>,
    _share: Share,
}

impl FairBudget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Budget::new(bytes),
            bytes,
            held: Mutex::default(),
        })
    }

    /// A share for a store, if it may have one; of more than half of all there is, half.
    pub(crate) fn try_take(self: &Arc<Self>, store: Uuid, bytes: usize) -> Option<FairShare> {
        let bytes = bytes.min((self.bytes / 2).max(1));
        let mut held = self.lock();
        let before = held.get_mut(&store);
        let own = before.as_ref().map_or(0, |own| **own) + bytes;
        // The only one there is has no half.
        if own > self.all.free().saturating_sub(bytes) && self.bytes > 1 {
            return None;
        }
        let share = self.all.try_take(bytes)?;
        // Most often it holds something: each append of a busy store comes by here, and to find it is a hash.
        match before {
            Some(before) => *before = own,
            None => _ = held.insert(store, own),
        }
        Some(FairShare {
            bytes,
            store,
            budget: self.clone(),
            _share: share,
        })
    }

    /// All of it, what stores hold of which.
    pub(crate) fn all(&self) -> &Budget {
        &self.all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FairShare {
    fn drop(&mut self) {
        let mut held = self.budget.lock();
        if let Some(own) = held.get_mut(&self.store) {
            *own -= self.bytes;
            if *own == 0 {
                held.remove(&self.store);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a store gets in pieces of so many bytes.
    fn hog(budget: &Arc<FairBudget>, store: u128, bytes: usize) -> Vec<FairShare> {
        std::iter::from_fn(|| budget.try_take(Uuid::from_u128(store), bytes)).collect()
    }

    #[test]
    fn one_that_takes_all_it_can_leaves_half_and_each_further_one_half_of_the_rest() {
        let budget = FairBudget::new(1024);
        let mut hogs = Vec::new();
        for (store, left) in [(1, 512), (2, 256), (3, 128)] {
            hogs.push(hog(&budget, store, 1));
            assert_eq!(budget.all.free(), left);
        }
        assert!(
            budget.try_take(Uuid::from_u128(4), 64).is_some(),
            "a newcomer is let in"
        );
        hogs.remove(0);
        let more = hog(&budget, 3, 1);
        assert_eq!(
            (hogs[1].len() + more.len(), budget.all.free()),
            (384, 384),
            "what is free is there for all"
        );
    }

    #[test]
    fn of_a_few_places_a_store_has_half_at_most_and_the_only_one_if_it_is_free() {
        for places in 0..=6 {
            let budget = FairBudget::new(places);
            let most = if places == 1 { 1 } else { places / 2 };
            assert_eq!(hog(&budget, 1, 1).len(), most, "of {places}");
        }
    }

    #[test]
    fn a_piece_is_no_larger_than_half_and_nothing_is_kept_of_a_store_that_holds_nothing() {
        let budget = FairBudget::new(1000);
        let half = budget.try_take(Uuid::from_u128(1), 5000);
        assert_eq!((half.is_some(), budget.all.held()), (true, 500));
        assert!(budget.try_take(Uuid::from_u128(1), 1).is_none());
        assert!(budget.try_take(Uuid::from_u128(2), 251).is_none());
        drop((half, budget.try_take(Uuid::from_u128(2), 250)));
        assert_eq!((budget.all.held(), budget.lock().len()), (0, 0));
    }
}

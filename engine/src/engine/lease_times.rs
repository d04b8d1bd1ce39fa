//! Since when the leases of closed stores count. A store is closed and opened again when others need its place; a lease that nobody
//! renews runs out all the same. What is forgotten here counts anew, which only makes a lease last longer.

use std::collections::HashMap;
use std::sync::PoisonError;

use crate::index::leases::{LeaseTime, Leases};
use crate::runtime::sync::Mutex;
use streamkit_record::StoreId;

/// Leases of closed stores whose times are kept, of all stores together.
const TIMES_MAX: usize = 100_000;

/// Of all stores that are closed.
#[derive(Default)]
pub(super) struct LeaseTimes(Mutex<KeptTimes>);

#[derive(Default)]
struct KeptTimes {
    stores: HashMap<StoreId, Vec<LeaseTime>>,
    count: usize,
}

impl LeaseTimes {
    /// Keeps those of a store that was just closed, as far as there is room.
    pub(super) fn keep(&self, store: StoreId, leases: &Leases) {
        let times = leases.times();
        if times.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.stores.remove(&store).map_or(0, |times| times.len());
        kept.count -= before;
        if kept.count + times.len() <= TIMES_MAX {
            kept.count += times.len();
            kept.stores.insert(store, times);
        }
    }

    /// Gives them back to a store that is opened.
    pub(super) fn give_back(&self, store: StoreId, leases: &mut Leases) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = kept.stores.remove(&store) {
            kept.count -= times.len();
            leases.count_as(&times);
        }
    }
}

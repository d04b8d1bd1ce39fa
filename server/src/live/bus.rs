//! How the hosts of a store tell each other that it has come further.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use streamkit_engine::{StoreId, TailMark};
use tokio::sync::watch;

/// Carries hints between the hosts that serve the same stores. A hint says that a store has come so far, and no more: whoever hears
/// it looks at the store. So one that is late, lost or told twice only delays, and a bus that is dead fails nothing: those
/// who follow a store also look at it now and then.
pub trait MessageBus: Send + Sync + 'static {
    /// Tells that a store's durable tail has come to `tail`. Never waits, and may fail in silence.
    fn announce(&self, store: StoreId, tail: TailMark);

    /// Hears what is told of a store from now on. The newest hint is enough.
    fn listen(&self, store: StoreId) -> watch::Receiver<TailMark>;
}

/// The bus of one process.
#[derive(Default)]
pub struct InProcess {
    /// Those that somebody listens to, and some that nobody listens to any more.
    stores: Mutex<HashMap<StoreId, watch::Sender<TailMark>>>,
}

impl MessageBus for InProcess {
    fn announce(&self, store: StoreId, tail: TailMark) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = stores.get(&store) else { return };
        if told.receiver_count() == 0 {
            stores.remove(&store);
            return;
        }
        // Of two that commit at the same time the later one may come first.
        told.send_if_modified(|newest| {
            let is_newer = *newest < tail;
            *newest = tail.max(*newest);
            is_newer
        });
    }

    fn listen(&self, store: StoreId) -> watch::Receiver<TailMark> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(store).or_default().subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_hears_the_newest_and_nobody_leaves_anything_behind() {
        let (bus, store) = (InProcess::default(), StoreId(uuid::Uuid::from_u128(1)));
        bus.announce(store, TailMark::new(1));
        assert!(bus.stores.lock().unwrap().is_empty());
        let mut listens = bus.listen(store);
        for tail in [2, 4, 3] {
            bus.announce(store, TailMark::new(tail));
        }
        assert!(listens.has_changed().unwrap());
        assert_eq!(*listens.borrow_and_update(), TailMark::new(4));
        drop(listens);
        bus.announce(store, TailMark::new(5));
        assert!(bus.stores.lock().unwrap().is_empty());
    }
}

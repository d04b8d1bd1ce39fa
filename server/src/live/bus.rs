//! How the hosts of a store tell each other that it has come further.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use streamkit_engine::{StoreId, TailMark};
use tokio::sync::watch;

use crate::metrics::BusFigures;

/// What was told of a store.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Hint {
    /// How far this host has come.
    pub tail: TailMark,
    /// How often there was a reason to look, however far one has come: another host said something, or may have said something that nobody heard.
    /// It is compared with what it was, and says no more.
    pub looks: u64,
}

/// Carries hints between the hosts that serve the same stores. A hint says that a store has come so far, and no more: whoever hears
/// it looks at the store. So one that is late, lost or told twice only delays, and a bus that is dead fails nothing: those
/// who follow a store also look at it now and then.
pub trait MessageBus: Send + Sync + 'static {
    /// Tells that a store's durable tail has come to `tail`. Never waits, and may fail in silence.
    fn announce(&self, store: StoreId, tail: TailMark);

    /// Hears what is told of a store from now on. The newest hint is enough.
    fn listen(&self, store: StoreId) -> watch::Receiver<Hint>;

    /// What was counted, and what is so now; `/metrics` shows it. Waits for nothing. `None`: it carries nothing to other hosts.
    fn figures(&self) -> Option<BusFigures> {
        None
    }
}

/// The bus of one process. A bus between hosts has one for those who listen on its own.
#[derive(Default)]
pub struct InProcess {
    /// Those that somebody listens to, and some that nobody listens to any more.
    stores: Mutex<HashMap<StoreId, watch::Sender<Hint>>>,
}

impl InProcess {
    /// Another host says that a store has come to `tail`. It is not believed: whoever listens looks, unless this host has come so far. Waits for
    /// nothing.
    pub fn hear(&self, store: StoreId, tail: TailMark) {
        self.tell(store, |hint| {
            let is_news = hint.tail < tail;
            hint.looks = hint.looks.wrapping_add(u64::from(is_news));
            is_news
        });
    }

    /// Something may have been said that nobody heard: whoever listens to any store looks. Waits for nothing.
    pub fn look(&self) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, told| told.receiver_count() > 0);
        for told in stores.values() {
            told.send_modify(|hint| hint.looks = hint.looks.wrapping_add(1));
        }
    }

    /// Tells whoever listens to a store, if there is anybody and `news` says so.
    fn tell(&self, store: StoreId, news: impl FnOnce(&mut Hint) -> bool) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = stores.get(&store) else { return };
        if told.receiver_count() == 0 {
            stores.remove(&store);
            return;
        }
        told.send_if_modified(news);
    }
}

impl MessageBus for InProcess {
    fn announce(&self, store: StoreId, tail: TailMark) {
        // Of two that commit at the same time the later one may come first.
        self.tell(store, |hint| {
            let is_newer = hint.tail < tail;
            hint.tail = tail.max(hint.tail);
            is_newer
        });
    }

    fn listen(&self, store: StoreId) -> watch::Receiver<Hint> {
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
        bus.hear(store, TailMark::new(1));
        assert!(bus.stores.lock().unwrap().is_empty());
        let mut listens = bus.listen(store);
        for tail in [2, 4, 3] {
            bus.announce(store, TailMark::new(tail));
        }
        assert!(listens.has_changed().unwrap());
        assert_eq!(listens.borrow_and_update().tail, TailMark::new(4));
        drop(listens);
        bus.announce(store, TailMark::new(5));
        assert!(bus.stores.lock().unwrap().is_empty());
        drop(bus.listen(store));
        bus.look();
        assert!(bus.stores.lock().unwrap().is_empty());
    }

    #[test]
    fn what_another_host_says_is_looked_at_each_time_and_not_believed() {
        let (bus, store) = (InProcess::default(), StoreId(uuid::Uuid::from_u128(1)));
        let mut listens = bus.listen(store);
        bus.announce(store, TailMark::new(4));
        listens.borrow_and_update();
        // An echo, or what is known.
        for known in [3, 4] {
            bus.hear(store, TailMark::new(known));
            assert!(!listens.has_changed().unwrap());
        }
        let lie = u128::MAX;
        for (looks, tail) in [(1, 5), (2, lie), (3, 5), (4, lie), (5, lie)] {
            bus.hear(store, TailMark::new(tail));
            assert!(listens.has_changed().unwrap());
            let heard = *listens.borrow_and_update();
            assert_eq!((heard.looks, heard.tail), (looks, TailMark::new(4)));
        }
        bus.announce(store, TailMark::new(5));
        assert!(listens.has_changed().unwrap());
        listens.borrow_and_update();
        bus.look();
        assert!(listens.has_changed().unwrap());
    }
}

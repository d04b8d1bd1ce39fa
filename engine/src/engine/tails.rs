//! The durable tails of closed stores that somebody follows. A store is closed and opened again when others need its place; whoever
//! follows its tail needs no place, and hears of the next commit, whoever has the store opened for it.

use std::collections::HashMap;
use std::sync::PoisonError;

use tokio::sync::watch;

use crate::runtime::sync::{Mutex, MutexGuard};
use streamkit_record::{StoreId, TailMark};

/// Of all stores that are closed.
#[derive(Default)]
pub(super) struct Tails(Mutex<HashMap<StoreId, watch::Sender<TailMark>>>);

impl Tails {
    /// Keeps that of a store that was just closed, if anybody follows it.
    pub(super) fn keep(&self, store: StoreId, tail: &watch::Sender<TailMark>) {
        if tail.receiver_count() == 0 {
            return;
        }
        let mut kept = self.kept();
        // As many as there are at most doubles before all are looked through again.
        if kept.len().is_power_of_two() {
            kept.retain(|_, tail| tail.receiver_count() > 0);
        }
        kept.insert(store, tail.clone());
    }

    /// The tail of a store that is opened and ends at `end`: the one that was kept, if that store is still the same.
    pub(super) fn give_back(&self, store: StoreId, end: TailMark) -> watch::Sender<TailMark> {
        self.end_beyond(store, end);
        match self.kept().remove(&store) {
            Some(tail) => {
                tail.send_if_modified(|at| std::mem::replace(at, end) != end);
                tail
            }
            None => watch::Sender::new(end),
        }
    }

    /// A closed store turned out to end at `end`. If it was beyond that before, it is another one: nobody follows it any more.
    pub(super) fn end_beyond(&self, store: StoreId, end: TailMark) {
        let mut kept = self.kept();
        if kept.get(&store).is_some_and(|tail| *tail.borrow() > end) {
            kept.remove(&store);
        }
    }

    /// A store does not open any more: those who follow it are told so.
    pub(super) fn end(&self, store: StoreId) {
        self.kept().remove(&store);
    }

    /// No store opens any more.
    pub(super) fn end_all(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<StoreId, watch::Sender<TailMark>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId(uuid::Uuid::from_u128(1));

    /// A closed store that somebody follows, and that ended at 5.
    fn closed() -> (Tails, watch::Receiver<TailMark>) {
        let (tails, tail) = (Tails::default(), watch::Sender::new(TailMark::new(5)));
        let follows = tail.subscribe();
        tails.keep(STORE, &tail);
        (tails, follows)
    }

    #[test]
    fn who_follows_a_closed_store_goes_on_when_it_is_opened_again() {
        let (tails, follows) = closed();
        let tail = tails.give_back(STORE, TailMark::new(5));
        assert!(!follows.has_changed().unwrap(), "to be opened is no news");
        tail.send_replace(TailMark::new(6));
        assert!(follows.has_changed().unwrap());
        assert!(tails.kept().is_empty());
    }

    #[test]
    fn who_follows_a_store_that_is_gone_or_does_not_open_hears_the_end() {
        for ends in [
            (|tails| drop(tails.give_back(STORE, TailMark::new(4)))) as fn(&Tails),
            |tails| tails.end_beyond(STORE, TailMark::new(0)),
            |tails| tails.end(STORE),
            Tails::end_all,
        ] {
            let (tails, follows) = closed();
            tails.end_beyond(STORE, TailMark::new(5));
            assert!(follows.has_changed().is_ok());
            ends(&tails);
            assert!(follows.has_changed().is_err());
        }
    }

    #[test]
    fn what_nobody_follows_any_more_is_not_kept() {
        let (tails, follows) = closed();
        drop(follows);
        let nobody_follows = watch::Sender::new(TailMark::new(1));
        tails.keep(StoreId(uuid::Uuid::from_u128(2)), &nobody_follows);
        let followed = watch::Sender::new(TailMark::new(1));
        let _follows = followed.subscribe();
        let other = StoreId(uuid::Uuid::from_u128(3));
        tails.keep(other, &followed);
        assert_eq!(tails.kept().keys().collect::<Vec<_>>(), [&other]);
    }
}

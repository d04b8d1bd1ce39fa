//! Hints that are to be sent: of each store the newest.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use streamkit_engine::{StoreId, TailMark};
use tokio::sync::Notify;

use super::hints::{HINTS_MAX, Message};

/// Most stores whose hints wait. With more, all hosts are told to look at whatever they follow.
const STORES_MAX: usize = 4096;

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    hints: HashMap<StoreId, TailMark>,
    of_all: bool,
}

impl Outbox {
    /// Adds a hint. Waits for nothing.
    pub(super) fn put(&self, store: StoreId, tail: TailMark) {
        let mut waiting = self.waiting();
        let is_full = waiting.hints.len() >= STORES_MAX;
        match waiting.hints.get_mut(&store) {
            Some(newest) => *newest = tail.max(*newest),
            None if is_full => {
                waiting.of_all = true;
                waiting.hints.clear();
            }
            None => drop(waiting.hints.insert(store, tail)),
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Has all hosts look, this one among them.
    pub(super) fn put_all(&self) {
        self.waiting().of_all = true;
        self.filled.notify_one();
    }

    /// The next message; waits until there is one.
    ///
    /// Cancel safe.
    pub(super) async fn next(&self) -> Message {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Option<Message> {
        let mut waiting = self.waiting();
        if std::mem::take(&mut waiting.of_all) {
            return Some(Message::OfAll);
        }
        let stores: Vec<StoreId> = waiting.hints.keys().copied().take(HINTS_MAX).collect();
        let hints: Vec<_> = stores
            .iter()
            .filter_map(|store| waiting.hints.remove_entry(store))
            .collect();
        (!hints.is_empty()).then_some(Message::OfStores(hints))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn store(n: usize) -> StoreId {
        StoreId(Uuid::from_u128(n as u128))
    }

    #[test]
    fn of_each_store_the_newest_is_sent_and_of_too_many_that_all_are_to_look() {
        let outbox = Outbox::default();
        for tail in [1, 3, 2] {
            outbox.put(store(1), TailMark::new(tail));
        }
        assert_eq!(
            outbox.take(),
            Some(Message::OfStores(vec![(store(1), TailMark::new(3))]))
        );
        assert_eq!(outbox.take(), None);
        for n in 0..STORES_MAX {
            outbox.put(store(n), TailMark::new(1));
        }
        let mut sent = 0;
        while let Some(Message::OfStores(hints)) = outbox.take() {
            assert!(hints.len() <= HINTS_MAX);
            sent += hints.len();
        }
        assert_eq!(sent, STORES_MAX);
        for n in 0..=STORES_MAX {
            outbox.put(store(n), TailMark::new(1));
        }
        assert_eq!((outbox.take(), outbox.take()), (Some(Message::OfAll), None));
    }
}

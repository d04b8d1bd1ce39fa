//! Ids of the latest transactions, and where they stand. Nothing else tells a retry of a transaction that took any
//! sequence. A store keeps them only once it gets such a transaction.

use std::collections::{HashMap, VecDeque};

use streamkit_record::LogPosition;
use uuid::Uuid;

use crate::limits::TRANSACTION_IDS_MAX;

/// A place in the log, in half the bytes of a [`LogPosition`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct IdPlace {
    extent: u32,
    byte: u32,
}

/// The latest ids.
#[derive(Debug, Default)]
pub(crate) struct RecentIds {
    /// Oldest first.
    order: VecDeque<(Uuid, IdPlace)>,
    /// The latest place of each.
    places: HashMap<Uuid, IdPlace>,
    /// Those of before are there too, as far back as a store knows any.
    is_complete: bool,
}

impl From<LogPosition> for IdPlace {
    fn from(at: LogPosition) -> Self {
        Self {
            extent: at.extent as u32, // the catalog takes no larger one
            byte: at.byte,
        }
    }
}

impl RecentIds {
    /// Of a transaction behind all others.
    pub(crate) fn add(&mut self, id: Uuid, at: LogPosition) {
        let place = IdPlace::from(at);
        if self.is_full()
            && let Some((oldest, was)) = self.order.pop_front()
            && self.places.get(&oldest) == Some(&was)
        {
            self.places.remove(&oldest);
        }
        self.order.push_back((id, place));
        self.places.insert(id, place);
    }

    /// Of transactions before all others, oldest first.
    pub(crate) fn add_before(&mut self, ids: Vec<(Uuid, LogPosition)>) {
        for (id, at) in ids.into_iter().rev() {
            if self.is_full() {
                break;
            }
            let place = IdPlace::from(at);
            self.order.push_front((id, place));
            self.places.entry(id).or_insert(place);
        }
    }

    /// No more is known of the time before.
    pub(crate) fn completed(&mut self) {
        self.is_complete = true;
    }

    /// Whether an id is known as far back as any is.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(crate) fn is_full(&self) -> bool {
        self.order.len() == TRANSACTION_IDS_MAX
    }

    /// Where the transaction of this id stands.
    pub(crate) fn find(&self, id: Uuid) -> Option<LogPosition> {
        let &IdPlace { extent, byte } = self.places.get(&id)?;
        let extent = u64::from(extent);
        Some(LogPosition { extent, byte })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    fn at(number: usize) -> LogPosition {
        LogPosition {
            extent: 1,
            byte: number as u32,
        }
    }

    #[test]
    fn the_latest_ids_are_known_and_no_more_than_may_be() {
        let mut ids = RecentIds::default();
        for number in 0..TRANSACTION_IDS_MAX + 10 {
            ids.add(id(number), at(number));
        }
        assert_eq!(ids.order.len(), TRANSACTION_IDS_MAX);
        assert_eq!(ids.places.len(), TRANSACTION_IDS_MAX);
        assert_eq!(ids.find(id(9)), None);
        assert_eq!(ids.find(id(10)), Some(at(10)));
        ids.add_before(vec![(id(9), at(9))]);
        assert_eq!(ids.find(id(9)), None);
    }

    #[test]
    fn an_id_that_stands_twice_is_at_its_latest_place() {
        let mut ids = RecentIds::default();
        ids.add(id(1), at(5));
        ids.add_before(vec![(id(1), at(2)), (id(2), at(3)), (id(2), at(4))]);
        assert_eq!((ids.find(id(1)), ids.find(id(2))), (Some(at(5)), Some(at(4))));
        ids.add_before(vec![(id(3), at(1))]);
        assert_eq!(ids.find(id(3)), Some(at(1)));
    }
}

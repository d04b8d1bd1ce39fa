//! Which channels of a connection are open, and which have been: late frames of a finished channel start nothing. Which are
//! known by their end alone, because it overtook their request.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use streamkit_protocol::FrameHead;
use uuid::Uuid;

use super::inbox::Inbox;
use crate::limits::Limits;

/// Ends kept whose requests have not come. Those of a queue that was overtaken come soon; most others never.
const EARLY_ENDS_MAX: usize = 4096;

pub(super) struct Channels {
    inner: Mutex<Inner>,
    open_max: usize,
    finished_max: usize,
    finished_age: Duration,
}

#[derive(Default)]
struct Inner {
    /// Each with the store it was opened for.
    open: HashMap<Uuid, (Uuid, Inbox)>,
    /// Each with whether its peer was told that all was stored, and has sent nothing since.
    finished: HashMap<Uuid, bool>,
    finished_order: VecDeque<(Instant, Uuid)>,
    early_ends: HashSet<Uuid>,
    early_ends_order: VecDeque<(Instant, Uuid)>,
}

impl Inner {
    /// Forgets finished channels, the oldest first, until one may be kept: asked with when it finished and how many are
    /// remembered.
    fn forget_until(&mut self, keep: impl Fn(&Instant, usize) -> bool) {
        while let Some((finished, id)) = self.finished_order.front() {
            if keep(finished, self.finished_order.len()) {
                return;
            }
            self.finished.remove(id);
            self.finished_order.pop_front();
        }
    }
}

/// What a channel id in a frame means.
pub(super) enum Admission {
    /// A channel at work, in a store.
    Open(Uuid, Inbox),
    /// Was one: drop the frame.
    Finished,
    /// A new one may start.
    Unknown,
    /// A new one, but there are too many.
    Full,
}

impl Channels {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            inner: Mutex::default(),
            open_max: limits.channels,
            finished_max: limits.finished_channels,
            finished_age: limits.finished_age,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a frame of this channel means. Changes nothing that another frame would find.
    pub(super) fn find(&self, id: Uuid) -> Admission {
        let mut inner = self.lock();
        inner.forget_until(|finished, _| finished.elapsed() < self.finished_age);
        if let Some((store, inbox)) = inner.open.get(&id) {
            Admission::Open(*store, inbox.clone())
        } else if inner.finished.contains_key(&id) {
            Admission::Finished
        } else if inner.open.len() >= self.open_max {
            Admission::Full
        } else {
            Admission::Unknown
        }
    }

    /// A message came for a finished channel. Whether its peer was told that all was stored, and this is the first since.
    pub(super) fn came_late(&self, id: Uuid) -> bool {
        self.lock().finished.get_mut(&id).is_some_and(std::mem::take)
    }

    pub(super) fn open(&self, head: FrameHead, inbox: Inbox) {
        self.lock().open.insert(head.channel_id, (head.store_id, inbox));
    }

    /// Forgets a channel's inbox and remembers its id, forgetting the oldest one where there are too many.
    /// `answered` if its peer is told that all it produced is stored.
    pub(super) fn finish(&self, id: Uuid, answered: bool) {
        let mut inner = self.lock();
        inner.open.remove(&id);
        if inner.finished.insert(id, answered).is_none() {
            inner.finished_order.push_back((Instant::now(), id));
            inner.forget_until(|_, count| count <= self.finished_max);
        }
    }

    /// Remembers the end of a channel whose request has not come.
    pub(super) fn ended_early(&self, id: Uuid) {
        let mut inner = self.lock();
        if inner.early_ends.insert(id) {
            inner.early_ends_order.push_back((Instant::now(), id));
        }
        while inner.early_ends_order.len() > EARLY_ENDS_MAX {
            let oldest = inner.early_ends_order.pop_front();
            oldest.map(|(_, id)| inner.early_ends.remove(&id));
        }
    }

    /// Whether the end of a channel whose request comes now was here before it.
    pub(super) fn take_early_end(&self, id: Uuid) -> bool {
        let mut inner = self.lock();
        while let Some((came, oldest)) = inner.early_ends_order.front().copied() {
            if came.elapsed() < self.finished_age {
                break;
            }
            inner.early_ends.remove(&oldest);
            inner.early_ends_order.pop_front();
        }
        // Its place in the order stays, and is passed when its time comes.
        inner.early_ends.remove(&id)
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// How many open channels hold room for messages.
    pub(super) fn holding_room(&self) -> usize {
        self.lock()
            .open
            .values()
            .filter(|(_, inbox)| inbox.holds_room())
            .count()
    }

    /// Drops all inboxes: no channel receives anything more.
    pub(super) fn close(&self) {
        self.lock().open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budgets::Budgets;
    use crate::v1::inbox::Inboxes;

    #[test]
    fn finished_channels_are_remembered_and_the_oldest_forgotten_first() {
        let limits = Limits {
            channels: 2,
            finished_channels: 2,
            ..Limits::default()
        };
        let channels = Channels::new(&limits);
        let inboxes = Inboxes::new(&limits, std::sync::Arc::new(Budgets::new(&limits))).0;
        let ids: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        let head = |id| FrameHead::new(Uuid::nil(), id);
        channels.open(head(ids[0]), inboxes.channel(Uuid::nil()).0);
        assert!(matches!(channels.find(ids[0]), Admission::Open(..)));
        assert!(matches!(channels.find(ids[1]), Admission::Unknown));
        channels.open(head(ids[1]), inboxes.channel(Uuid::nil()).0);
        assert!(matches!(channels.find(ids[2]), Admission::Full));
        for id in &ids[..3] {
            channels.finish(*id, false);
        }
        assert!(
            matches!(channels.find(ids[0]), Admission::Unknown),
            "the oldest is forgotten"
        );
        assert!(matches!(channels.find(ids[1]), Admission::Finished));
        assert!(matches!(channels.find(ids[2]), Admission::Finished));
        assert!(matches!(channels.find(ids[3]), Admission::Unknown));
    }

    #[test]
    fn a_finished_channel_is_forgotten_with_age_and_its_id_usable_again() {
        let limits = Limits {
            finished_age: Duration::ZERO,
            ..Limits::default()
        };
        let channels = Channels::new(&limits);
        channels.finish(Uuid::from_u128(1), false);
        assert!(matches!(channels.find(Uuid::from_u128(1)), Admission::Unknown));
        assert!(channels.lock().finished.is_empty() && channels.lock().finished_order.is_empty());
    }

    #[test]
    fn to_look_for_a_channel_does_not_hide_a_record_that_comes_after_its_answer() {
        let channels = Channels::new(&Limits::default());
        let id = Uuid::from_u128(1);
        channels.finish(id, true);
        assert!(matches!(channels.find(id), Admission::Finished));
        assert!(channels.came_late(id), "the first record behind the answer");
        assert!(!channels.came_late(id), "is told once");
    }
}

//! Gives places, and chooses the idle stores to close for them.

use super::{FRUITLESS, HANGING_MAX, OpenStores, SOME_MAX, StoreJob, StoreSlot, Waiter, tell_all};
use crate::error::OpenError;
use crate::runtime::sync::Instant;
use std::time::Duration;
use streamkit_record::StoreId;

impl<S: Clone> OpenStores<S> {
    /// What there is none of for a store more.
    pub(super) fn none_left(&self) -> OpenError {
        match self.taken < self.places {
            true => OpenError::TooManyFiles(self.descriptors.most()),
            false => OpenError::TooManyStores(self.places),
        }
    }

    /// Whether a store more may be opened.
    pub(super) fn has_room(&self) -> bool {
        let opening = self.taken - self.by_age.len() - self.closing.len() - self.hanging;
        self.taken < self.places && self.descriptors.has_room(opening)
    }

    /// How many are to be closed: one for each that waits for a place, and for each descriptor that is held beyond what may be.
    pub(super) fn unwanted(&self) -> usize {
        self.queue.len() + self.descriptors.excess()
    }

    /// Gives places to those who wait for one, and has stores closed that are at rest where there is none: as many as are
    /// waited for, or hold too many descriptors. Where nobody may wait (`patient`), whoever finds neither is refused.
    pub(crate) fn give(&mut self, is_idle: impl Fn(&S) -> bool, patient: bool) -> Vec<StoreJob<S>> {
        let mut jobs = Vec::new();
        while self.has_room()
            && let Some(id) = self.queue.pop_front()
        {
            let Some(StoreSlot::Queued { waiters, .. }) = self.all.remove(&id) else {
                continue;
            };
            if waiters.iter().all(|waiter| waiter.answer.is_closed()) {
                continue;
            }
            self.taken += 1;
            let since = Instant::now();
            self.all.insert(id, StoreSlot::Opening { since, waiters });
            jobs.push(StoreJob::Open(id));
        }
        if patient {
            self.note_hanging();
        }
        let pause = self.pause();
        let looked_lately = |since: Instant| patient && since.elapsed() < pause;
        if self.closing.len() < self.unwanted() && !self.fruitless.is_some_and(looked_lately) {
            self.forget_who_gave_up();
        }
        while self.closing.len() < self.unwanted() && !self.fruitless.is_some_and(looked_lately) {
            match self.oldest_idle(&is_idle) {
                Some((id, store)) => jobs.push(StoreJob::Close(id, store)),
                // Those that are being opened come to rest, too.
                None if patient || self.by_age.len() + self.closing.len() < self.taken => {
                    self.fruitless = Some(Instant::now());
                    break;
                }
                None => {
                    let why = self.none_left();
                    let refused = self.queue.split_off(self.closing.len().min(self.queue.len()));
                    for id in refused {
                        if let Some(StoreSlot::Queued { waiters, .. }) = self.all.remove(&id) {
                            tell_all(waiters, &why);
                        }
                    }
                    break;
                }
            }
        }
        jobs
    }

    /// Has some stores closed that are at rest, as no descriptors are left for others.
    pub(crate) fn close_some(&mut self, is_idle: impl Fn(&S) -> bool) -> Vec<StoreJob<S>> {
        if self.fruitless.is_some_and(|since| since.elapsed() < self.pause()) {
            return Vec::new();
        }
        let idle = (0..(self.places / 16).clamp(1, SOME_MAX)).map_while(|_| self.oldest_idle(&is_idle));
        let jobs: Vec<_> = idle.map(|(id, store)| StoreJob::Close(id, store)).collect();
        if jobs.is_empty() {
            self.fruitless = Some(Instant::now());
        }
        jobs
    }

    /// Whether it is for want of descriptors, not of places, that stores wait or are closed.
    pub(crate) fn is_short_of_descriptors(&self) -> bool {
        self.taken < self.places && self.unwanted() > 0
    }

    /// How long no search for a store at rest is begun after one that found none.
    pub(super) fn pause(&self) -> Duration {
        FRUITLESS * u32::try_from(self.by_age.len()).unwrap_or(u32::MAX)
    }

    /// Counts no longer on the places of those that are being closed for too long.
    pub(super) fn note_hanging(&mut self) {
        while self.hanging < HANGING_MAX
            && let Some((since, _)) = self.closing.first()
            && since.elapsed() >= self.hangs_after
        {
            self.closing.pop_first();
            self.hanging += 1;
        }
    }

    /// Takes those out of the queue for whom nobody waits any more: no store is closed for them.
    pub(super) fn forget_who_gave_up(&mut self) {
        let all = &mut self.all;
        self.queue.retain(|id| {
            let waits = |waiter: &Waiter<S>| !waiter.answer.is_closed();
            let is_wanted = matches!(all.get(id), Some(StoreSlot::Queued { waiters, .. }) if waiters.iter().any(waits));
            if !is_wanted {
                all.remove(id);
            }
            is_wanted
        });
    }

    /// Takes the store that was not asked for the longest of those at rest. Those in use that stand before it go behind
    /// the others: the next search does not meet them again.
    pub(crate) fn oldest_idle(&mut self, is_idle: impl Fn(&S) -> bool) -> Option<(StoreId, S)> {
        for _ in 0..self.by_age.len() {
            let (_, id) = self.by_age.pop_first()?;
            let Some(StoreSlot::Open { store, asked }) = self.all.get_mut(&id) else {
                continue;
            };
            if is_idle(store) {
                let Some(StoreSlot::Open { store, .. }) = self.begin_to_close(id) else {
                    continue;
                };
                self.evicted += 1;
                return Some((id, store));
            }
            self.last_asked += 1;
            *asked = self.last_asked;
            self.by_age.insert(self.last_asked, id);
        }
        None
    }
}

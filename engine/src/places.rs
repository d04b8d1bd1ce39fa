//! Which stores are open, which are being opened or closed, and who waits for them. No I/O and no thread: whoever holds the table
//! does what it returns.
//!
//! So many stores may be open at a time, and their logs hold so many descriptors. Those that are being opened or closed count; a
//! store that is only looked for, or waits for a place, does not. A place is given in the order in which it was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::descriptors::Descriptors;
use crate::error::{OpenError, StorageError};
use crate::model::StoreId;
use crate::sync::Instant;

/// After a search for a store at rest that found none, none is begun for so long a store that is open: it looks at all of them.
const FRUITLESS: Duration = Duration::from_micros(2);

/// A store that is not closed after so long may never be: it is no place that others can count on.
const HANGS: Duration = Duration::from_secs(1);

/// So many may hang before no further ones are closed in their stead: with the disk of all, each would be lost to readers, too.
const HANGING_MAX: usize = 32;

/// So many stores are closed at a time where no descriptors are left.
const SOME_MAX: usize = 64;

type Answer<S> = oneshot::Sender<Result<S, OpenError>>;

/// Who waits for a store.
pub(crate) struct Waiter<S> {
    /// It only reads: a store that is not there need not be opened for it.
    reads: bool,
    answer: Answer<S>,
}

enum Place<S> {
    /// It is looked for on the disk.
    Sought {
        since: Instant,
        waiters: Vec<Waiter<S>>,
    },
    /// It is there, or is to be made, and waits for its turn.
    Queued {
        there: bool,
        waiters: Vec<Waiter<S>>,
    },
    Opening {
        since: Instant,
        waiters: Vec<Waiter<S>>,
    },
    Open {
        store: S,
        asked: u64,
    },
    /// It is opened again afterwards where somebody waits for it.
    Closing {
        since: Instant,
        waiters: Vec<Waiter<S>>,
    },
}

/// What is to be done for a store, by a thread that may wait for the disk.
pub(crate) enum Job<S> {
    /// Look whether it is there; then [`Places::found`].
    Seek(StoreId),
    /// Tell somebody that it is empty, as it is not there.
    Empty(StoreId, Waiter<S>),
    /// Then [`Places::opened`].
    Open(StoreId),
    /// Then [`Places::closed`].
    Close(StoreId, S),
}

/// What asking for a store came to.
pub(crate) enum Asked<S> {
    Open(S),
    /// Perhaps with something to be done first.
    Wait(oneshot::Receiver<Result<S, OpenError>>, Option<Job<S>>),
    Refused(OpenError),
}

pub(crate) struct Places<S> {
    all: HashMap<StoreId, Place<S>>,
    /// Open ones by when they were asked for last. One that was in use when a place was looked for counts as asked for then.
    by_age: BTreeMap<u64, StoreId>,
    last_asked: u64,
    queue: VecDeque<StoreId>,
    taken: usize,
    /// Those that are being closed, all but those that seem to hang.
    closing: BTreeSet<(Instant, StoreId)>,
    hanging: usize,
    hangs_after: Duration,
    places: usize,
    descriptors: Arc<Descriptors>,
    fruitless: Option<Instant>,
    /// No store is opened any more.
    ended: bool,
}

impl<S: Clone> Places<S> {
    pub(crate) fn new(places: usize, descriptors: Arc<Descriptors>) -> Self {
        Self {
            all: HashMap::new(),
            by_age: BTreeMap::new(),
            last_asked: 0,
            queue: VecDeque::new(),
            taken: 0,
            closing: BTreeSet::new(),
            hanging: 0,
            hangs_after: HANGS,
            places,
            descriptors,
            fruitless: None,
            ended: false,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The stores that are open.
    pub(crate) fn open(&self) -> impl Iterator<Item = (StoreId, &S)> {
        self.all.iter().filter_map(|(id, place)| match place {
            Place::Open { store, .. } => Some((*id, store)),
            _ => None,
        })
    }

    /// The stores of which a thread may have files open or be opening them.
    pub(crate) fn unfinished(&self) -> Vec<StoreId> {
        let mut ids: Vec<StoreId> = self.all.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Asks for a store. One whose opening or closing goes on for longer than `patience` is refused at once.
    pub(crate) fn ask(&mut self, id: StoreId, reads: bool, patience: Duration) -> Asked<S> {
        if self.ended {
            return Asked::Refused(StorageError::Closed.into());
        }
        let (answer, receive) = oneshot::channel();
        let waiter = Waiter { reads, answer };
        match self.all.get_mut(&id) {
            None => {
                let (since, waiters) = (Instant::now(), vec![waiter]);
                self.all.insert(id, Place::Sought { since, waiters });
                return Asked::Wait(receive, Some(Job::Seek(id)));
            }
            Some(Place::Open { store, asked }) => {
                self.by_age.remove(asked);
                self.last_asked += 1;
                *asked = self.last_asked;
                self.by_age.insert(*asked, id);
                return Asked::Open(store.clone());
            }
            // It stays so until it has a place.
            Some(Place::Queued { there: false, .. }) if reads => {
                return Asked::Wait(receive, Some(Job::Empty(id, waiter)));
            }
            Some(Place::Queued { waiters, .. }) => {
                waiters.retain(|waiter| !waiter.answer.is_closed());
                waiters.push(waiter);
            }
            Some(
                Place::Sought { since, waiters }
                | Place::Opening { since, waiters }
                | Place::Closing { since, waiters },
            ) => {
                let waited = since.elapsed();
                if waited >= patience {
                    return Asked::Refused(OpenError::StillOpening { store: id, waited });
                }
                // Those who gave up need no answer.
                waiters.retain(|waiter| !waiter.answer.is_closed());
                waiters.push(waiter);
            }
        }
        Asked::Wait(receive, None)
    }

    /// Why a store was not open in time.
    pub(crate) fn why_late(&self, id: StoreId, waited: Duration) -> OpenError {
        match self.all.get(&id) {
            Some(Place::Queued { .. }) => self.none_left(),
            _ => OpenError::StillOpening { store: id, waited },
        }
    }

    /// What there is none of for a store more.
    fn none_left(&self) -> OpenError {
        match self.taken < self.places {
            true => OpenError::TooManyFiles(self.descriptors.most()),
            false => OpenError::TooManyStores(self.places),
        }
    }

    /// Whether a store more may be opened.
    fn has_room(&self) -> bool {
        let opening = self.taken - self.by_age.len() - self.closing.len() - self.hanging;
        self.taken < self.places && self.descriptors.has_room(opening)
    }

    /// How many are to be closed: one for each that waits for a place, and for each descriptor that is held beyond what may be.
    fn unwanted(&self) -> usize {
        self.queue.len() + self.descriptors.excess()
    }

    /// Forgets a store that was to be sought, as nobody can.
    pub(crate) fn withdraw(&mut self, id: StoreId, why: &OpenError) {
        if let Some(Place::Sought { waiters, .. }) = self.all.remove(&id) {
            tell_all(waiters, why);
        }
    }

    /// Whether a store is on the disk. Returns those whose read needs nothing of it, as it is not.
    pub(crate) fn found(&mut self, id: StoreId, there: Result<bool, StorageError>) -> Vec<Waiter<S>> {
        let Some(Place::Sought { waiters, .. }) = self.all.remove(&id) else {
            // Everything was ended.
            return Vec::new();
        };
        match there {
            Err(error) => {
                tell_all(waiters, &error.into());
                Vec::new()
            }
            Ok(false) if waiters.iter().all(|waiter| waiter.reads) => waiters,
            Ok(there) => {
                self.all.insert(id, Place::Queued { there, waiters });
                self.queue.push_back(id);
                Vec::new()
            }
        }
    }

    /// Gives places to those who wait for one, and has stores closed that are at rest where there is none: as many as are
    /// waited for, or hold too many descriptors. Where nobody may wait (`patient`), whoever finds neither is refused.
    pub(crate) fn give(&mut self, is_idle: impl Fn(&S) -> bool, patient: bool) -> Vec<Job<S>> {
        let mut jobs = Vec::new();
        while self.has_room()
            && let Some(id) = self.queue.pop_front()
        {
            let Some(Place::Queued { waiters, .. }) = self.all.remove(&id) else {
                continue;
            };
            if waiters.iter().all(|waiter| waiter.answer.is_closed()) {
                continue;
            }
            self.taken += 1;
            let since = Instant::now();
            self.all.insert(id, Place::Opening { since, waiters });
            jobs.push(Job::Open(id));
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
                Some((id, store)) => jobs.push(Job::Close(id, store)),
                // Those that are being opened come to rest, too.
                None if patient || self.by_age.len() + self.closing.len() < self.taken => {
                    self.fruitless = Some(Instant::now());
                    break;
                }
                None => {
                    let why = self.none_left();
                    let refused = self.queue.split_off(self.closing.len().min(self.queue.len()));
                    for id in refused {
                        if let Some(Place::Queued { waiters, .. }) = self.all.remove(&id) {
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
    pub(crate) fn close_some(&mut self, is_idle: impl Fn(&S) -> bool) -> Vec<Job<S>> {
        if self.fruitless.is_some_and(|since| since.elapsed() < self.pause()) {
            return Vec::new();
        }
        let idle = (0..(self.places / 16).clamp(1, SOME_MAX)).map_while(|_| self.oldest_idle(&is_idle));
        let jobs: Vec<_> = idle.map(|(id, store)| Job::Close(id, store)).collect();
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
    fn pause(&self) -> Duration {
        FRUITLESS * u32::try_from(self.by_age.len()).unwrap_or(u32::MAX)
    }

    /// Counts no longer on the places of those that are being closed for too long.
    fn note_hanging(&mut self) {
        while self.hanging < HANGING_MAX
            && let Some((since, _)) = self.closing.first()
            && since.elapsed() >= self.hangs_after
        {
            self.closing.pop_first();
            self.hanging += 1;
        }
    }

    /// Takes those out of the queue for whom nobody waits any more: no store is closed for them.
    fn forget_who_gave_up(&mut self) {
        let all = &mut self.all;
        self.queue.retain(|id| {
            let waits = |waiter: &Waiter<S>| !waiter.answer.is_closed();
            let is_wanted = matches!(all.get(id), Some(Place::Queued { waiters, .. }) if waiters.iter().any(waits));
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
            let Some(Place::Open { store, asked }) = self.all.get_mut(&id) else {
                continue;
            };
            if is_idle(store) {
                let Some(Place::Open { store, .. }) = self.begin_to_close(id) else {
                    continue;
                };
                return Some((id, store));
            }
            self.last_asked += 1;
            *asked = self.last_asked;
            self.by_age.insert(self.last_asked, id);
        }
        None
    }

    /// A store is open, or failed to. Returns it if it is to be closed instead; then [`Places::closed`].
    pub(crate) fn opened(&mut self, id: StoreId, opened: Result<S, OpenError>) -> Option<S> {
        let Some(Place::Opening { waiters, .. }) = self.all.remove(&id) else {
            return None;
        };
        match opened {
            Ok(store) if self.ended => {
                tell_all(waiters, &StorageError::Closed.into());
                self.begin_to_close(id);
                Some(store)
            }
            Ok(store) => {
                self.last_asked += 1;
                let asked = self.last_asked;
                self.by_age.insert(asked, id);
                for waiter in waiters {
                    // Whoever gave up needs no answer.
                    let _ = waiter.answer.send(Ok(store.clone()));
                }
                self.all.insert(id, Place::Open { store, asked });
                None
            }
            Err(error) => {
                self.taken -= 1;
                tell_all(waiters, &error);
                None
            }
        }
    }

    fn begin_to_close(&mut self, id: StoreId) -> Option<Place<S>> {
        let (since, waiters) = (Instant::now(), Vec::new());
        self.closing.insert((since, id));
        self.all.insert(id, Place::Closing { since, waiters })
    }

    /// A store is closed. Whoever asked for it meanwhile waits for a place again.
    pub(crate) fn closed(&mut self, id: StoreId) {
        let Some(Place::Closing { since, mut waiters }) = self.all.remove(&id) else {
            return;
        };
        if !self.closing.remove(&(since, id)) {
            self.hanging -= 1;
        }
        self.taken -= 1;
        waiters.retain(|waiter| !waiter.answer.is_closed());
        if !waiters.is_empty() {
            self.all.insert(id, Place::Queued { there: true, waiters });
            self.queue.push_back(id);
        }
    }

    /// Opens none any more. Whoever waits is told so; returns the open ones, by id, which are to be closed.
    pub(crate) fn end(&mut self) -> Vec<(StoreId, S)> {
        self.ended = true;
        self.queue.clear();
        self.by_age.clear();
        let closed = || OpenError::from(StorageError::Closed);
        let mut open = Vec::new();
        let ids: Vec<StoreId> = self.all.keys().copied().collect();
        for id in ids {
            match self.all.get_mut(&id) {
                Some(Place::Open { .. }) => {
                    if let Some(Place::Open { store, .. }) = self.begin_to_close(id) {
                        open.push((id, store));
                    }
                }
                Some(Place::Sought { waiters, .. } | Place::Queued { waiters, .. }) => {
                    tell_all(std::mem::take(waiters), &closed());
                    self.all.remove(&id);
                }
                Some(Place::Opening { waiters, .. } | Place::Closing { waiters, .. }) => {
                    tell_all(std::mem::take(waiters), &closed());
                }
                None => {}
            }
        }
        open.sort_unstable_by_key(|(id, _)| *id);
        open
    }
}

impl<S> Waiter<S> {
    /// Gives it what it waits for. One that gave up needs nothing.
    pub(crate) fn tell(self, answer: Result<S, OpenError>) {
        let _ = self.answer.send(answer);
    }
}

fn tell_all<S>(waiters: Vec<Waiter<S>>, error: &OpenError) {
    for waiter in waiters {
        waiter.tell(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests;

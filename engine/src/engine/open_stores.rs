//! The table of stores that are open, or being opened or closed, and of their waiters. No I/O and no threads: the
//! caller does what the table returns.
//!
//! The table bounds the number of open stores and the descriptors of their logs. Stores being opened or closed count;
//! one that is only looked up, or waits for a place, does not. Places are given in order of request.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::directory::descriptors::Descriptors;
use crate::error::{OpenError, StorageError};
use crate::runtime::sync::Instant;
use streamkit_record::StoreId;

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

enum StoreSlot<S> {
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
pub(crate) enum StoreJob<S> {
    /// Look whether it is there; then [`OpenStores::found`].
    Seek(StoreId),
    /// Tell somebody that it is empty, as it is not there.
    Empty(StoreId, Waiter<S>),
    /// Then [`OpenStores::opened`].
    Open(StoreId),
    /// Then [`OpenStores::closed`].
    Close(StoreId, S),
}

/// What asking for a store came to.
pub(crate) enum Asked<S> {
    Open(S),
    /// Perhaps with something to be done first.
    Wait(oneshot::Receiver<Result<S, OpenError>>, Option<StoreJob<S>>),
    Refused(OpenError),
}

pub(crate) struct OpenStores<S> {
    all: HashMap<StoreId, StoreSlot<S>>,
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
    evicted: u64,
    /// No store is opened any more.
    ended: bool,
}

impl<S: Clone> OpenStores<S> {
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
            evicted: 0,
            ended: false,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// How many were closed so that others could be opened.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The stores that are open.
    pub(crate) fn open(&self) -> impl Iterator<Item = (StoreId, &S)> {
        self.all.iter().filter_map(|(id, place)| match place {
            StoreSlot::Open { store, .. } => Some((*id, store)),
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
                self.all.insert(id, StoreSlot::Sought { since, waiters });
                return Asked::Wait(receive, Some(StoreJob::Seek(id)));
            }
            Some(StoreSlot::Open { store, asked }) => {
                self.by_age.remove(asked);
                self.last_asked += 1;
                *asked = self.last_asked;
                self.by_age.insert(*asked, id);
                return Asked::Open(store.clone());
            }
            // It stays so until it has a place.
            Some(StoreSlot::Queued { there: false, .. }) if reads => {
                return Asked::Wait(receive, Some(StoreJob::Empty(id, waiter)));
            }
            Some(StoreSlot::Queued { waiters, .. }) => {
                waiters.retain(|waiter| !waiter.answer.is_closed());
                waiters.push(waiter);
            }
            Some(
                StoreSlot::Sought { since, waiters }
                | StoreSlot::Opening { since, waiters }
                | StoreSlot::Closing { since, waiters },
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
            Some(StoreSlot::Queued { .. }) => self.none_left(),
            _ => OpenError::StillOpening { store: id, waited },
        }
    }

    /// Forgets a store that was to be sought, as nobody can.
    pub(crate) fn withdraw(&mut self, id: StoreId, why: &OpenError) {
        if let Some(StoreSlot::Sought { waiters, .. }) = self.all.remove(&id) {
            tell_all(waiters, why);
        }
    }

    /// Whether a store is on the disk. Returns those whose read needs nothing of it, as it is not.
    pub(crate) fn found(&mut self, id: StoreId, there: Result<bool, StorageError>) -> Vec<Waiter<S>> {
        let Some(StoreSlot::Sought { waiters, .. }) = self.all.remove(&id) else {
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
                self.all.insert(id, StoreSlot::Queued { there, waiters });
                self.queue.push_back(id);
                Vec::new()
            }
        }
    }

    /// A store is open, or failed to. Returns it if it is to be closed instead; then [`OpenStores::closed`].
    pub(crate) fn opened(&mut self, id: StoreId, opened: Result<S, OpenError>) -> Option<S> {
        let Some(StoreSlot::Opening { waiters, .. }) = self.all.remove(&id) else {
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
                self.all.insert(id, StoreSlot::Open { store, asked });
                None
            }
            Err(error) => {
                self.taken -= 1;
                tell_all(waiters, &error);
                None
            }
        }
    }

    fn begin_to_close(&mut self, id: StoreId) -> Option<StoreSlot<S>> {
        let (since, waiters) = (Instant::now(), Vec::new());
        self.closing.insert((since, id));
        self.all.insert(id, StoreSlot::Closing { since, waiters })
    }

    /// A store is closed. Whoever asked for it meanwhile waits for a place again.
    pub(crate) fn closed(&mut self, id: StoreId) {
        let Some(StoreSlot::Closing { since, mut waiters }) = self.all.remove(&id) else {
            return;
        };
        if !self.closing.remove(&(since, id)) {
            self.hanging -= 1;
        }
        self.taken -= 1;
        waiters.retain(|waiter| !waiter.answer.is_closed());
        if !waiters.is_empty() {
            self.all.insert(id, StoreSlot::Queued { there: true, waiters });
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
                Some(StoreSlot::Open { .. }) => {
                    if let Some(StoreSlot::Open { store, .. }) = self.begin_to_close(id) {
                        open.push((id, store));
                    }
                }
                Some(StoreSlot::Sought { waiters, .. } | StoreSlot::Queued { waiters, .. }) => {
                    tell_all(std::mem::take(waiters), &closed());
                    self.all.remove(&id);
                }
                Some(StoreSlot::Opening { waiters, .. } | StoreSlot::Closing { waiters, .. }) => {
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

mod giving;

#[cfg(test)]
mod tests;

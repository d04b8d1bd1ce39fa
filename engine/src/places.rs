//! Which stores are open, which are being opened or closed, and who waits for them. No I/O and no thread: whoever holds the table
//! does what it returns.
//!
//! So many stores may be open at a time. Those that are being opened or closed count; a store that is only looked for, or waits for
//! a place, does not. A place is given in the order in which it was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{OpenError, StorageError};
use crate::model::StoreId;
use crate::sync::Instant;

/// After a search for a store at rest that found none, none is begun for so long a store that is open: it looks at all of them.
const FRUITLESS: Duration = Duration::from_micros(2);

/// A store that is not closed after so long may never be: it is no place that others can count on.
const HANGS: Duration = Duration::from_secs(1);

/// So many may hang before no further ones are closed in their stead: with the disk of all, each would be lost to readers, too.
const HANGING_MAX: usize = 32;

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
    fruitless: Option<Instant>,
    /// No store is opened any more.
    ended: bool,
}

impl<S: Clone> Places<S> {
    pub(crate) fn new(places: usize) -> Self {
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
            Some(Place::Queued { .. }) => OpenError::TooManyStores(self.places),
            _ => OpenError::StillOpening { store: id, waited },
        }
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
    /// waited for. Where nobody may wait (`patient`), whoever finds neither is refused.
    pub(crate) fn give(&mut self, is_idle: impl Fn(&S) -> bool, patient: bool) -> Vec<Job<S>> {
        let mut jobs = Vec::new();
        while self.taken < self.places
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
        let pause = FRUITLESS * u32::try_from(self.by_age.len()).unwrap_or(u32::MAX);
        let looked_lately = |since: Instant| patient && since.elapsed() < pause;
        if self.closing.len() < self.queue.len() && !self.fruitless.is_some_and(looked_lately) {
            self.forget_who_gave_up();
        }
        while self.closing.len() < self.queue.len() && !self.fruitless.is_some_and(looked_lately) {
            match self.oldest_idle(&is_idle) {
                Some((id, store)) => jobs.push(Job::Close(id, store)),
                // Those that are being opened come to rest, too.
                None if patient || self.by_age.len() + self.closing.len() < self.taken => {
                    self.fruitless = Some(Instant::now());
                    break;
                }
                None => {
                    let refused = self.queue.split_off(self.closing.len());
                    for id in refused {
                        if let Some(Place::Queued { waiters, .. }) = self.all.remove(&id) {
                            tell_all(waiters, &OpenError::TooManyStores(self.places));
                        }
                    }
                }
            }
        }
        jobs
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
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3600);

    fn id(number: u128) -> StoreId {
        StoreId(uuid::Uuid::from_u128(number))
    }

    /// Does at once what is to be done, and counts the stores that were closed.
    fn run(places: &mut Places<u128>, mut jobs: Vec<Job<u128>>, in_use: &[u128]) -> Vec<u128> {
        let mut closed = Vec::new();
        while let Some(job) = jobs.pop() {
            match job {
                Job::Empty(..) => panic!("nobody reads here"),
                Job::Seek(id) => assert!(places.found(id, Ok(true)).is_empty()),
                Job::Open(id) => assert!(places.opened(id, Ok(id.0.as_u128())).is_none()),
                Job::Close(id, number) => {
                    closed.push(number);
                    places.closed(id);
                }
            }
            jobs.extend(places.give(|store| !in_use.contains(store), false));
        }
        closed
    }

    fn ask(places: &mut Places<u128>, number: u128, in_use: &[u128]) -> (Option<Result<u128, OpenError>>, Vec<u128>) {
        match places.ask(id(number), false, PATIENCE) {
            Asked::Open(store) => (Some(Ok(store)), Vec::new()),
            Asked::Refused(error) => (Some(Err(error)), Vec::new()),
            Asked::Wait(mut receive, job) => {
                let closed = run(places, job.into_iter().collect(), in_use);
                (receive.try_recv().ok(), closed)
            }
        }
    }

    #[test]
    fn the_one_not_asked_for_the_longest_and_not_in_use_makes_room() {
        let mut places = Places::new(3);
        for number in [1, 2, 3, 1] {
            assert!(matches!(ask(&mut places, number, &[]), (Some(Ok(found)), _) if found == number));
        }
        assert_eq!(ask(&mut places, 4, &[2]).1, [3], "2 is in use, 1 was asked for again");
        assert_eq!(
            ask(&mut places, 5, &[]).1,
            [1],
            "2 counts as asked for when it was found in use"
        );
    }

    #[test]
    fn who_finds_every_place_in_use_is_refused_and_takes_none() {
        let mut places = Places::new(2);
        for number in [1, 2] {
            ask(&mut places, number, &[]);
        }
        let (answer, closed) = ask(&mut places, 3, &[1, 2]);
        assert!(matches!(answer, Some(Err(OpenError::TooManyStores(2)))) && closed.is_empty());
        assert_eq!(places.unfinished(), [id(1), id(2)]);
        assert!(matches!(ask(&mut places, 3, &[1]), (Some(Ok(3)), closed) if closed == [2]));
    }

    #[test]
    fn a_store_wanted_while_it_is_closed_is_opened_again() {
        let mut places = Places::new(1);
        ask(&mut places, 1, &[]);
        let Asked::Wait(mut second, Some(seek)) = places.ask(id(2), false, PATIENCE) else {
            panic!("it is not open")
        };
        let Job::Seek(sought) = seek else { panic!() };
        places.found(sought, Ok(true));
        let mut jobs = places.give(|_| true, false);
        assert!(matches!(jobs[..], [Job::Close(..)]));
        let Asked::Wait(mut again, None) = places.ask(id(1), false, PATIENCE) else {
            panic!("it is being closed")
        };
        assert_eq!(run(&mut places, std::mem::take(&mut jobs), &[]), [1, 2]);
        assert_eq!(
            (second.try_recv().unwrap().unwrap(), again.try_recv().unwrap().unwrap()),
            (2, 1)
        );
    }

    #[test]
    fn a_store_that_is_not_there_takes_no_place_from_others_when_it_is_read() {
        let mut places = Places::new(1);
        ask(&mut places, 1, &[1]);
        let Asked::Wait(_, Some(Job::Seek(sought))) = places.ask(id(2), true, PATIENCE) else {
            panic!("it is not open")
        };
        assert_eq!(places.found(sought, Ok(false)).len(), 1);
        assert!(places.give(|_| true, false).is_empty());
        assert_eq!(places.unfinished(), [id(1)]);
        let Asked::Wait(_waits, Some(Job::Seek(sought))) = places.ask(id(2), false, PATIENCE) else {
            panic!("it is not open")
        };
        places.found(sought, Ok(false));
        let read = places.ask(id(2), true, PATIENCE);
        assert!(
            matches!(read, Asked::Wait(_, Some(Job::Empty(..)))),
            "nor does it wait behind a write"
        );
    }

    /// As many are open as may be, and one more is asked for.
    fn one_more_than_places(places: usize, hangs_after: Duration) -> (Places<u128>, Vec<Waits>) {
        let mut table = Places::new(places);
        table.hangs_after = hangs_after;
        for number in 1..=places as u128 {
            ask(&mut table, number, &[]);
        }
        let waits = vec![queue(&mut table, 100)];
        (table, waits)
    }

    type Waits = oneshot::Receiver<Result<u128, OpenError>>;

    fn queue(places: &mut Places<u128>, number: u128) -> Waits {
        let Asked::Wait(waits, Some(Job::Seek(_))) = places.ask(id(number), false, PATIENCE) else {
            panic!("it is not open")
        };
        places.found(id(number), Ok(true));
        waits
    }

    fn closes(places: &mut Places<u128>) -> usize {
        let jobs = places.give(|_| true, true);
        assert!(jobs.iter().all(|job| matches!(job, Job::Close(..))));
        jobs.len()
    }

    #[test]
    fn another_store_at_rest_makes_room_where_the_closing_of_one_hangs() {
        let (mut places, _waits) = one_more_than_places(3, PATIENCE);
        assert_eq!(closes(&mut places), 1);
        assert_eq!(closes(&mut places), 0, "one is enough, as long as it may end");
        places.hangs_after = Duration::ZERO;
        assert_eq!(closes(&mut places), 1);
        places.closed(id(2));
        let jobs = places.give(|_| true, true);
        assert!(matches!(jobs[..], [Job::Open(opens)] if opens == id(100)));
        places.opened(id(100), Ok(100));
        places.closed(id(1));
        assert_eq!(places.unfinished(), [id(3), id(100)]);
        assert!(
            matches!(ask(&mut places, 5, &[]).0, Some(Ok(5))),
            "the one that hung at last gave its place back"
        );
    }

    #[test]
    fn not_every_store_is_closed_where_all_closings_hang() {
        let (mut places, _waits) = one_more_than_places(2 * HANGING_MAX, Duration::ZERO);
        let begun: usize = (0..2 * HANGING_MAX).map(|_| closes(&mut places)).sum();
        assert_eq!(begun, HANGING_MAX + 1);
    }

    #[test]
    fn no_store_is_closed_for_someone_who_gave_up() {
        let (mut places, mut waits) = one_more_than_places(3, PATIENCE);
        drop(waits.pop());
        let _waits = queue(&mut places, 101);
        assert_eq!(closes(&mut places), 1);
        assert!(!places.unfinished().contains(&id(100)));
    }

    #[test]
    fn no_second_opening_is_begun_beside_one_that_hangs_and_nobody_waits_for_it_again() {
        let mut places = Places::<u128>::new(1);
        let Asked::Wait(first, Some(Job::Seek(_))) = places.ask(id(1), false, PATIENCE) else {
            panic!("it is not open")
        };
        assert!(matches!(places.ask(id(1), false, PATIENCE), Asked::Wait(_, None)));
        let refused = places.ask(id(1), false, Duration::ZERO);
        assert!(matches!(refused, Asked::Refused(OpenError::StillOpening { .. })));
        drop(first);
    }

    #[test]
    fn whoever_waits_when_all_ends_is_told_and_what_opens_late_is_closed() {
        let mut places = Places::<u128>::new(1);
        let Asked::Wait(mut first, _) = places.ask(id(1), false, PATIENCE) else {
            panic!()
        };
        places.found(id(1), Ok(true));
        assert_eq!(places.give(|_| true, true).len(), 1);
        let Asked::Wait(mut second, _) = places.ask(id(2), false, PATIENCE) else {
            panic!()
        };
        assert!(places.end().is_empty());
        for waiting in [&mut first, &mut second] {
            let told = waiting.try_recv().unwrap();
            assert!(matches!(told, Err(OpenError::Storage(StorageError::Closed))));
        }
        assert_eq!(places.opened(id(1), Ok(1)), Some(1));
        places.closed(id(1));
        assert!(places.unfinished().is_empty());
    }
}

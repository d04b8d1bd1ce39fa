//! Two threads for one scan: where each entry takes its own read, another thread reads the second half of a batch
//! while the first half is read. That halves the wait for a device, and uses two processors for cached entries.

use std::sync::{Arc, PoisonError};

use super::Scan;
use crate::log::opened::StoreLog;
use crate::runtime::sync::{Condvar, Mutex};
use crate::runtime::workers::Workers;

/// Entries that a part of a batch has at least: fewer are read sooner than another thread wakes up.
pub(super) const PART_ENTRIES_MIN: u64 = 64;

enum State<S: Scan> {
    /// Nobody has come to it.
    Waiting(S),
    Working,
    Read(S::Batch),
    /// It was taken, or could not be read.
    Gone,
}

struct PartAhead<S: Scan> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

/// A part of a scan that another thread may be reading.
pub(super) struct Ahead<S: Scan>(Arc<PartAhead<S>>);

impl<S: Scan> Ahead<S> {
    /// Has the first batch of a scan read by another thread; `None` if all of them have something to do, and then no scan is
    /// made.
    pub(super) fn start(log: &StoreLog, scan: impl FnOnce() -> S) -> Option<Self> {
        let pools = log.pools.upgrade()?;
        Self::start_on(&pools.read, scan)
    }

    fn start_on(workers: &Workers, scan: impl FnOnce() -> S) -> Option<Self> {
        if workers.are_wanted() {
            return None;
        }
        let scan = scan();
        let part = Arc::new(PartAhead {
            state: Mutex::new(State::Waiting(scan)),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&part);
        workers.spawn(move || own.read());
        Some(Self(part))
    }

    /// What was read, waiting for whoever is at it. `None` if nobody came to it, or it failed: then it is to be read as if
    /// it had never been started.
    pub(super) fn finish(self) -> Option<S::Batch> {
        let part = self.0;
        let mut state = part.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *state, State::Gone) {
                State::Working => {
                    *state = State::Working;
                    state = part.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                State::Read(batch) => return Some(batch),
                State::Waiting(_) | State::Gone => return None,
            }
        }
    }
}

impl<S: Scan> PartAhead<S> {
    fn put(&self, state: State<S>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    fn read(&self) {
        let mut scan = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *state, State::Working) {
                State::Waiting(scan) => scan,
                other => return *state = other,
            }
        };
        let end = GoneOnDrop(self);
        let read = scan.next_batch();
        self.put(match read {
            Ok(Some(batch)) => State::Read(batch),
            // Whoever wants it reads it again, and says what is wrong.
            Ok(None) | Err(_) => State::Gone,
        });
        std::mem::forget(end);
    }
}

/// Whatever ends a read, nobody waits for it for ever.
struct GoneOnDrop<'a, S: Scan>(&'a PartAhead<S>);

impl<S: Scan> Drop for GoneOnDrop<'_, S> {
    fn drop(&mut self) {
        self.0.put(State::Gone);
    }
}

#[cfg(all(test, feature = "schedules"))]
mod schedules {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::error::StorageError;
    use crate::read::gather::Entries;
    use crate::runtime::sync::thread;
    use crate::schedules::{explore, panic_silently};

    #[derive(Clone, Copy)]
    enum Outcome {
        Entries,
        Nothing,
        Failure,
        Panic,
    }

    /// A scan of one batch, and how often it was read.
    struct Planned(Outcome, Arc<AtomicUsize>);

    impl Scan for Planned {
        type Batch = Entries;

        fn next_batch(&mut self) -> Result<Option<Entries>, StorageError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            match self.0 {
                Outcome::Entries => Ok(Some(Entries::default())),
                Outcome::Nothing => Ok(None),
                Outcome::Failure => Err(StorageError::Closed),
                Outcome::Panic => panic_silently(),
            }
        }

        fn is_done(&self) -> bool {
            false
        }

        fn explain(&self, error: StorageError) -> StorageError {
            error
        }
    }

    fn whoever_waits(outcome: Outcome) {
        explore(2000, move || {
            let workers = Workers::new("test", 1, Duration::ZERO, None).unwrap();
            let read = Arc::new(AtomicUsize::new(0));
            let Some(ahead) = Ahead::start_on(&workers, || Planned(outcome, Arc::clone(&read))) else {
                unreachable!("nothing is queued");
            };
            let dropped = thread::spawn(move || drop(workers));
            let found = ahead.finish();
            let begun = read.load(Ordering::Relaxed);
            dropped.join().unwrap();
            assert_eq!(
                read.load(Ordering::Relaxed),
                begun,
                "what nobody had come to is not read any more"
            );
            let is_read = begun == 1 && matches!(outcome, Outcome::Entries);
            assert_eq!(found.is_some(), is_read, "read {begun} times");
        });
    }

    #[test]
    fn whoever_waits_for_a_part_gets_it_or_reads_it_himself() {
        whoever_waits(Outcome::Entries);
        whoever_waits(Outcome::Nothing);
        whoever_waits(Outcome::Failure);
    }

    #[test]
    fn nobody_waits_for_ever_for_a_reader_that_panicked() {
        whoever_waits(Outcome::Panic);
    }
}

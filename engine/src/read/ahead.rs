//! Two threads for one scan: where each entry takes a read of its own, another thread reads the second half of a batch while
//! the first half is read. Whoever waits for a device waits half as long, and entries that are cached take two processors
//! instead of one.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::Scan;
use crate::model::Entry;
use crate::shared::Shared;

/// Entries that a part of a batch has at least: fewer are read sooner than another thread wakes up.
pub(super) const PART_ENTRIES_MIN: u64 = 64;

enum State<S> {
    /// Nobody has come to it.
    Waiting(S),
    Working,
    Read(Vec<Entry>),
    /// It was taken, or could not be read.
    Gone,
}

struct Part<S> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

/// A part of a scan that another thread may be reading.
pub(super) struct Ahead<S>(Arc<Part<S>>);

impl<S: Scan> Ahead<S> {
    /// Has the first batch of a scan read by another thread; `None` if all of them have something to do, and then no scan is
    /// made.
    pub(super) fn start(shared: &Shared, scan: impl FnOnce() -> S) -> Option<Self> {
        let threads = shared.threads.upgrade()?;
        if threads.read.are_wanted() {
            return None;
        }
        let scan = scan();
        let part = Arc::new(Part {
            state: Mutex::new(State::Waiting(scan)),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&part);
        threads.read.spawn(move || own.read());
        Some(Self(part))
    }

    /// What was read, waiting for whoever is at it. `None` if nobody came to it, or it failed: then it is to be read as if
    /// it had never been started.
    pub(super) fn finish(self) -> Option<Vec<Entry>> {
        let part = self.0;
        let mut state = part.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *state, State::Gone) {
                State::Working => {
                    *state = State::Working;
                    state = part.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                State::Read(entries) => return Some(entries),
                State::Waiting(_) | State::Gone => return None,
            }
        }
    }
}

impl<S: Scan> Part<S> {
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
        let end = End(self);
        let read = scan.next_batch();
        self.put(match read {
            Ok(Some(entries)) => State::Read(entries),
            // Whoever wants it reads it again, and says what is wrong.
            Ok(None) | Err(_) => State::Gone,
        });
        std::mem::forget(end);
    }
}

/// Whatever ends a read, nobody waits for it for ever.
struct End<'a, S: Scan>(&'a Part<S>);

impl<S: Scan> Drop for End<'_, S> {
    fn drop(&mut self) {
        self.0.put(State::Gone);
    }
}

//! Circuit breakers of stores: after some failed openings in a row a store is left alone for a pause. After that exactly one opening is
//! tried, and the others are refused until it is decided: it closes the circuit, or opens it for another pause.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use streamkit_engine::StoreId;

/// Most stores whose failures are remembered; the oldest is forgotten first.
const FAILING_STORES_MAX: usize = 1024;

/// The circuits of all stores.
pub(crate) struct Circuits {
    /// Failures in a row that open a circuit.
    failures: u32,
    pause: Duration,
    failing: Mutex<HashMap<StoreId, Failing>>,
}

struct Failing {
    in_a_row: u32,
    last: Instant,
    /// The one that tries it behind the pause.
    probe: bool,
}

/// The right to try an opening. Dropped undecided, it changes nothing.
pub(crate) struct Trial {
    circuits: Arc<Circuits>,
    store: StoreId,
    begun: Instant,
    is_probe: bool,
}

impl Circuits {
    pub(crate) fn new(failures: u32, pause: Duration) -> Arc<Self> {
        let failing = Mutex::default();
        Arc::new(Self {
            failures,
            pause,
            failing,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StoreId, Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an opening now, if the store is not left alone.
    pub(crate) fn begin(self: &Arc<Self>, store: StoreId, now: Instant) -> Option<Trial> {
        let mut is_probe = false;
        if let Some(failing) = self.lock().get_mut(&store).filter(|f| f.in_a_row >= self.failures) {
            if failing.probe || now.saturating_duration_since(failing.last) < self.pause {
                return None;
            }
            failing.probe = true;
            is_probe = true;
        }
        Some(Trial {
            circuits: self.clone(),
            store,
            begun: now,
            is_probe,
        })
    }
}

impl Trial {
    /// The store is open.
    pub(crate) fn succeeded(mut self) {
        self.is_probe = false;
        let mut failing = self.circuits.lock();
        // Usually none fails, and each append comes by here.
        if !failing.is_empty() {
            failing.remove(&self.store);
        }
    }

    /// It is not. How many failures in a row that makes: those that were under way together count as one.
    pub(crate) fn failed(mut self, now: Instant) -> u32 {
        self.is_probe = false;
        let mut all = self.circuits.lock();
        if !all.contains_key(&self.store)
            && all.len() >= FAILING_STORES_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, f)| f.last).map(|(id, _)| *id)
        {
            all.remove(&oldest);
        }
        let first = Failing {
            in_a_row: 0,
            last: self.begun,
            probe: false,
        };
        let failing = all.entry(self.store).or_insert(first);
        if self.begun >= failing.last {
            failing.in_a_row = failing.in_a_row.saturating_add(1);
            failing.last = now;
            failing.probe = false;
        }
        failing.in_a_row
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.is_probe
            && let Some(failing) = self.circuits.lock().get_mut(&self.store)
        {
            failing.probe = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId(uuid::Uuid::from_u128(1));
    const PAUSE: Duration = Duration::from_secs(30);
    const MS: Duration = Duration::from_millis(1);

    /// A store whose circuit is open, and when it was opened.
    fn open() -> (Arc<Circuits>, Instant) {
        let circuits = Circuits::new(3, PAUSE);
        let mut now = Instant::now();
        for failures in 1..=3 {
            let trial = circuits.begin(STORE, now).unwrap();
            now += MS;
            assert_eq!(trial.failed(now), failures);
        }
        (circuits, now)
    }

    #[test]
    fn behind_the_pause_one_tries_and_its_failure_opens_the_circuit_for_another() {
        let (circuits, opened) = open();
        assert!(circuits.begin(STORE, opened + PAUSE - MS).is_none());
        let now = opened + PAUSE;
        let probe = circuits.begin(STORE, now).unwrap();
        assert!(circuits.begin(STORE, now + PAUSE).is_none(), "another tries");
        probe.failed(now + MS);
        assert!(circuits.begin(STORE, now + PAUSE).is_none());
        assert!(circuits.begin(STORE, now + PAUSE + MS).is_some());
    }

    #[test]
    fn its_success_closes_the_circuit() {
        let (circuits, opened) = open();
        let now = opened + PAUSE;
        circuits.begin(STORE, now).unwrap().succeeded();
        let both = (circuits.begin(STORE, now), circuits.begin(STORE, now));
        assert!(both.0.is_some() && both.1.is_some());
        assert!(circuits.lock().is_empty());
    }

    #[test]
    fn one_that_gives_up_lets_the_next_try() {
        let (circuits, opened) = open();
        let now = opened + PAUSE;
        drop(circuits.begin(STORE, now).unwrap());
        assert!(circuits.begin(STORE, now).is_some());
    }

    #[test]
    fn failures_of_one_opening_that_many_wait_for_count_once() {
        let circuits = Circuits::new(3, PAUSE);
        let now = Instant::now();
        let waiting: Vec<Trial> = (0..100).map(|_| circuits.begin(STORE, now).unwrap()).collect();
        for trial in waiting {
            assert_eq!(trial.failed(now + MS), 1);
        }
        let other = StoreId(uuid::Uuid::from_u128(2));
        assert!(circuits.begin(STORE, now + MS).is_some() && circuits.begin(other, now).is_some());
    }
}

//! An engine without threads. The work of its threads waits until the caller runs it, one piece at a time, in an order
//! that a seed decides. The same seed, disk and calls make the same run, so a simulation that found a fault finds it
//! again.
//!
//! The thread that creates the engine runs it. A call that blocks until work is done runs that work itself; the caller
//! polls async ones between the pieces.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::dice::Dice;

/// The work of one or more threads.
pub(crate) trait Steps: Send + Sync {
    /// Whether there is anything to do.
    fn is_waiting(&self) -> bool;
    /// Does one piece of work, if there is any.
    fn run_one(&self);
}

/// The work of an engine, for [`EngineConfig::stepper`](crate::EngineConfig::stepper). Clones share it.
#[derive(Clone)]
pub struct Stepper(Arc<Mutex<State>>);

struct State {
    dice: Dice,
    all: Vec<Weak<dyn Steps>>,
}

impl Stepper {
    /// `seed` decides what runs next when there is a choice.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice: Dice::new(seed),
            all: Vec::new(),
        })))
    }

    pub(crate) fn add(&self, work: &Arc<impl Steps + 'static>) {
        let work: Arc<dyn Steps> = Arc::clone(work) as _;
        self.state().all.push(Arc::downgrade(&work));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one piece of work; `false` if there is none.
    pub fn run_one(&self) -> bool {
        let mut state = self.state();
        state.all.retain(|work| work.strong_count() > 0);
        let waiting = state
            .all
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|work| work.is_waiting());
        let waiting: Vec<_> = waiting.collect();
        if waiting.is_empty() {
            return false;
        }
        let chosen = state.dice.below(waiting.len() as u64) as usize;
        drop(state);
        waiting[chosen].run_one();
        true
    }

    /// Runs work until `done()` returns true.
    ///
    /// # Panics
    /// As [`Stepper::must_run_one`].
    pub(crate) fn run_until(&self, done: impl Fn() -> bool) {
        while !done() {
            self.must_run_one();
        }
    }

    /// Runs one piece of work that a caller waits for.
    ///
    /// # Panics
    /// If there is none: the awaited result would never come.
    pub(crate) fn must_run_one(&self) {
        assert!(
            self.run_one(),
            "nothing is left to run, and what is waited for has not come"
        );
    }
}

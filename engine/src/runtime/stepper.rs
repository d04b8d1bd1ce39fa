//! An engine without threads: what its threads would do waits until it is run by hand, one piece at a time, in an order that
//! a seed decides. The same seed, disk and calls make the same run, so that a simulation which found a fault finds it again.
//!
//! Whoever makes the engine runs it, on the same thread. A call that blocks until work is done runs that work itself; an
//! async one is polled by its caller between the pieces.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::dice::Dice;

/// What would be one or more threads.
pub(crate) trait Steps: Send + Sync {
    /// Whether there is anything to do.
    fn is_waiting(&self) -> bool;
    /// Does one piece of it, if there is any.
    fn run_one(&self);
}

/// The work of an engine, for [`EngineConfig::stepper`](crate::EngineConfig::stepper). Clones are the same.
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

    /// Runs what there is until `done()`.
    ///
    /// # Panics
    /// As [`Stepper::must_run_one`].
    pub(crate) fn run_until(&self, done: impl Fn() -> bool) {
        while !done() {
            self.must_run_one();
        }
    }

    /// Runs one piece of work that somebody waits for.
    ///
    /// # Panics
    /// When there is none: what is waited for will never come.
    pub(crate) fn must_run_one(&self) {
        assert!(
            self.run_one(),
            "nothing is left to run, and what is waited for has not come"
        );
    }
}

//! Threads that open and close stores. One may hang as long as its disk does, so more are started while work waits, up
//! to a bound at which new work is refused.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::stepper::Stepper;
use super::sync::thread::{self, JoinHandle};
use super::sync::{Condvar, Instant, Mutex, MutexGuard};
use super::workers::Workers;

/// Threads that are always there.
const THREADS: usize = 2;

/// Most threads: so many stores may hang before others are refused.
const THREADS_MAX: usize = 64;

/// Work that waits for so long gets a thread of its own.
const SOON: Duration = Duration::from_millis(50);

/// When all threads are at work and some other waits for so long, all of them hang.
const STUCK: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    waiting: VecDeque<(Instant, Job)>,
    threads: usize,
    asleep: usize,
    ending: bool,
}

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    wake: Condvar,
}

/// The threads. Dropping them runs what is queued, then ends them.
pub(crate) struct Openers {
    pool: Arc<Pool>,
    always: Vec<JoinHandle<()>>,
    /// There are none: their work is run by hand.
    stepper: Option<Workers>,
}

impl Openers {
    pub(crate) fn new(stepper: Option<&Stepper>) -> std::io::Result<Self> {
        let pool = Arc::new(Pool::default());
        let mut always = Vec::new();
        let stepper = match stepper {
            Some(stepper) => Some(Workers::new("sk-open", 0, Duration::ZERO, Some(stepper))?),
            None => {
                for _ in 0..THREADS {
                    always.push(pool.start(&mut pool.state())?);
                }
                None
            }
        };
        Ok(Self { pool, always, stepper })
    }

    /// Queues a job.
    pub(crate) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(stepper) = &self.stepper {
            return stepper.spawn(job);
        }
        self.pool.state().waiting.push_back((Instant::now(), Box::new(job)));
        self.pool.wake.notify_one();
    }

    /// Runs a job that waits for others of these, on a thread of its own if none is free.
    pub(crate) fn spawn_at_once(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(stepper) = &self.stepper {
            return stepper.spawn(job);
        }
        let mut state = self.pool.state();
        state.waiting.push_front((Instant::now(), Box::new(job)));
        if state.asleep == 0 {
            // Without it the job waits for one of the others.
            let _ = self.pool.start(&mut state);
        }
        drop(state);
        self.pool.wake.notify_one();
    }

    /// Starts a thread more, if work waits for those that are. To be called now and then by whoever waits for work.
    pub(crate) fn tend(&self) {
        let mut state = self.pool.state();
        let waits = state.waiting.front().is_some_and(|(since, _)| since.elapsed() >= SOON);
        if waits && state.asleep == 0 && state.threads < THREADS_MAX {
            // Without it the work waits for one of the others.
            let _ = self.pool.start(&mut state);
        }
    }

    /// How many jobs hang, when they are as many as may and other work waits for them.
    pub(crate) fn stuck(&self) -> Option<usize> {
        let state = self.pool.state();
        let waits = state.waiting.front().is_some_and(|(since, _)| since.elapsed() >= STUCK);
        (waits && state.threads >= THREADS_MAX).then_some(THREADS_MAX)
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, state: &mut State) -> std::io::Result<JoinHandle<()>> {
        let pool = Arc::clone(self);
        let thread = thread::Builder::new().name("sk-open".to_owned());
        let thread = thread.spawn(move || pool.run())?;
        state.threads += 1;
        Ok(thread)
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            if let Some((_, job)) = state.waiting.pop_front() {
                drop(state);
                // A panic is a bug of ours; it must not take a thread that other stores depend on.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("opening or closing a store panicked");
                }
                state = self.state();
            } else if state.ending || state.threads > THREADS {
                state.threads -= 1;
                return;
            } else {
                state.asleep += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
            }
        }
    }
}

impl Drop for Openers {
    fn drop(&mut self) {
        self.pool.state().ending = true;
        self.pool.wake.notify_all();
        let own = thread::current().id();
        for thread in self.always.drain(..) {
            // The last handle to an engine may be dropped by a job on one of these very threads.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::sync::mpsc;

    #[test]
    fn jobs_that_hang_keep_no_other_waiting_until_they_are_as_many_as_may() {
        let openers = Openers::new(None).unwrap();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let hang = || {
            let gate = Arc::clone(&gate);
            openers.spawn(move || {
                let mut open = gate.0.lock().unwrap();
                while !*open {
                    open = gate.1.wait(open).unwrap();
                }
            });
        };
        (0..THREADS_MAX - 1).for_each(|_| hang());
        let (send, receive) = mpsc::channel();
        openers.spawn(move || send.send(7).unwrap());
        let answer = loop {
            match receive.try_recv() {
                Ok(answer) => break answer,
                Err(_) => openers.tend(),
            }
            thread::yield_now();
        };
        assert_eq!(answer, 7);
        (0..2).for_each(|_| hang());
        while openers.stuck() != Some(THREADS_MAX) {
            openers.tend();
            thread::yield_now();
        }
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        drop(openers);
    }
}

//! Time as the checker has it: it goes on when somebody looks at the clock or has waited long enough, by as much as the
//! checker decides.

use std::cell::Cell;
use std::ops::{Add, AddAssign, Sub};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LockResult, PoisonError};
use std::time::Duration;

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::sync::MutexGuard;

/// So long a wait never ends by itself here: whoever waits that long has to be woken.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3600);

/// What time goes on by when somebody looks at the clock: mostly so little that jobs follow each other fast enough to be
/// looked for, now and then half of what anybody looks for one ([`crate::runtime::pace::LOOK_MAX`]).
const STEPS: [Duration; 2] = [Duration::from_micros(1), Duration::from_micros(150)];

thread_local! {
    /// All threads of a life are one for the system.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A life begins.
pub(super) fn begin() {
    NOW.set(Duration::ZERO);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        NOW.set(NOW.get() + STEPS[usize::from(thread_rng().gen_bool(0.25))]);
        Self(NOW.get())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now() - *self
    }

    pub(crate) fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// The checker's, with waits that end: its own never do.
#[derive(Default)]
pub(crate) struct Condvar(Arc<shuttle::sync::Condvar>);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    /// A thread of its own lets the time pass and then tells all who wait, as a condition may at any time. That it did
    /// is not told: nobody asks.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        longest: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        let over = NOW.get() + longest;
        let done = Arc::new(AtomicBool::new(false));
        if longest < FOR_EVER / 2 {
            let (condvar, done) = (Arc::clone(&self.0), Arc::clone(&done));
            shuttle::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    if NOW.get() < over && thread_rng().gen_bool(0.5) {
                        NOW.set(over);
                    }
                    if NOW.get() >= over {
                        condvar.notify_all();
                    }
                    shuttle::thread::yield_now();
                }
            });
        }
        let waited = self.0.wait(guard);
        done.store(true, Ordering::Relaxed);
        match waited {
            Ok(guard) => Ok((guard, ())),
            Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), ()))),
        }
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

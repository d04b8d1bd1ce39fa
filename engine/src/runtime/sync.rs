//! Locks, threads, atomics and time for code that waits for another thread: the standard library's.
//!
//! With the feature `schedules`, this crate's own tests use a checker's instead, which runs one thread at a time and
//! decides at each step which (`crate::schedules`). A lock held across such a step must be the checker's too, so
//! everything that the engine holds or waits for across threads comes from here.

#[cfg(not(all(test, feature = "schedules")))]
mod chosen {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic, mpsc};
    pub(crate) use std::time::Instant;
    pub(crate) use std::{hint, thread};

    /// How often a thread that looks for something looks before it asks what time it is.
    pub(crate) const LOOKS: u32 = 32;
}

#[cfg(all(test, feature = "schedules"))]
mod chosen {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic, mpsc};
    pub(crate) use shuttle::{hint, thread};

    pub(crate) use crate::schedules::time::{Condvar, Instant};

    /// Each look is a step of its own.
    pub(crate) const LOOKS: u32 = 1;
}

pub(crate) use self::chosen::*;

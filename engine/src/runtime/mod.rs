//! Threads, locks, time and waiting: what the engine is run by, and nothing of what it does.

pub(crate) mod blocking;
pub(crate) mod deadlines;
pub(crate) mod dice;
pub(crate) mod openers;
pub(crate) mod pace;
pub(crate) mod pools;
pub(crate) mod stepper;
pub(crate) mod sync;
pub(crate) mod waking;
pub(crate) mod watch;
pub(crate) mod workers;

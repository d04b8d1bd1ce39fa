//! Threads, locks, time and waiting. Nothing here knows what the engine does.

pub(crate) mod blocking;
pub(crate) mod deadlines;
pub(crate) mod dice;
pub(crate) mod openers;
pub(crate) mod pace;
pub(crate) mod poll_once;
pub(crate) mod pools;
pub(crate) mod stepper;
pub(crate) mod sync;
pub(crate) mod waking;
pub(crate) mod watch;
pub(crate) mod workers;

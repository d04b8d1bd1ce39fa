//! The simulated clock.

/// Simulated time since the begin of a run, in microseconds.
pub type Micros = u64;

//! A clock that a simulation sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use streamkit_engine::Timestamp;
use streamkit_engine::clock::Clock;

/// Shared with the engine it is given to.
#[derive(Clone)]
pub struct Watch(Arc<AtomicI64>, Arc<AtomicI64>);

impl Watch {
    /// Shows some time of the year 2026.
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_780_000_000_000)), Arc::default())
    }

    /// Goes on, or back. Only what it goes on counts as time that has passed.
    pub fn turn(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
        self.1.fetch_add(milliseconds.max(0), Ordering::Relaxed);
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.1.load(Ordering::Relaxed).unsigned_abs())
    }
}

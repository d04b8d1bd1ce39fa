//! The source of commit times. The commit keeps them from going backwards.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use streamkit_record::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now. It may jump, in either direction.
    fn now(&self) -> Timestamp;

    /// Time since some moment of this process. It never jumps or goes back; leases run out by it.
    fn uptime(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

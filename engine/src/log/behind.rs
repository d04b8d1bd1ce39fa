//! Detects a clock that is behind the last commit of a store, because it was ahead for a while. Commit times never go
//! back, so all commits meanwhile have that one time. That is right, and the operator must learn of it.

use std::time::Duration;

use crate::log::opened::StoreLog;
use crate::runtime::sync::atomic::Ordering;
use streamkit_record::Timestamp;

/// Less is how far clocks of one time server are apart.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// How far a clock is behind a commit, if that is worth telling.
pub(crate) fn behind(now: Timestamp, last_commit: Timestamp) -> Option<Duration> {
    let by = last_commit.0.saturating_sub(now.0);
    let by = Duration::from_millis(u64::try_from(by).ok()?);
    (by > WORTH_TELLING).then_some(by)
}

impl StoreLog {
    /// How far the clock is behind the last commit that readers see.
    pub(crate) fn clock_behind(&self) -> Option<Duration> {
        behind(self.clock.now(), self.catalog().totals().last_timestamp)
    }

    /// Says in the log when that begins and when it ends, of one store at a commit or when it is opened.
    pub(crate) fn tell_of_clock(&self, now: Timestamp, last_commit: Timestamp) {
        match behind(now, last_commit) {
            Some(by) if !self.is_clock_behind.swap(true, Ordering::Relaxed) => tracing::warn!(
                store = %self.id,
                ?by,
                "the clock is behind the last commit, whose time all entries get until it has caught up; was it ahead before?"
            ),
            None if self.is_clock_behind.swap(false, Ordering::Relaxed) => {
                tracing::info!(store = %self.id, "the clock has caught up with the last commit");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_by_more_than_a_second_is_told() {
        let told = |now, last| behind(Timestamp(now), Timestamp(last));
        assert_eq!(told(0, 5000), Some(Duration::from_secs(5)));
        assert_eq!((told(4000, 5000), told(6000, 5000)), (None, None));
        assert_eq!(told(i64::MIN, i64::MAX), Some(Duration::from_millis(i64::MAX as u64)));
    }
}

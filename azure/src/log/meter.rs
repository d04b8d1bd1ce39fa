//! Counts what all logs of a host do, those that are left, too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamkit_engine::boundary::figures::{Distribution, Histogram, LogFigures};

use super::event::Failure;

/// The counts of all logs of a host.
#[derive(Debug)]
pub struct LogMeter {
    counts: Mutex<LogFigures>,
    commits: Histogram,
}

impl Default for LogMeter {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            commits: Histogram::new(Histogram::TIMES),
        }
    }
}

impl LogMeter {
    /// What was counted so far.
    pub fn now(&self) -> LogFigures {
        *self.counts()
    }

    /// Nanoseconds from when a request was made until it was acknowledged.
    pub fn commits(&self) -> Distribution {
        self.commits.now()
    }

    /// A request is acknowledged after so long.
    pub(crate) fn committed(&self, after: Duration) {
        self.commits.count_time(after);
    }

    /// A log could not go on.
    pub(crate) fn failed(&self, why: &Failure) {
        let failures = &mut self.counts().failures;
        *match why {
            Failure::Refused(_) => &mut failures.refused,
            Failure::Damaged(_) => &mut failures.damaged,
            Failure::WentBack => &mut failures.went_back,
            Failure::Host(_) => &mut failures.host,
            // Nothing failed: somebody asked for what nobody has made.
            Failure::NoStore | Failure::Deleted => return,
        } += 1;
    }

    /// A log has done so much since it said so last.
    pub(crate) fn did(&self, done: &LogFigures) {
        if *done == LogFigures::default() {
            return;
        }
        let mut counts = self.counts();
        counts.own_groups += done.own_groups;
        counts.other_groups += done.other_groups;
        counts.void_groups += done.void_groups;
        counts.lost_groups += done.lost_groups;
        counts.hedges += done.hedges;
        counts.repeats += done.repeats;
        counts.looks += done.looks;
        counts.tail_reads += done.tail_reads;
    }

    fn counts(&self) -> MutexGuard<'_, LogFigures> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_failed_is_counted_by_why_and_a_store_that_nobody_made_is_not() {
        let meter = LogMeter::default();
        for why in [Failure::NoStore, Failure::WentBack, Failure::Host(String::new())] {
            meter.failed(&why);
        }
        let failures = meter.now().failures;
        assert_eq!((failures.went_back, failures.host, failures.damaged), (1, 1, 0));
    }
}

//! What a place was told of, and what has not come from it yet: a server may tell of an entry a moment before its readers see it.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_protocol::SegmentStatus;
use tokio::time::Instant;

use crate::retry::RetryPolicy;

/// How often one looks for it. Afterwards it was removed, or is told of again.
const LOOKING: RetryPolicy = RetryPolicy {
    attempts: 12,
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_secs(5),
    factor: 2.0,
};

/// What is owed of one place.
#[derive(Debug)]
pub(super) struct Owed {
    /// Whether it is to be read now.
    pub(super) is_due: bool,
    /// The newest commit time that was told of, and the last sequences of the segments with it. What is older comes before it.
    time: i64,
    last: BTreeMap<String, u64>,
    times: u32,
    pub(super) again_at: Option<Instant>,
}

impl Default for Owed {
    /// A place that was not read yet.
    fn default() -> Self {
        Self {
            is_due: true,
            time: i64::MIN,
            last: BTreeMap::new(),
            times: 0,
            again_at: None,
        }
    }
}

impl Owed {
    /// It was told of entries that have not come.
    pub(super) fn tell(&mut self, status: SegmentStatus) {
        self.is_due = true;
        (self.times, self.again_at) = (0, None);
        if status.last_timestamp > self.time {
            self.time = status.last_timestamp;
            self.last.clear();
        }
        if status.last_timestamp == self.time {
            self.last.insert(status.segment, status.last_sequence);
        }
    }

    /// It was read to its end: up to this time, and in segments up to what `head` says.
    pub(super) fn is_read(&mut self, up_to: Option<i64>, head: impl Fn(&str) -> u64) {
        self.is_due = false;
        let is_passed = up_to.is_some_and(|up_to| up_to > self.time);
        self.last.retain(|segment, last| !is_passed && head(segment) < *last);
        self.times += 1;
        if self.last.is_empty() || self.times >= LOOKING.attempts {
            self.last.clear();
            self.again_at = None;
            return;
        }
        self.again_at = Some(Instant::now() + LOOKING.pause(self.times));
    }

    /// Looks again for what has not come, if it is time to.
    pub(super) fn look_again(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            (self.is_due, self.again_at) = (true, None);
        }
    }
}

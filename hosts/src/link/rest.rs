//! When a host that failed is asked again: not before it has rested, and then by one call alone.

use std::time::Duration;

/// The rest after the first failure in a row, and the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

/// Whether a host may be asked. Times are those since some moment.
#[derive(Debug, Default)]
pub(super) struct Rest {
    failures: u32,
    until: Duration,
    /// One call tries whether it is there again.
    is_tried: bool,
}

impl Rest {
    /// Whether a call may be made now. Whoever makes it says what came of it.
    pub(super) fn begins(&mut self, now: Duration) -> bool {
        if self.failures == 0 {
            return true;
        }
        let may = now >= self.until && !self.is_tried;
        self.is_tried |= may;
        may
    }

    /// A call was answered.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// A call was not. Returns whether the host was well before.
    pub(super) fn failed(&mut self, now: Duration) -> bool {
        let was_well = self.failures == 0;
        // Calls that were under way together fail together, and count once.
        if was_well || self.is_tried {
            let rest = FIRST * 2_u32.saturating_pow(self.failures.min(8));
            self.until = now + rest.min(LONGEST);
            self.failures = self.failures.saturating_add(1);
        }
        self.is_tried = false;
        was_well
    }

    /// A call was given up before anybody knew.
    pub(super) fn given_up(&mut self) {
        self.is_tried = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_host_that_failed_rests_and_is_tried_by_one_call() {
        let mut rest = Rest::default();
        assert!(rest.begins(at(0)) && rest.begins(at(0)));
        assert!(rest.failed(at(100)));
        assert!(!rest.failed(at(101)), "both were under way");
        assert!(!rest.begins(at(599)));
        assert!(rest.begins(at(600)));
        assert!(!rest.begins(at(600)), "one tries");
        rest.given_up();
        assert!(rest.begins(at(601)));
        rest.failed(at(700));
        assert!(!rest.begins(at(1699)));
        assert!(rest.begins(at(1700)));
        rest.answered();
        assert!(rest.begins(at(1701)) && rest.begins(at(1701)));
    }

    #[test]
    fn no_rest_is_longer_than_the_longest() {
        let mut rest = Rest::default();
        let mut now = at(0);
        for _ in 0..100 {
            assert!(rest.begins(now));
            rest.failed(now);
            assert!(rest.until - now <= LONGEST);
            now = rest.until;
        }
        assert_eq!(rest.until - now, Duration::ZERO);
    }
}

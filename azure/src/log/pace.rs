//! How long inserts take, so that one that takes longer than most is sent once more.

use std::collections::VecDeque;
use std::time::Duration;

/// Inserts that count.
const KEPT: usize = 64;
/// Before that many were seen, nothing is known.
const ENOUGH: usize = 8;
const UNKNOWN: Duration = Duration::from_millis(200);
const LEAST: Duration = Duration::from_millis(5);
const MOST: Duration = Duration::from_secs(1);

/// The last inserts.
#[derive(Default, Debug)]
pub(crate) struct Pace(VecDeque<Duration>);

impl Pace {
    /// An insert took so long.
    pub fn took(&mut self, time: Duration) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// 19 of 20 take no longer.
    pub fn most(&self) -> Duration {
        if self.0.len() < ENOUGH {
            return UNKNOWN;
        }
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted[sorted.len() * 19 / 20].clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_insert_of_twenty_takes_longer_than_most() {
        let mut pace = Pace::default();
        assert_eq!(pace.most(), UNKNOWN);
        for millis in 0..200 {
            pace.took(Duration::from_millis(millis));
        }
        assert_eq!(pace.most(), Duration::from_millis(196));
    }
}

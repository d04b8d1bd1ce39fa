//! Whether this host's clock agrees with the service's. A host whose clock is off would give commit times to a log that all others must
//! then keep to.

use std::time::Duration;

use streamkit_engine::Timestamp;

use super::errand::Errand;
use super::event::Now;

/// A clock further off than that makes no commit times.
pub(crate) const OFF_MOST_MILLIS: i64 = 5_000;
/// The service tells whole seconds.
const SECOND_MILLIS: i64 = 1_000;
/// A check is good for so long,
const GOOD_FOR: Duration = Duration::from_secs(60);
/// and made again before that, so that nobody waits for it.
const CHECKED_AGAIN: Duration = Duration::from_secs(30);
/// A clock that was off is asked about again after so long.
const OFF_FOR: Duration = Duration::from_secs(5);
/// The clock was set, if it and the uptime differ by more than they did.
const SET_MILLIS: i64 = 1_000;

/// What the last check said, and the next one.
#[derive(Default, Debug)]
pub(crate) struct Watch {
    pub errand: Errand,
    began: Now,
    last: Option<Checked>,
}

#[derive(Clone, Copy, Debug)]
struct Checked {
    at: Now,
    off_millis: Option<i64>,
}

/// Whether groups may be given commit times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClockState {
    /// Nobody knows: a check has to come first.
    Unchecked,
    /// They may.
    Good,
    /// The clock is off by about so much.
    Off(i64),
}

fn drift(from: Now, to: Now) -> i64 {
    let passed = to.uptime.saturating_sub(from.uptime).as_millis();
    (to.wall.0 - from.wall.0).saturating_sub(i64::try_from(passed).unwrap_or(i64::MAX))
}

impl Watch {
    /// A check begins.
    pub fn begins(&mut self, now: Now) {
        self.began = now;
    }

    /// The service told its time, at some moment since the check began.
    pub fn told(&mut self, now: Now, service: Timestamp) {
        let ahead = self.began.wall.0 - service.0 - SECOND_MILLIS;
        let behind = service.0 - now.wall.0;
        let off_millis = match () {
            () if drift(self.began, now).abs() > SET_MILLIS => return,
            () if ahead > OFF_MOST_MILLIS => Some(ahead),
            () if behind > OFF_MOST_MILLIS => Some(-behind),
            () => None,
        };
        self.last = Some(Checked {
            at: self.began,
            off_millis,
        });
    }

    /// What is known now.
    pub fn state(&self, now: Now) -> ClockState {
        match self.last {
            Some(last) if self.is_older(now, GOOD_FOR) || drift(last.at, now).abs() > SET_MILLIS => {
                ClockState::Unchecked
            }
            Some(last) => match last.off_millis {
                None => ClockState::Good,
                Some(_) if self.is_older(now, OFF_FOR) => ClockState::Unchecked,
                Some(off) => ClockState::Off(off),
            },
            None => ClockState::Unchecked,
        }
    }

    /// Whether a check should be made.
    pub fn wants_check(&self, now: Now) -> bool {
        self.state(now) == ClockState::Unchecked || self.is_older(now, CHECKED_AGAIN)
    }

    fn is_older(&self, now: Now, age: Duration) -> bool {
        self.last.is_none_or(|last| now.uptime >= last.at.uptime + age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(uptime_millis: u64, wall: i64) -> Now {
        Now {
            uptime: Duration::from_millis(uptime_millis),
            wall: Timestamp(wall),
        }
    }

    #[test]
    fn a_clock_that_is_off_or_was_set_gives_no_times() {
        let mut watch = Watch::default();
        assert_eq!(watch.state(now(0, 0)), ClockState::Unchecked);
        watch.begins(now(0, 100_000));
        watch.told(now(50, 100_050), Timestamp(100_000));
        assert_eq!(watch.state(now(1_000, 101_000)), ClockState::Good);
        assert_eq!(watch.state(now(1_000, 103_000)), ClockState::Unchecked, "it was set");
        assert!(watch.wants_check(now(30_000, 130_000)));
        assert_eq!(watch.state(now(60_000, 160_000)), ClockState::Unchecked);
        for (service, off) in [(90_000, 9_000), (110_000, -9_950)] {
            watch.begins(now(0, 100_000));
            watch.told(now(50, 100_050), Timestamp(service));
            assert_eq!(watch.state(now(60, 100_060)), ClockState::Off(off));
            assert_eq!(watch.state(now(5_000, 105_000)), ClockState::Unchecked);
        }
        // Within what is allowed, seconds and the call's own time included.
        watch.begins(now(0, 100_000));
        watch.told(now(2_000, 102_000), Timestamp(94_000));
        assert_eq!(watch.state(now(2_000, 102_000)), ClockState::Good);
    }
}

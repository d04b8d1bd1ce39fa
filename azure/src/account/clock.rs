//! The service's clock, as its answers tell it.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use azure_core::time::parse_rfc7231;

/// When a service answered, by its own clock and by this machine's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceDate {
    /// The answer's `Date`, to the second: the service's clock was there or up to a second later.
    pub date: SystemTime,
    /// When the request was sent, by this machine's clock.
    pub sent: SystemTime,
    /// When the head of the answer was there, by this machine's clock.
    pub received: SystemTime,
}

impl ServiceDate {
    /// How far this machine's clock is certainly off the service's: zero unless no moment of the call explains the date.
    pub fn skew(&self) -> Duration {
        let latest = self.date + Duration::from_secs(1);
        let ahead = self.sent.duration_since(latest);
        let behind = self.date.duration_since(self.received);
        ahead.or(behind).unwrap_or_default()
    }
}

/// The last that the service told of its time.
#[derive(Debug, Default)]
pub struct ServiceClock(Mutex<Option<ServiceDate>>);

impl ServiceClock {
    /// Notes an answer's `Date`; what is no date is left out.
    pub(super) fn note(&self, date: &str, sent: SystemTime, received: SystemTime) {
        let Some(date) = read(date) else { return };
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = Some(ServiceDate { date, sent, received });
    }

    /// The last that was told, by any call; `None` before the first.
    pub fn last(&self) -> Option<ServiceDate> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The time of a `Date` header.
pub fn read(date: &str) -> Option<SystemTime> {
    let seconds = parse_rfc7231(date).ok()?.unix_timestamp();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_if_no_moment_of_the_call_explains_the_date() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let told = |sent, received| ServiceDate {
            date: at(100_000),
            sent: at(sent),
            received: at(received),
        };
        assert_eq!(told(100_200, 100_300).skew(), Duration::ZERO);
        assert_eq!(told(100_990, 103_000).skew(), Duration::ZERO);
        assert_eq!(told(90_000, 100_001).skew(), Duration::ZERO);
        assert_eq!(told(107_500, 107_600).skew(), Duration::from_millis(6_500));
        assert_eq!(told(93_000, 93_400).skew(), Duration::from_millis(6_600));
    }

    #[test]
    fn what_is_no_date_is_left_out() {
        let clock = ServiceClock::default();
        for date in ["", "yesterday", "Fri, 26 Jun 1815 23:39:12 GMT", "\u{0}"] {
            clock.note(date, SystemTime::now(), SystemTime::now());
        }
        assert_eq!(clock.last(), None);
        clock.note("Fri, 26 Jun 2015 23:39:12 GMT", SystemTime::now(), SystemTime::now());
        let seconds = clock
            .last()
            .unwrap()
            .date
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(seconds.as_secs(), 1_435_361_952);
    }
}

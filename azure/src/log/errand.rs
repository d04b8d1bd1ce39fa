//! One thing that a log wants of its medium, for as many calls as it takes.

use std::time::Duration;

use streamkit_engine::Dice;

use super::call::CallId;
use crate::medium::Unanswered;

/// The first pause.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// No pause of our own is longer.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// No pause that the service asks for is longer, whatever it says.
const AFTER_MAX: Duration = Duration::from_secs(60);

/// The pause behind so many failures in a row: doubled with each, between half of that and all of it, and no less than the service asks for.
pub(crate) fn pause(failures: u32, why: &Unanswered, dice: &mut Dice) -> Duration {
    let most = PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    let jittered = Duration::from_micros(micros / 2 + dice.below(micros / 2 + 1));
    match why {
        Unanswered::Throttled { after: Some(after) } => jittered + (*after).min(AFTER_MAX),
        _ => jittered,
    }
}

/// Whether its call is under way, and when the next one may be made.
#[derive(Default, Debug)]
pub(crate) struct Errand {
    call: Option<CallId>,
    failures: u32,
    due: Option<Duration>,
}

impl Errand {
    /// Whether a call may be made now.
    pub fn is_due(&self, now: Duration) -> bool {
        self.call.is_none() && self.due.is_none_or(|due| due <= now)
    }

    /// A call was made.
    pub fn made(&mut self, call: CallId) {
        debug_assert!(self.call.is_none(), "one call at a time");
        (self.call, self.due) = (Some(call), None);
    }

    /// Whether this is the call that was under way; it is not any more.
    pub fn is_answered_by(&mut self, call: CallId) -> bool {
        let is_mine = self.call == Some(call);
        if is_mine {
            self.call = None;
        }
        is_mine
    }

    /// The call failed: the next one comes after a pause.
    pub fn failed(&mut self, now: Duration, why: &Unanswered, dice: &mut Dice) {
        self.due = Some(now + pause(self.failures, why, dice));
        self.failures = self.failures.saturating_add(1);
    }

    /// When it has to be looked at again, if no answer comes before.
    pub fn wakes(&self) -> Option<Duration> {
        self.due.filter(|_| self.call.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_no_shorter_than_the_service_asks() {
        let mut dice = Dice::new(1);
        let unknown = Unanswered::Unknown(String::new());
        for failures in 0..40 {
            let took = pause(failures, &unknown, &mut dice);
            assert!(took >= PAUSE_MIN / 2 && took <= PAUSE_MAX);
            assert!(failures < 7 || took >= PAUSE_MAX / 2);
        }
        for (asked, least) in [(3, 3), (1 << 30, 60)] {
            let after = Some(Duration::from_secs(asked));
            let took = pause(0, &Unanswered::Throttled { after }, &mut dice);
            assert!(took >= Duration::from_secs(least) && took <= AFTER_MAX + PAUSE_MAX);
        }
    }
}

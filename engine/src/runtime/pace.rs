//! Decides whether an idle thread looks for more work, or sleeps.

use std::time::Duration;

use super::sync::{Instant, LOOKS, hint, thread};

/// How long an idle thread looks for the next job before it sleeps, where jobs come that fast. To wake a sleeping thread
/// costs the next producer 30 to 40 µs on a small virtual machine, a third of what its durable write takes; a producer at
/// the other end of a loopback connection is back after 100 to 250 µs (docs/decisions/2026-11-25-commit-path.md).
pub(crate) const LOOK_MAX: Duration = Duration::from_micros(300);

/// Looks for something until `deadline` after `since`. Mostly it pauses, which leaves the processor's other half to others;
/// now and then it lets go, since whoever has real work goes first.
pub(crate) fn look(since: Instant, deadline: Duration, found: impl Fn() -> bool) {
    loop {
        for _ in 0..16 {
            for _ in 0..LOOKS {
                if found() {
                    return;
                }
                hint::spin_loop();
            }
            if since.elapsed() >= deadline {
                return;
            }
        }
        thread::yield_now();
    }
}

/// How soon jobs have lately come after the one before: a thread that looks for a job that comes late only heats the machine.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the last job ended.
    ended: Option<Instant>,
    /// A mean in which the last gap counts a quarter, each gap for at most [`Pace::LONGEST`].
    gap: Duration,
}

impl Pace {
    /// A few quick jobs after a long pause are enough to look again, and the other way round.
    const LONGEST: Duration = Duration::from_micros(4 * LOOK_MAX.as_micros() as u64);

    pub(crate) fn began(&mut self, now: Instant) {
        let gap = self
            .ended
            .map_or(Self::LONGEST, |ended| now.saturating_duration_since(ended));
        self.gap = (self.gap * 3 + gap.min(Self::LONGEST)) / 4;
    }

    pub(crate) fn ended(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    pub(crate) fn is_worth_looking(&self, look: Duration) -> bool {
        self.ended.is_some() && self.gap < look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs of 100 µs, each `gap` after the one before.
    fn after(pace: &mut Pace, now: &mut Instant, gap: Duration, jobs: u32) {
        for _ in 0..jobs {
            *now += gap;
            pace.began(*now);
            *now += Duration::from_micros(100);
            pace.ended(*now);
        }
    }

    #[test]
    fn threads_look_for_jobs_only_while_they_come_soon_after_each_other() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        assert!(!pace.is_worth_looking(LOOK_MAX), "nothing came yet");
        after(&mut pace, &mut now, Duration::from_micros(150), 10);
        assert!(pace.is_worth_looking(LOOK_MAX));
        assert!(!pace.is_worth_looking(Duration::ZERO), "never, if told so");
        after(&mut pace, &mut now, Duration::from_millis(2), 1);
        assert!(!pace.is_worth_looking(LOOK_MAX), "one late job");
        after(&mut pace, &mut now, Duration::from_micros(150), 10);
        assert!(pace.is_worth_looking(LOOK_MAX), "and soon again");
        after(&mut pace, &mut now, Duration::from_millis(1), 1000);
        assert!(!pace.is_worth_looking(LOOK_MAX));
    }
}

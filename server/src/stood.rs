//! How long this process stood: it was stopped, or its machine was, or had no processor for it. Meanwhile it heard nobody, and
//! what came waits in its sockets. So that time counts against no peer: who was not listened to was not silent.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the clock is looked at, if nobody else does.
const TICK: Duration = Duration::from_millis(100);

/// Between two looks that are further apart the process stood.
const STEP_MAX: Duration = Duration::from_millis(700);

/// Shared by all who ask.
static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::with_ticks);

/// What one observer knows of it.
pub(crate) struct Stood {
    seen: Duration,
}

impl Stood {
    /// Counts from now on.
    pub(crate) fn new() -> Self {
        Self { seen: CLOCK.look() }
    }

    /// For how long the process stood since this was asked last.
    pub(crate) fn more(&mut self) -> Duration {
        let all = CLOCK.look();
        all.saturating_sub(std::mem::replace(&mut self.seen, all))
    }
}

/// Sleeps for so long, and for as long again as the process stands meanwhile.
///
/// Cancel safe.
pub(crate) async fn sleep(time: Duration) {
    let mut stood = Stood::new();
    let mut left = time;
    while !left.is_zero() {
        tokio::time::sleep(left).await;
        left = stood.more();
    }
}

/// Adds up the steps that are too long.
struct Clock {
    began: Instant,
    /// Without ticks a step says nothing.
    ticks: bool,
    looks: Mutex<Looks>,
}

/// Since the clock began.
#[derive(Default)]
struct Looks {
    last: Duration,
    stood: Duration,
}

impl Clock {
    fn with_ticks() -> Self {
        let tick = || {
            loop {
                std::thread::sleep(TICK);
                CLOCK.look();
            }
        };
        Self {
            began: Instant::now(),
            ticks: std::thread::Builder::new().name("stood".to_owned()).spawn(tick).is_ok(),
            looks: Mutex::default(),
        }
    }

    /// How long the process stood until now.
    fn look(&self) -> Duration {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        match self.ticks {
            true => looks.at(self.began.elapsed()),
            false => Duration::ZERO,
        }
    }
}

impl Looks {
    fn at(&mut self, now: Duration) -> Duration {
        let step = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        if step > STEP_MAX {
            self.stood += step;
        }
        self.stood
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_looks_that_are_too_far_apart_the_process_stood() {
        let mut looks = Looks::default();
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            now += TICK;
            assert_eq!(looks.at(now), Duration::ZERO, "a tick is short");
        }
        now += Duration::from_secs(90);
        assert_eq!(looks.at(now), Duration::from_secs(90));
        assert_eq!(looks.at(now + TICK), Duration::from_secs(90), "told once");
        assert_eq!(
            looks.at(now),
            Duration::from_secs(90),
            "a look that comes late adds nothing"
        );
    }
}

//! How often to dial, and the pauses in between.

use std::time::Duration;

/// Attempts to connect, with growing pauses. The client does not retry calls, but: one that changes nothing and loses its connection before
/// the answer runs once more; one of which the server says that it has begun nothing begins again, within its timeout; over v2, an append
/// whose answer is lost is asked for under its id until its timeout, and a read or a follow goes on behind what came last. Over v1 a produce whose
/// connection is lost looks, until its timeout, whether its records stand at their sequences, and sends them again if nothing does.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Pause after the first failure.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Factor from each pause to the next.
    pub factor: f64,
}

impl RetryPolicy {
    /// 5 attempts, 100 ms doubling to 5 s.
    pub const DEFAULT: RetryPolicy = RetryPolicy {
        attempts: 5,
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_secs(5),
        factor: 2.0,
    };

    /// 8 attempts, 200 ms growing by half to 15 s.
    pub const AGGRESSIVE: RetryPolicy = RetryPolicy {
        attempts: 8,
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(15),
        factor: 1.5,
    };

    /// One attempt.
    pub const NEVER: RetryPolicy = RetryPolicy {
        attempts: 1,
        ..Self::DEFAULT
    };

    /// The pause after `failures` failures, a random quarter more or less, so that clients do not return in step.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        self.steady_pause(failures).mul_f64(rand::random_range(0.75..=1.25))
    }

    fn steady_pause(&self, failures: u32) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first_pause.as_secs_f64() * self.factor.powi(exponent);
        Duration::from_secs_f64(grown.min(self.longest_pause.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_jitter_stays_within_a_quarter() {
        let steady: Vec<u128> = (1..=8)
            .map(|n| RetryPolicy::DEFAULT.steady_pause(n).as_millis())
            .collect();
        assert_eq!(steady, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(RetryPolicy::AGGRESSIVE.steady_pause(2).as_millis(), 300);
        for _ in 0..100 {
            let pause = RetryPolicy::DEFAULT.pause(1).as_millis();
            assert!((75..=125).contains(&pause), "{pause}");
        }
    }
}

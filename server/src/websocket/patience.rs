//! How long a peer is waited for that moves little or nothing. Who moves nothing at all is gone after a while. Who moves so
//! little that others wait long for what it holds gives way to them sooner.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::stood::Stood;

/// Bytes that a peer moves at least within [`crate::Limits::give_way`], or it gives way: 13 KB/s with the default.
const PACE_BYTES: u64 = 64 << 10;

/// Looks at the others so often within that time.
const LOOKS: u32 = 5;

/// Why a peer is not waited for any longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    /// It moved nothing for as long as anybody may.
    Nothing,
    /// It moved too little, and others wait.
    GivesWay,
}

/// The wait for a peer, begun when it was made.
pub(super) struct Patience {
    pace: Pace,
    look: Pin<Box<Sleep>>,
    stood: Stood,
}

/// What a peer has moved meanwhile.
struct Pace {
    deadline: Duration,
    give_way: Duration,
    /// Since when it has moved nothing, and what it had moved by then.
    nothing: (Instant, u64),
    /// When the last while of [`crate::Limits::give_way`] began, and what it had moved by then.
    little: (Instant, u64),
}

impl Patience {
    /// `moved`: what the peer has moved so far.
    pub(super) fn new(deadline: Duration, give_way: Duration, moved: u64) -> Self {
        let now = Instant::now();
        let look = Box::pin(tokio::time::sleep(deadline.min(give_way) / LOOKS));
        let pace = Pace::new(deadline, give_way, moved, now);
        let stood = Stood::new();
        Self { pace, look, stood }
    }

    /// Ready when it is over. Told what the peer has moved by now, and whether others wait for what it holds.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, moved: u64, is_in_the_way: impl Fn() -> bool) -> Poll<Over> {
        while self.look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            self.pace.later(self.stood.more(), now);
            if let Some(over) = self.pace.judge(now, moved, is_in_the_way()) {
                return Poll::Ready(over);
            }
            self.look
                .as_mut()
                .reset(now + self.pace.deadline.min(self.pace.give_way) / LOOKS);
        }
        Poll::Pending
    }
}

impl Pace {
    fn new(deadline: Duration, give_way: Duration, moved: u64, now: Instant) -> Self {
        Self {
            deadline,
            give_way,
            nothing: (now, moved),
            little: (now, moved),
        }
    }

    /// For so long nothing was listened to until now.
    fn later(&mut self, stood: Duration, now: Instant) {
        self.nothing.0 = (self.nothing.0 + stood).min(now);
        self.little.0 = (self.little.0 + stood).min(now);
    }

    fn judge(&mut self, now: Instant, moved: u64, is_in_the_way: bool) -> Option<Over> {
        if moved != self.nothing.1 {
            self.nothing = (now, moved);
        } else if now - self.nothing.0 >= self.deadline {
            return Some(Over::Nothing);
        }
        if now - self.little.0 >= self.give_way {
            let little = moved - self.little.1;
            if little < PACE_BYTES && is_in_the_way {
                return Some(Over::GivesWay);
            }
            if little > 0 {
                self.little = (now, moved);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes, within 100 s, of a peer that moves so many bytes each second, and when.
    fn over(each_second: u64, in_the_way_from: u64) -> Option<(Over, u64)> {
        let (deadline, give_way) = (Duration::from_secs(30), Duration::from_secs(5));
        let begun = Instant::now();
        let mut pace = Pace::new(deadline, give_way, 1, begun);
        (1..100).find_map(|second| {
            let now = begun + Duration::from_secs(second);
            let over = pace.judge(now, 1 + second * each_second, second >= in_the_way_from);
            over.map(|over| (over, second))
        })
    }

    #[test]
    fn who_moves_little_gives_way_only_to_others_and_who_moves_nothing_is_gone() {
        assert_eq!(over(0, 100), Some((Over::Nothing, 30)));
        assert_eq!(over(1, 100), None);
        assert_eq!(over(0, 0), Some((Over::GivesWay, 5)));
        assert_eq!(over(0, 20), Some((Over::GivesWay, 20)), "it has stood there for long");
        assert_eq!(over(10_000, 0), Some((Over::GivesWay, 5)));
        assert_eq!(over(20_000, 0), None);
    }

    #[test]
    fn time_that_the_server_stood_counts_against_no_peer() {
        let (deadline, give_way) = (Duration::from_secs(30), Duration::from_secs(5));
        let begun = Instant::now();
        let mut pace = Pace::new(deadline, give_way, 1, begun);
        let now = begun + Duration::from_secs(100);
        pace.later(Duration::from_secs(98), now);
        assert_eq!(pace.judge(now, 1, true), None);
        assert_eq!(pace.judge(now + Duration::from_secs(3), 1, true), Some(Over::GivesWay));
    }
}

//! What a bus and those who listen have in common, whatever carries the hints.

use std::time::Duration;

use streamkit_server_core::InProcess;
use tokio::sync::Notify;

use super::counts::BusCounts;
use super::hints::Message;
use super::outbox::Outbox;

/// The subject, or channel, of all hints.
pub(super) const SUBJECT: &str = "streamkit.hints";

/// How long a carrier waits after each message: what is committed meanwhile goes with the next one.
pub(super) const PACE: Duration = Duration::from_millis(1);

/// The least time between two looks at everything that is followed, however often somebody asks for them.
const LOOK_PACE: Duration = Duration::from_millis(100);

/// The first pause after a connection failed, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Exchange {
    /// Who listens here.
    pub(super) own: InProcess,
    pub(super) outbox: Outbox,
    pub(super) counts: BusCounts,
    looks: Notify,
}

impl Exchange {
    /// A message came. Waits for nothing.
    pub(super) fn heard(&self, bytes: &[u8]) {
        match Message::decode(bytes) {
            Some(Message::OfStores(hints)) => {
                BusCounts::add(&self.counts.heard, hints.len());
                for (store, tail) in hints {
                    self.own.hear(store, tail);
                }
            }
            Some(Message::OfAll) => self.look(),
            None => BusCounts::add(&self.counts.malformed, 1),
        }
    }

    /// Something may have been missed: whatever is followed is to be looked at, soon.
    pub(super) fn look(&self) {
        self.looks.notify_one();
    }

    /// Has it looked at, for ever.
    pub(super) async fn looks(&self) {
        loop {
            self.looks.notified().await;
            self.own.look();
            tokio::time::sleep(LOOK_PACE).await;
        }
    }
}

/// How long to wait after so many failures in a row: a random half more or less, so that hosts do not come back in step.
pub(super) fn pause(failures: usize) -> Duration {
    let grown = PAUSE * 2_u32.saturating_pow(u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(10));
    grown.min(PAUSE_MAX).mul_f64(rand::random_range(0.5..=1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        for (failures, millis) in [(0, 100), (1, 100), (2, 200), (5, 1600), (7, 5000), (usize::MAX, 5000)] {
            let pause = pause(failures).as_millis();
            assert!((millis / 2..=millis * 3 / 2).contains(&pause), "{failures}: {pause}");
        }
    }
}

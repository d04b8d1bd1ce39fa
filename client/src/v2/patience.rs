//! How long a call waits for the server.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use crate::error::Error;

/// Longest time that counts: beyond, a clock may not reach.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What is left of the time that a call has. Whichever connections it comes over, it has no more.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    timeout: Duration,
    deadline: Instant,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        let timeout = timeout.min(LONGEST);
        Self {
            timeout,
            deadline: Instant::now() + timeout,
        }
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether nothing is.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// As an error.
    pub(crate) fn over(&self) -> Error {
        Error::Timeout(self.timeout)
    }

    /// Waits for something that the server does once it has heard all up to a byte of the connection. Silence counts from then: on a
    /// slow uplink that takes long, as long as the server takes something.
    ///
    /// # Errors
    /// The time is over.
    pub(crate) async fn wait<T>(
        &self,
        connection: &Connection,
        heard_up_to: u64,
        done: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let (began, mut done) = (Instant::now(), pin!(done));
        let mut deadline = self.deadline;
        loop {
            if let Ok(done) = timeout_at(deadline, &mut done).await {
                return Ok(done);
            }
            let still_sends = connection.still_sends(heard_up_to, self.timeout);
            match still_sends.map(|since| since + self.timeout) {
                Some(next) if next > deadline => deadline = next,
                _ => {
                    connection.is_doubted(began);
                    return Err(self.over());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_would_wait_for_ever_waits_long() {
        assert!(Patience::new(Duration::MAX).left() > Duration::from_secs(86_400));
    }
}

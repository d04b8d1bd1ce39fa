//! How long a session lasts: until its token expires, and behind that for a grace while calls are under way. From the expiry on no
//! further ones are begun.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Sleep;
use tokio_util::task::TaskTracker;

/// The term of a session.
pub(crate) struct Term {
    /// Until the token expires, then until the grace is over.
    timer: Pin<Box<Sleep>>,
    grace: Duration,
    calls: TaskTracker,
}

impl Term {
    /// `calls`: those under way that end by themselves. It is closed when the token expires.
    pub(crate) fn new(expiry: Sleep, grace: Duration, calls: TaskTracker) -> Self {
        let timer = Box::pin(expiry);
        Self { timer, grace, calls }
    }

    /// Ready when the session has to end.
    ///
    /// Cancel safe.
    pub(crate) async fn over(&mut self) {
        if !self.calls.is_closed() {
            self.timer.as_mut().await;
            self.calls.close();
            // Not reset to a time: there is none so far ahead as the longest grace.
            self.timer.set(tokio::time::sleep(self.grace));
        }
        tokio::select! {
            biased;
            () = self.timer.as_mut() => {}
            () = self.calls.wait() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Polls it until timers that are over must have been noticed.
    async fn is_over(term: &mut Term) -> bool {
        tokio::time::timeout(Duration::from_millis(20), term.over())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_session_ends_with_its_last_call_once_the_token_expired() {
        let calls = TaskTracker::new();
        let mut term = Term::new(tokio::time::sleep(Duration::ZERO), LONG, calls.clone());
        let call = calls.token();
        assert!(!is_over(&mut term).await && calls.is_closed());
        drop(call);
        term.over().await;
    }

    #[tokio::test]
    async fn until_the_token_expires_a_session_without_calls_goes_on() {
        let calls = TaskTracker::new();
        let mut term = Term::new(tokio::time::sleep(LONG), Duration::ZERO, calls.clone());
        drop(calls.token());
        assert!(!is_over(&mut term).await && !calls.is_closed());
    }

    #[tokio::test]
    async fn a_call_has_the_grace_and_no_longer() {
        for grace in [Duration::ZERO, Duration::from_millis(100)] {
            let calls = TaskTracker::new();
            let mut term = Term::new(tokio::time::sleep(Duration::ZERO), grace, calls.clone());
            let _call = calls.token();
            term.over().await;
        }
    }

    #[tokio::test]
    async fn a_grace_may_be_without_an_end() {
        let calls = TaskTracker::new();
        let mut term = Term::new(tokio::time::sleep(Duration::ZERO), Duration::MAX, calls.clone());
        let call = calls.token();
        assert!(!is_over(&mut term).await && calls.is_closed());
        drop(call);
        term.over().await;
    }
}

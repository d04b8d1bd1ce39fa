//! When what was broken off goes on, and for how long it is tried.

use std::time::Duration;

use crate::error::Error;
use crate::retry::RetryPolicy;
use crate::v2::Patience;

/// What never began is tried so often where the server says that it has begun nothing of it.
const TIMES_MAX: u32 = 5;

/// What became of the connections of something so far.
pub(crate) struct Resuming {
    /// How long it may be without a server.
    longest: Duration,
    has_begun: bool,
    /// How often it broke off since it last went on, and for how long it may be tried again.
    times: u32,
    patience: Option<Patience>,
    was_lost: bool,
}

impl Resuming {
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            longest,
            has_begun: false,
            times: 0,
            patience: None,
            was_lost: false,
        }
    }

    /// For how long it may be tried to open it now.
    pub(crate) fn patience(&self) -> Patience {
        self.patience.unwrap_or_else(|| Patience::new(self.longest))
    }

    /// The server answered: it has its time anew, and a server that ends it again and again has it ever more slowly.
    pub(crate) fn has_begun(&mut self) {
        self.patience = None;
        self.has_begun = true;
    }

    /// It went on for a while.
    pub(crate) fn went_on(&mut self) {
        self.has_begun();
        self.times = 0;
    }

    /// Whether it may be opened again behind such an end; waits before, from the second time on. What has begun goes on behind all that
    /// passes by itself. What has not, if the server has begun nothing of it; and once if the connection was lost: it may have been dead
    /// for long, and this the first to notice.
    ///
    /// # Errors
    /// That of the end, if it may not.
    pub(crate) async fn go_on(&mut self, error: Error) -> Result<(), Error> {
        let patience = *self.patience.get_or_insert_with(|| Patience::new(self.longest));
        self.times = self.times.saturating_add(1);
        let may_pass = match &error {
            Error::NotBegun(_) if !self.has_begun => self.times <= TIMES_MAX,
            Error::ConnectionLost(_) if !self.has_begun => !std::mem::replace(&mut self.was_lost, true),
            error => self.has_begun && error.is_transient(),
        };
        if !may_pass {
            return Err(error);
        }
        if self.times > 1 {
            let pause = error.retry_after();
            let pause = pause.unwrap_or_else(|| RetryPolicy::DEFAULT.pause(self.times - 1));
            tokio::time::sleep(pause.min(patience.left())).await;
        }
        match patience.is_over() {
            true => Err(error),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::ConnectionLost("why".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_began_fails_soon_and_what_has_goes_on_until_its_time_is_over() {
        let mut resuming = Resuming::new(Duration::from_secs(60));
        assert!(resuming.go_on(lost()).await.is_ok(), "the first to notice");
        assert!(resuming.go_on(lost()).await.is_err());
        resuming.has_begun();
        let mut times = 0;
        while resuming.go_on(lost()).await.is_ok() {
            times += 1;
        }
        assert!((10..100).contains(&times), "{times}");
        resuming.went_on();
        assert!(resuming.go_on(lost()).await.is_ok(), "its time begins anew");
        assert!(resuming.go_on(Error::AccessDenied).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_has_not_begun_is_tried_a_few_times() {
        let mut resuming = Resuming::new(Duration::from_secs(60));
        let not_begun = || Error::NotBegun("store unavailable".to_owned());
        for _ in 0..TIMES_MAX {
            assert!(resuming.go_on(not_begun()).await.is_ok());
        }
        assert!(resuming.go_on(not_begun()).await.is_err());
    }
}

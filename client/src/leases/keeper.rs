//! The task that asks for a lease, renews it, and gives it back. Its calls follow each other and none is broken off by its caller, so a
//! release never overtakes a grant.

use std::time::Duration;

use streamkit_protocol::v2::{LeaseChange, Leased};
use streamkit_record::FencingToken;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::change::change;
use super::error::{LeaseError, LeaseLost};
use super::held::Standing;
use super::wanted::Wanted;
use crate::call::{Call, Closing};
use crate::error::Error;
use crate::hooks::LiveEvent;
use crate::retry::RetryPolicy;

/// A lease is renewed once this part of its time is over.
const RENEWED_AFTER: u32 = 3;

/// A renewal without an answer is made over another connection after this part of the lease's time.
const ANSWERED_WITHIN: u32 = 6;

/// How often whoever waits asks again.
const WAITING: RetryPolicy = RetryPolicy {
    attempts: u32::MAX,
    first_pause: Duration::from_millis(50),
    longest_pause: Duration::from_secs(1),
    factor: 1.5,
};

/// An attempt to acquire it has this time for its answer, however short one waits.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// Keeps one lease.
pub(super) struct Keeper {
    call: Call,
    wanted: Wanted,
    standing: watch::Sender<Standing>,
}

/// A lease as it was granted or renewed last.
struct Kept {
    token: FencingToken,
    /// When that was asked for. The server counts from later.
    since: Instant,
}

impl Keeper {
    pub(super) fn new(call: Call, wanted: Wanted, standing: watch::Sender<Standing>) -> Self {
        Self { call, wanted, standing }
    }

    /// Keeps it until `needs` resolves.
    ///
    /// # Errors
    /// Why it could not be given back.
    pub(super) async fn run(self, mut needs: oneshot::Receiver<()>) -> Result<(), Error> {
        // Held to the end: the close of a client waits for this.
        let mut closing = self.call.closing();
        let mut kept = match self.acquire(&mut needs, &mut closing).await {
            Ok(kept) => kept,
            Err(InVain { error, since }) => {
                self.standing.send_replace(Standing::Refused(error));
                // It may have been granted by an answer that did not come.
                return match since {
                    Some(since) => self.release(since).await,
                    None => Ok(()),
                };
            }
        };
        let token = kept.token;
        let key = self.wanted.key.to_string();
        self.call.tell(&LiveEvent::LeaseHeld { key, token });
        let lost = tokio::select! {
            biased;
            _ = &mut needs => None,
            () = closing.begins() => Some(LeaseLost::Closed),
            why = self.keep(&mut kept) => Some(why),
        };
        let Some(why) = lost else {
            self.standing.send_replace(Standing::Lost(LeaseLost::GivenBack));
            return self.release(kept.since).await;
        };
        tracing::warn!(key = %self.wanted.key, %why, "a lease is lost");
        let is_gone = matches!(why, LeaseLost::Gone);
        let (key, text) = (self.wanted.key.to_string(), why.to_string());
        self.standing.send_replace(Standing::Lost(why));
        self.call.tell(&LiveEvent::LeaseLost { key, token, why: text });
        if is_gone {
            return Ok(());
        }
        // Another may have it as soon as nothing is done under it any more, or it has run out.
        let _ = tokio::time::timeout_at(kept.since + self.wanted.ttl, needs).await;
        self.release(kept.since).await
    }

    /// Asks until it is granted, or nobody waits for it any more.
    async fn acquire(&self, needs: &mut oneshot::Receiver<()>, closing: &mut Closing) -> Result<Kept, InVain> {
        let deadline = Instant::now() + self.wanted.wait.min(LONGEST_WAIT);
        let (mut times, mut since) = (0, None);
        loop {
            let asked = Instant::now();
            let answer = self.acquire_once(deadline).await;
            let (error, may_pass) = match answer {
                Ok(Leased { token: Some(token), .. }) if asked + self.wanted.counts() > Instant::now() => {
                    let kept = Kept { token, since: asked };
                    self.counts(&kept, None);
                    return Ok(kept);
                }
                // It ran out before its answer came.
                Ok(Leased { token: Some(_), .. }) => {
                    since = Some(asked);
                    (LeaseError::NotAsked(Error::Timeout(self.wanted.ttl)), true)
                }
                Ok(Leased { token: None, .. }) => (self.held_by_another(), true),
                Err(error) => {
                    // The last of them counts longest.
                    since = (!error.is_not_stored()).then_some(asked).or(since);
                    let may_pass = error.is_transient();
                    (error.into(), may_pass)
                }
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if !may_pass || left.is_zero() {
                return Err(InVain { error, since });
            }
            times += 1;
            tokio::select! {
                biased;
                _ = &mut *needs => return Err(InVain { error, since }),
                () = closing.begins() => {
                    let error = Error::Closed.into();
                    return Err(InVain { error, since });
                }
                () = sleep(WAITING.pause(times).min(left)) => {}
            }
        }
    }

    /// Asks once: for as long as the client waits for an answer, or, where there is a time to wait, not beyond that.
    async fn acquire_once(&self, deadline: Instant) -> Result<Leased, Error> {
        match self.wanted.wait {
            Duration::ZERO => change(&self.call, self.wanted.ask(LeaseChange::Acquire)).await,
            _ => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.ask_within(LeaseChange::Acquire, left.max(ASKED_FOR)).await
            }
        }
    }

    fn held_by_another(&self) -> LeaseError {
        let key = self.wanted.key.to_string();
        match self.wanted.wait {
            Duration::ZERO => LeaseError::HeldByAnother { key },
            waited => LeaseError::WaitedInVain { key, waited },
        }
    }

    /// Renews it until it is lost.
    async fn keep(&self, kept: &mut Kept) -> LeaseLost {
        let ttl = self.wanted.ttl;
        loop {
            sleep_until(kept.since + ttl / RENEWED_AFTER).await;
            let until = kept.since + self.wanted.counts();
            let mut why = None;
            let mut times = 0;
            // An attempt that hangs is given up at the end, whatever it would come to.
            let renewed = tokio::time::timeout_at(until, async {
                loop {
                    let asked = Instant::now();
                    match self.ask_within(LeaseChange::Renew, ttl / ANSWERED_WITHIN).await {
                        Ok(Leased { token: Some(token), .. }) if token == kept.token => return Some(asked),
                        Ok(_) => return None,
                        Err(error) => {
                            self.counts(kept, Some(error.clone()));
                            why = Some(error);
                        }
                    }
                    times += 1;
                    sleep(WAITING.pause(times).min(ttl / ANSWERED_WITHIN)).await;
                }
            });
            let renewed = renewed.await;
            match renewed {
                // What was granted to this process after all that it had was over may not be taken for its own.
                Ok(Some(asked)) if Instant::now() < until => {
                    kept.since = asked;
                    self.counts(kept, None);
                }
                Ok(None) => return LeaseLost::Gone,
                Ok(Some(_)) | Err(_) => return LeaseLost::NotRenewed(why),
            }
        }
    }

    /// Asks for a change once. A connection over which no answer comes is left.
    async fn ask_within(&self, asked: LeaseChange, longest: Duration) -> Result<Leased, Error> {
        let connection = self.call.connection_within(longest).await?;
        match timeout(longest, change(&self.call, self.wanted.ask(asked))).await {
            Ok(answer) => answer,
            Err(_) => {
                connection.retire();
                Err(Error::Timeout(longest))
            }
        }
    }

    /// Tells how long it counts.
    fn counts(&self, kept: &Kept, why: Option<Error>) {
        let until = kept.since + self.wanted.counts();
        self.standing.send_replace(Standing::Held(kept.token, until, why));
    }

    /// Gives back what was asked for last at this time, unless it has run out by itself.
    async fn release(&self, since: Instant) -> Result<(), Error> {
        let mut last = Error::Timeout(self.wanted.ttl);
        let mut times = 0;
        let over = since + self.wanted.ttl;
        if over <= Instant::now() {
            return Ok(());
        }
        let released = tokio::time::timeout_at(over, async {
            loop {
                match change(&self.call, self.wanted.ask(LeaseChange::Release)).await {
                    Ok(_) => return Ok(()),
                    Err(error) if error.is_transient() => last = error,
                    Err(error) => return Err(error),
                }
                times += 1;
                sleep(WAITING.pause(times)).await;
            }
        });
        let released = released.await.unwrap_or(Err(last));
        released.inspect_err(|error| {
            let (key, why) = (self.wanted.key.to_string(), error.to_string());
            tracing::warn!(key, why, "a lease was not given back, and runs out by itself");
            self.call.tell(&LiveEvent::LeaseNotReleased { key, why });
        })
    }
}

/// Beyond, a clock may not reach.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 365 * 86_400);

/// It was asked for in vain.
struct InVain {
    error: LeaseError,
    /// When it was asked for without learning what came of it.
    since: Option<Instant>,
}

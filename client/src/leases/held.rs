//! Whether a lease is held.

use std::sync::Arc;

use streamkit_record::{Fence, FencingToken, Name};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::error::{LeaseError, LeaseLost};
use crate::error::Error;

/// How a lease stands.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// It is asked for.
    Wanted,
    /// It was not granted.
    Refused(LeaseError),
    /// It is held until then, by the clock of this process; and why it could not be renewed when that was tried last.
    Held(FencingToken, Instant, Option<Error>),
    Lost(LeaseLost),
}

/// A lease that is held, or was.
#[derive(Clone, Debug)]
pub struct Held {
    key: Arc<Name>,
    token: FencingToken,
    standing: watch::Receiver<Standing>,
}

impl Held {
    pub(super) fn new(key: Name, token: FencingToken, standing: watch::Receiver<Standing>) -> Self {
        let key = Arc::new(key);
        Self { key, token, standing }
    }

    /// The key of the lease.
    pub fn key(&self) -> &str {
        self.key.as_str()
    }

    /// The number of this grant: each later grant of the store has a larger one. `None` from a Go server, which counts none.
    pub fn token(&self) -> Option<FencingToken> {
        (self.token != FencingToken::default()).then_some(self.token)
    }

    /// What ties an append to this grant ([`crate::Append::fenced`]), over v2 alone.
    pub fn fence(&self) -> Option<Fence> {
        let key = Name::clone(&self.key);
        self.token().map(|token| Fence { key, token })
    }

    /// Whether it is held now, as far as this process can know: ask before what cannot be undone. Another may hold it soon after, so what
    /// must not happen twice needs the fencing token.
    pub fn is_held(&self) -> bool {
        self.why_lost().is_none()
    }

    /// Waits until it is held no longer, and says why.
    ///
    /// Cancel safe.
    pub async fn lost(&self) -> LeaseLost {
        let mut standing = self.standing.clone();
        loop {
            let until = match &*standing.borrow_and_update() {
                Standing::Held(_, until, _) => *until,
                _ => break,
            };
            if until <= Instant::now() {
                break;
            }
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { break },
                () = sleep_until(until) => {}
            }
        }
        self.why_lost().unwrap_or(LeaseLost::GivenBack)
    }

    pub(super) fn why_lost(&self) -> Option<LeaseLost> {
        match &*self.standing.borrow() {
            // Whoever kept it is gone.
            Standing::Held(..) if self.standing.has_changed().is_err() => Some(LeaseLost::GivenBack),
            Standing::Held(_, until, _) if Instant::now() < *until => None,
            Standing::Held(_, _, why) => Some(LeaseLost::NotRenewed(why.clone())),
            Standing::Lost(why) => Some(why.clone()),
            Standing::Wanted | Standing::Refused(_) => Some(LeaseLost::GivenBack),
        }
    }
}

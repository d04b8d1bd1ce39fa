//! A lease that is kept until it is dropped.

use std::ops::Deref;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::error::LeaseError;
use super::held::{Held, Standing};
use super::keeper::Keeper;
use super::wanted::NewLease;
use crate::call::Call;
use crate::error::Error;

/// A lease that is held and renewed until this is dropped, or the client closed. Dropped, it is given back in the background;
/// [`HeldLease::release`] waits for that.
#[derive(Debug)]
pub struct HeldLease {
    held: Held,
    /// Dropped, it tells the keeper that nothing is done under the lease any more.
    needed: oneshot::Sender<()>,
    keeper: JoinHandle<Result<(), Error>>,
}

impl HeldLease {
    /// Waits until it is granted.
    pub(super) async fn acquire(call: Call, lease: NewLease) -> Result<Self, LeaseError> {
        let wanted = lease.checked()?;
        let key = wanted.key.clone();
        let (tell, mut standing) = watch::channel(Standing::Wanted);
        let (needed, needs) = oneshot::channel();
        let keeper = tokio::spawn(Keeper::new(call, wanted, tell).run(needs));
        let settled = standing
            .wait_for(|standing| !matches!(standing, Standing::Wanted))
            .await;
        let token = match settled.map(|standing| standing.clone()) {
            Ok(Standing::Held(token, ..)) => token,
            Ok(Standing::Refused(error)) => return Err(error),
            Ok(Standing::Lost(why)) => {
                let key = key.to_string();
                return Err(LeaseError::Lost { key, why });
            }
            Ok(Standing::Wanted) | Err(_) => return Err(Error::Closed.into()),
        };
        Ok(Self {
            held: Held::new(key, token, standing),
            needed,
            keeper,
        })
    }

    /// Gives it back, and waits until the server has said so, for as long as it would last otherwise at most. Dropped early, it goes on in the
    /// background.
    ///
    /// # Errors
    /// Why the server could not be told: the lease runs out by itself.
    pub async fn release(self) -> Result<(), Error> {
        let Self { needed, keeper, .. } = self;
        drop(needed);
        // It only fails with its runtime.
        keeper.await.unwrap_or(Err(Error::Closed))
    }
}

impl Deref for HeldLease {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

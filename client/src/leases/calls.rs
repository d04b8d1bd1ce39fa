//! The calls on a store that hold a lease.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use streamkit_protocol::v2::{Lease, Leased};

use super::change::change;
use super::error::{LeaseError, LeaseLost};
use super::held::Held;
use super::hold::HeldLease;
use super::wanted::NewLease;
use crate::error::Error;
use crate::store::StoreClient;

impl StoreClient {
    /// Acquires, renews or releases a lease, once. [`StoreClient::with_lease`] keeps one for as long as some work takes. Over v1 it lasts whole
    /// seconds, rounded up, and a Go server, which counts no grants, answers with the token 0. Dropping the future gives the answer up, not the
    /// change. After [`Error::ConnectionLost`] and [`Error::Timeout`] the outcome is unknown; the same holder may ask for the same again.
    ///
    /// # Errors
    /// [`Error`]; not that another holds it.
    pub async fn lease(&self, lease: Lease) -> Result<Leased, Error> {
        change(self.call(), lease).await
    }

    /// Acquires a lease, does `work` while it is held, and gives it back, whatever the work came to. A task of the client renews it meanwhile
    /// after a third of its time, over one connection after the other. As soon as the lease is lost, or was not renewed until nine tenths of
    /// its time are over by the clock of this process, the work is dropped where it waits.
    ///
    /// Work that does not wait cannot be dropped (on a runtime of one thread the lease is not even renewed then), a machine may sleep, and what
    /// was sent may arrive late. So that nothing is done twice,
    /// the work gives its fencing token to all that it changes: [`crate::Append::fenced`], over v2.
    ///
    /// Cancel safe: dropped early, the work is dropped, and the lease given back in the background.
    ///
    /// # Errors
    /// [`LeaseError`]; errors of the work are its result.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn with_lease<Work: Future>(
        &self,
        lease: NewLease,
        work: impl FnOnce(Held) -> Work,
    ) -> Result<Work::Output, LeaseError> {
        let lease = self.hold_lease(lease).await?;
        let done = while_held(&lease, work(Held::clone(&lease))).await;
        let key = lease.key().to_owned();
        // It runs out by itself if the server cannot be told, and the program hears of that over `Builder::on_live`.
        let _ = lease.release().await;
        done.map_err(|why| LeaseError::Lost { key, why })
    }

    /// Acquires a lease, and keeps it renewed until what this returns is dropped. [`StoreClient::with_lease`] also ends the work when the lease
    /// is lost; here its caller looks at [`Held::lost`] and [`Held::is_held`].
    ///
    /// Cancel safe: dropped early, the lease is given back in the background if it is granted.
    ///
    /// # Errors
    /// [`LeaseError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn hold_lease(&self, lease: NewLease) -> Result<HeldLease, LeaseError> {
        HeldLease::acquire(self.call().clone(), lease).await
    }
}

/// Does work for as long as a lease is held. Afterwards it is dropped.
async fn while_held<Work: Future>(held: &Held, work: Work) -> Result<Work::Output, LeaseLost> {
    let mut lost = pin!(held.lost());
    let mut work = pin!(work);
    poll_fn(|context| {
        // A thread that was busy for long may come here before its timer tells.
        if let Some(why) = held.why_lost() {
            return Poll::Ready(Err(why));
        }
        if let Poll::Ready(why) = lost.as_mut().poll(context) {
            return Poll::Ready(Err(why));
        }
        work.as_mut().poll(context).map(Ok)
    })
    .await
}

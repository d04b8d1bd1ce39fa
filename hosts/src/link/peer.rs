//! Another host, as one that is sent appends: one connection, so many calls under way, and a rest after a failure.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamkit_client::{Append, Client, Error, Lease, Leased, RetryPolicy, Tls};
use streamkit_engine::{StoreId, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::rest::Rest;
use super::secret::HostSecret;
use crate::host::Host;

/// Most calls under way to one host, and most bytes of theirs. Whatever is more is appended here.
const CALLS_MAX: usize = 1024;
const BYTES_MAX: usize = 64 << 20;

/// What a record takes beside its payload and metadata, about.
const RECORD_OVERHEAD: usize = 64;

/// Another host.
pub(crate) struct Peer {
    host: Host,
    client: Client,
    patience: Duration,
    calls: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    begun: Instant,
    rest: Mutex<Rest>,
}

/// That one call may be made. Dropped before it was, or is over, it makes room for the next one.
pub(crate) struct Turn<'a> {
    peer: &'a Peer,
    is_told: bool,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Peer {
    /// A host that is given `patience` for each call. Nothing is sent yet.
    pub(crate) fn new(host: Host, secret: &HostSecret, tls: Tls, patience: Duration) -> Self {
        let (secret, id) = (secret.clone(), host.id);
        let token = move || std::future::ready(secret.token(id).map_err(|error| error.to_string()));
        let client = Client::builder(host.address())
            .token_source(token)
            .tls(tls)
            // Whoever has to dial twice had better append here.
            .retry(RetryPolicy::NEVER)
            .timeout(patience)
            .build();
        Self {
            host,
            client,
            patience,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            bytes: Arc::new(Semaphore::new(BYTES_MAX)),
            begun: Instant::now(),
            rest: Mutex::default(),
        }
    }

    /// Which host it is.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Whether a call of so many bytes may be made now. Waits for nothing.
    pub(crate) fn turn(&self, bytes: usize) -> Option<Turn<'_>> {
        let bytes = u32::try_from(bytes).ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(bytes).ok()?;
        let call = self.calls.clone().try_acquire_owned().ok()?;
        let begins = self.rest().begins(self.begun.elapsed());
        begins.then_some(Turn {
            peer: self,
            is_told: false,
            _room: (bytes, call),
        })
    }

    /// Ends its connection.
    pub(crate) async fn close(&self) {
        self.client.close().await;
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a transaction takes on its way, about.
pub(crate) fn size(transaction: &Transaction) -> usize {
    let records = transaction.segments.iter().flat_map(|part| &part.records);
    records.map(|record| record.len() + RECORD_OVERHEAD).sum()
}

impl Turn<'_> {
    /// Has that host append a transaction.
    ///
    /// # Cancel safety
    /// Dropping the future leaves its outcome unknown.
    pub(crate) async fn append(self, store: StoreId, transaction: &Transaction) -> Answer {
        let append = Append {
            id: transaction.id,
            sections: transaction.segments.clone(),
            conditions: transaction.conditions.clone(),
            fence: transaction.fence.clone(),
            conflict_bytes: 0,
        };
        let result = self.within(self.peer.client.store(store.0).append(append)).await;
        let answer = Answer::of(result, transaction, self.peer.host.id);
        self.tell(answer.failure());
        answer
    }

    /// Has that host grant or renew a lease. An error says nothing of whether it did.
    ///
    /// # Cancel safety
    /// Dropping the future leaves its outcome unknown.
    pub(crate) async fn lease(self, store: StoreId, lease: Lease) -> Result<Leased, Error> {
        let result = self.within(self.peer.client.store(store.0).lease(lease)).await;
        let failure = result
            .as_ref()
            .err()
            .filter(|error| !matches!(error, Error::Refused(_)));
        self.tell(failure.map(Error::to_string).as_deref());
        result
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // The client counts the silence of a server, and dials before: together it could take longer.
        let patience = self.peer.patience;
        timeout(patience, call).await.unwrap_or(Err(Error::Timeout(patience)))
    }

    /// Tells the host's rest what came of the call.
    fn tell(mut self, failure: Option<&str>) {
        self.is_told = true;
        let Some(why) = failure else {
            return self.peer.rest().answered();
        };
        let was_well = self.peer.rest().failed(self.peer.begun.elapsed());
        if was_well {
            let (host, address) = (self.peer.host.id, self.peer.host.address());
            tracing::warn!(%host, address, why, "another host does not take what it is to write: this one does it");
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.peer.rest().given_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::host::HostId;

    #[tokio::test]
    async fn no_more_is_under_way_than_may_be() {
        let host = Host::new(HostId(Uuid::nil()), Uuid::nil(), "ws://127.0.0.1:1", "").unwrap();
        let secret = HostSecret::new(b"a secret of thirty-two bytes, or more").unwrap();
        let peer = Peer::new(host, &secret, Tls::default(), Duration::from_secs(2));
        let turns: Vec<_> = (0..CALLS_MAX).map(|_| peer.turn(1).unwrap()).collect();
        assert!(peer.turn(1).is_none());
        drop(turns);
        let large = peer.turn(BYTES_MAX).unwrap();
        assert!(peer.turn(1).is_none());
        drop(large);
        assert!(peer.turn(BYTES_MAX + 1).is_none() && peer.turn(1).is_some());
    }
}

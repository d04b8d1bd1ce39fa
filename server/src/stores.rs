//! Opening stores without hammering a broken one: after some failures in a row a store is left alone for a while.

use std::sync::Arc;
use std::time::Instant;

use streamkit_engine::{OpenError, SegmentsHit, StorageError, Store, StoreId, Stores};

use crate::circuit::Circuits;
use crate::limits::Limits;

/// The stores, behind a circuit breaker each.
pub(crate) struct OpenStores {
    stores: Arc<dyn Stores>,
    circuits: Arc<Circuits>,
}

/// Why a store is not to be had now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreUnavailable {
    /// So says whichever host is asked.
    #[error(transparent)]
    OfStore(StorageError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the store failed to open repeatedly and is not tried again yet")]
    CircuitOpen,
}

impl OpenStores {
    pub(crate) fn new(stores: Arc<dyn Stores>, limits: &Limits) -> Self {
        Self {
            stores,
            circuits: Circuits::new(limits.store_open_failures, limits.store_open_pause),
        }
    }

    pub(crate) fn all(&self) -> &Arc<dyn Stores> {
        &self.stores
    }

    /// A store, to read only (`reads`) or to write to also. What passes by itself, as that all places are taken, breaks no circuit.
    pub(crate) async fn open(&self, id: StoreId, reads: bool) -> Result<Arc<dyn Store>, StoreUnavailable> {
        let trial = self.circuits.begin(id, Instant::now());
        let trial = trial.ok_or(StoreUnavailable::CircuitOpen)?;
        let opened = match reads {
            true => self.stores.store_to_read(id).await,
            false => self.stores.store(id).await,
        };
        match opened {
            Ok(store) => {
                trial.succeeded();
                Ok(store)
            }
            // Nothing that goes wrong here.
            Err(OpenError::Storage(error)) if is_of_store(&error) => {
                tracing::warn!(store = %id, %error, "a store is not to be had");
                Err(StoreUnavailable::OfStore(error))
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(store = %id, %error, "a store is not to be had now");
                Err(error.into())
            }
            Err(error) => {
                let failures = trial.failed(Instant::now());
                tracing::warn!(store = %id, failures, %error, "a store did not open");
                Err(error.into())
            }
        }
    }
}

/// Whether it is what the storage that hosts share holds of a store, and not this host: a retry meets the same, here and elsewhere.
pub(crate) fn is_of_store(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::StoreDeleted(_)
            | StorageError::Corrupt {
                segments: SegmentsHit::InAccount,
                ..
            }
    )
}

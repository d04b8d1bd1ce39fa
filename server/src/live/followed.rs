//! A store that is followed. It is open only while somebody looks at it, so that to follow it takes no place from other stores.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use streamkit_engine::{OpenError, StorageError, Store, StoreId};

use crate::stores::{OpenStores, StoreUnavailable};

/// How long nobody asks again for a store that was not to be had.
const PAUSE: Duration = Duration::from_secs(1);

/// The store does not open any more, or is another one now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoreLost;

pub(super) struct FollowedStore {
    pub(super) id: StoreId,
    stores: Arc<OpenStores>,
    /// For as long as anybody holds it.
    open: Mutex<Weak<dyn Store>>,
    /// Held while it is opened: one does it for all, who may be thousands.
    opening: tokio::sync::Mutex<()>,
}

impl FollowedStore {
    pub(super) fn new(stores: Arc<OpenStores>, store: &Arc<dyn Store>) -> Self {
        Self {
            id: store.id(),
            stores,
            open: Mutex::new(Arc::downgrade(store)),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// The store, which stays open for as long as it is held. Waits while it is not to be had for a reason that passes by itself.
    ///
    /// Cancel safe.
    pub(super) async fn open(&self) -> Result<Arc<dyn Store>, StoreLost> {
        match self.held() {
            Some(store) => Ok(store),
            // Seldom, and much larger than what its callers hold otherwise.
            None => Box::pin(self.opened()).await,
        }
    }

    fn held(&self) -> Option<Arc<dyn Store>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    async fn opened(&self) -> Result<Arc<dyn Store>, StoreLost> {
        let _one = self.opening.lock().await;
        loop {
            if let Some(store) = self.held() {
                return Ok(store);
            }
            match self.stores.open(self.id, false).await {
                Ok(store) => {
                    *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&store);
                    return Ok(store);
                }
                Err(StoreUnavailable::Open(OpenError::Storage(StorageError::Closed))) => return Err(StoreLost),
                Err(StoreUnavailable::Open(error)) if error.is_transient() => tokio::time::sleep(PAUSE).await,
                Err(_) => return Err(StoreLost),
            }
        }
    }
}

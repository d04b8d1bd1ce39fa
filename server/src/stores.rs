//! Opening stores without hammering a broken one: after some failures in a row a store is left alone for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use streamkit_engine::{OpenError, Store, StoreId, Stores};

use crate::limits::Limits;

/// Most stores whose failures are remembered; the oldest is forgotten first.
const FAILING_STORES_MAX: usize = 1024;

/// The stores, behind a circuit breaker each.
pub(crate) struct OpenStores {
    stores: Arc<dyn Stores>,
    limits: Limits,
    failing: Mutex<HashMap<StoreId, Failing>>,
}

struct Failing {
    in_a_row: u32,
    last: Instant,
}

/// Why a store is not to be had now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreUnavailable {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the store failed to open repeatedly and is not tried again yet")]
    CircuitOpen,
}

impl OpenStores {
    pub(crate) fn new(stores: Arc<dyn Stores>, limits: Limits) -> Self {
        Self {
            stores,
            limits,
            failing: Mutex::default(),
        }
    }

    pub(crate) fn all(&self) -> &Arc<dyn Stores> {
        &self.stores
    }

    /// A store, to read only (`reads`) or to write to also. What passes by itself, as that all places are taken, breaks no circuit.
    pub(crate) async fn open(&self, id: StoreId, reads: bool) -> Result<Arc<dyn Store>, StoreUnavailable> {
        if self.circuit_is_open(id) {
            return Err(StoreUnavailable::CircuitOpen);
        }
        let opened = match reads {
            true => self.stores.store_to_read(id).await,
            false => self.stores.store(id).await,
        };
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(store) => {
                failing.remove(&id);
                Ok(store)
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(store = %id, %error, "a store is not to be had now");
                Err(error.into())
            }
            Err(error) => {
                let now = Instant::now();
                if !failing.contains_key(&id)
                    && failing.len() >= FAILING_STORES_MAX
                    && let Some(oldest) = failing.iter().min_by_key(|(_, f)| f.last).map(|(id, _)| *id)
                {
                    failing.remove(&oldest);
                }
                let entry = failing.entry(id).or_insert(Failing { in_a_row: 0, last: now });
                entry.in_a_row = entry.in_a_row.saturating_add(1);
                entry.last = now;
                tracing::warn!(store = %id, failures = entry.in_a_row, %error, "a store did not open");
                Err(error.into())
            }
        }
    }

    fn circuit_is_open(&self, id: StoreId) -> bool {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.get(&id).is_some_and(|f| {
            f.in_a_row >= self.limits.store_open_failures && f.last.elapsed() < self.limits.store_open_pause
        })
    }
}

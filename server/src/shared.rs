//! What all connections of a server share.

use std::sync::Arc;

use streamkit_engine::Stores;
use tokio_util::sync::CancellationToken;

use crate::budgets::Budgets;
use crate::limits::Limits;
use crate::live::{Live, MessageBus, WorkerRegister};
use crate::metrics::Metrics;
use crate::stores::OpenStores;

/// All of it.
pub(crate) struct Shared {
    pub(crate) stores: Arc<OpenStores>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) live: Live,
    pub(crate) bus: Arc<dyn MessageBus>,
    pub(crate) budgets: Arc<Budgets>,
    /// Cancelled when the server is to be sent nobody any more, though it serves whoever comes.
    pub(crate) draining: CancellationToken,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl Shared {
    /// Whether the server is about to leave, or leaves.
    pub(crate) fn is_leaving(&self) -> bool {
        self.draining.is_cancelled() || self.stopping.is_cancelled()
    }

    pub(crate) fn new(
        stores: Arc<dyn Stores>,
        limits: Limits,
        bus: Arc<dyn MessageBus>,
        workers: Option<Arc<dyn WorkerRegister>>,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let stores = Arc::new(OpenStores::new(stores, &limits));
        Self {
            live: Live::new(stores.clone(), bus.clone(), workers, metrics.clone()),
            bus,
            stores,
            budgets: Arc::new(Budgets::new(&limits)),
            metrics,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            limits,
        }
    }
}

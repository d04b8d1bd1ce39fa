//! What all connections of a server share.

use std::sync::Arc;

use streamkit_engine::Stores;
use tokio_util::sync::CancellationToken;

use crate::budgets::Budgets;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::stores::OpenStores;

/// All of it.
pub(crate) struct Shared {
    pub(crate) stores: OpenStores,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) budgets: Arc<Budgets>,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl Shared {
    pub(crate) fn new(stores: Arc<dyn Stores>, limits: Limits) -> Self {
        Self {
            stores: OpenStores::new(stores, limits.clone()),
            budgets: Arc::new(Budgets::new(&limits)),
            metrics: Metrics::new(),
            stopping: CancellationToken::new(),
            limits,
        }
    }
}

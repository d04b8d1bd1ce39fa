//! What a server serves: stores on a disk of its own, or stores that several hosts share.

use std::sync::Arc;

use streamkit_azure::store::SharedStores;
use streamkit_engine::{Engine, Stores};
use streamkit_server_core::{InProcess, MessageBus, WorkerRegister};
use tokio::time::Instant;

use super::together::Together;

/// The stores of a server, and the engine that keeps them, or the copies of them.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) engine: Engine,
    pub(crate) bus: Arc<dyn MessageBus>,
    /// Where other hosts are told of workers, and tell of theirs.
    pub(crate) workers: Option<Arc<dyn WorkerRegister>>,
    shared: Option<SharedStores>,
    together: Option<Arc<Together>>,
}

impl Served {
    /// Stores on a disk of its own.
    pub(crate) fn local(engine: Engine) -> Self {
        Self {
            engine,
            bus: Arc::new(InProcess::default()),
            workers: None,
            shared: None,
            together: None,
        }
    }

    /// Stores that several hosts share, whose copies the engine keeps.
    pub(crate) fn shared(
        engine: Engine,
        bus: Arc<dyn MessageBus>,
        workers: Arc<dyn WorkerRegister>,
        stores: SharedStores,
        together: Option<Together>,
    ) -> Self {
        Self {
            engine,
            bus,
            workers: Some(workers),
            shared: Some(stores),
            together: together.map(Arc::new),
        }
    }

    /// The stores, as clients are served them.
    pub(crate) fn stores(&self) -> Arc<dyn Stores> {
        match (&self.together, &self.shared) {
            (Some(together), _) => Arc::new(together.forwarding.clone()),
            (None, Some(shared)) => Arc::new(shared.clone()),
            (None, None) => Arc::new(self.engine.clone()),
        }
    }

    /// Other hosts learn that this one leaves. Returns until when they may not know it.
    pub(crate) async fn retire(&self) -> Option<Instant> {
        match &self.together {
            Some(together) => Some(together.retire().await),
            None => None,
        }
    }

    /// Ends what is under way elsewhere than on the disk: bounded, also when the storage does not answer.
    pub(crate) async fn leave(&self, known: Option<Instant>) {
        if let (Some(together), Some(known)) = (&self.together, known) {
            together.leave(known).await;
        }
        if let Some(shared) = &self.shared {
            shared.leave().await;
        }
    }
}

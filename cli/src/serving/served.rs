//! What a server serves: stores on a disk of its own, or stores that several hosts share.

use std::sync::Arc;

use streamkit_azure::store::SharedStores;
use streamkit_engine::{Engine, Stores};

/// The stores of a server, and the engine that keeps them, or the copies of them.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) engine: Engine,
    shared: Option<SharedStores>,
}

impl Served {
    /// Stores on a disk of its own.
    pub(crate) fn local(engine: Engine) -> Self {
        Self { engine, shared: None }
    }

    /// Stores that several hosts share, whose copies the engine keeps.
    pub(crate) fn shared(engine: Engine, stores: SharedStores) -> Self {
        let shared = Some(stores);
        Self { engine, shared }
    }

    /// The stores.
    pub(crate) fn stores(&self) -> Arc<dyn Stores> {
        match &self.shared {
            Some(shared) => Arc::new(shared.clone()),
            None => Arc::new(self.engine.clone()),
        }
    }

    /// Ends what is under way elsewhere than on the disk: bounded, also when the storage does not answer.
    pub(crate) async fn leave(&self) {
        if let Some(shared) = &self.shared {
            shared.leave().await;
        }
    }
}

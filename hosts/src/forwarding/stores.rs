//! All stores of a host, of which others may write some.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use streamkit_engine::boundary::backup::Source;

use streamkit_engine::boundary::figures::{Figures, ForwardingFigures};
use streamkit_engine::{OpenError, StorageError, Store, StoreId, Stores};
use tokio::sync::watch;

use super::store::ForwardingStore;
use super::ways::{Contended, ForwardingSettings, Ways};
use crate::host::Host;

/// Stores that several hosts serve. An append goes to the host that is to write the store, and if that does not answer it, to the stores of this
/// host, under the same id: whichever comes first is stored, and the other one is told so.
///
/// It relies on two promises of the stores that it stands before. **A read begun after an append was acknowledged on any host sees it**: a shared log looks at its
/// tail before each read. **An id is stored once**: whoever asks again is told of the first time.
#[derive(Clone)]
pub struct Forwarding {
    direct: Arc<dyn Stores>,
    ways: Arc<Ways>,
}

impl Forwarding {
    /// Before `direct`, which forward nothing. `others` are the other hosts that are there ([`crate::presence::Presence::others`]).
    pub fn new(
        direct: Arc<dyn Stores>,
        settings: ForwardingSettings,
        others: watch::Receiver<Arc<[Host]>>,
        contended: Option<Arc<dyn Contended>>,
    ) -> Self {
        let ways = Arc::new(Ways::new(settings, others, contended));
        Self { direct, ways }
    }

    /// What was counted. Waits for nothing.
    pub fn forwarding(&self) -> ForwardingFigures {
        self.ways.figures()
    }
}

#[async_trait]
impl Stores for Forwarding {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        let direct = self.direct.store(id).await?;
        let ways = self.ways.clone();
        Ok(Arc::new(ForwardingStore { direct, ways }))
    }

    async fn store_to_read(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        self.direct.store_to_read(id).await
    }

    fn commit_method(&self) -> Option<&'static str> {
        self.direct.commit_method()
    }

    fn backup(&self) -> Option<Arc<dyn Source>> {
        self.direct.backup()
    }

    fn queued_bytes(&self) -> Option<usize> {
        self.direct.queued_bytes()
    }

    fn figures(&self) -> Option<Figures> {
        let mut figures = self.direct.figures()?;
        figures.shared.get_or_insert_default().forwarding = Some(self.forwarding());
        Some(figures)
    }

    fn clock_behind(&self) -> Option<(StoreId, Duration)> {
        self.direct.clock_behind()
    }

    fn ready(&self) -> Result<(), StorageError> {
        self.direct.ready()
    }

    /// Ends the links, then closes the stores.
    async fn close(&self) {
        self.ways.close().await;
        self.direct.close().await;
    }
}

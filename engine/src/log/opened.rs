//! One open store's log, shared by its readers and its committer.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use streamkit_record::TailMark;

use tokio::sync::watch;

use super::checkpointing::Checkpointing;
use super::counts::CommitCounts;
use super::extents::Extents;
use super::latch::Latch;
use super::shown::ShownEnd;
use super::writer::{DuePreparation, LogWriter};
use crate::clock::Clock;
use crate::directory::descriptors::Descriptors;
use crate::directory::folder::Folder;
use crate::index::catalog::Catalog;
use crate::runtime::pools::Pools;
use crate::runtime::sync::atomic::AtomicBool;
use crate::runtime::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use streamkit_record::{LogPosition, StoreId};

/// The log of an open store.
pub(crate) struct StoreLog {
    pub(crate) id: StoreId,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held by every background job of this store.
    pub(crate) busy: Arc<()>,
    /// Weak, because jobs hold a store, and must not keep the threads alive that they run on.
    pub(crate) pools: Weak<Pools>,
    /// A store may be the last to write there.
    pub(crate) _folder: Arc<Folder>,
    pub(crate) catalog: RwLock<Catalog>,
    /// Held by who makes the catalog know ids.
    pub(crate) recalling: Mutex<()>,
    pub(crate) extents: Extents,
    pub(crate) descriptors: Arc<Descriptors>,
    /// Those of all stores.
    pub(crate) counts: Arc<CommitCounts>,
    pub(crate) writer: Mutex<LogWriter>,
    pub(crate) latch: Arc<Latch>,
    /// Whether the epoch of this open has begun.
    pub(crate) has_begun: AtomicBool,
    /// Whether the clock was behind the last commit at the last look.
    pub(crate) is_clock_behind: AtomicBool,
    /// Tells of each new end; what readers see of it is in `shown` before.
    pub(crate) tail: watch::Sender<TailMark>,
    pub(crate) shown: ShownEnd,
    pub(crate) checkpointing: Checkpointing,
}

impl StoreLog {
    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, LogWriter> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps durable transactions in memory for those who follow the durable tail; to be called before they are published.
    pub(crate) fn keep_recent(&self, at: LogPosition, transactions: &[u8]) {
        if self.tail.receiver_count() == 0 {
            self.extents.recent.clear();
        } else {
            self.extents.recent.keep(at, transactions);
        }
    }

    /// Runs a job on the threads that may wait for reads; here, if they are ending.
    pub(crate) fn on_read_threads(&self, job: impl FnOnce() + Send + 'static) {
        match self.pools.upgrade() {
            Some(pools) => pools.read.spawn(job),
            None => job(),
        }
    }

    /// Runs a job that the log can do without: the next open makes up for it.
    pub(super) fn in_background(&self, job: impl FnOnce() + Send + 'static) {
        let busy = Arc::clone(&self.busy);
        if let Some(pools) = self.pools.upgrade() {
            pools.background.spawn(move || {
                job();
                drop(busy);
            });
        }
    }

    /// Fills the next extent as far as it is due. If that would take descriptors from others, none is begun before the
    /// roll.
    pub(crate) fn prepare_ahead(self: &Arc<Self>, writer: &mut LogWriter) {
        if let Some(DuePreparation {
            mut preparation,
            folder,
        }) = writer.due_preparation()
            && preparation.finds(&self.descriptors)
        {
            self.in_background(move || preparation.fulfil(&folder));
        }
    }
}

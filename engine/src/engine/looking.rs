//! What is looked at again and again though no call asks for it: the folder, the room on its disk, and how everything goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Inner;
use crate::boundary::figures::Figures;
use crate::error::StorageError;
use crate::log::latch::Latch;

/// Nobody can tell how much is free.
pub(super) const UNKNOWN: u64 = u64::MAX;

impl Inner {
    /// Checks for changes that no call reports: stores that hold too many descriptors without another being asked for,
    /// and the folder.
    pub(super) fn look(self: &Arc<Self>) {
        self.give();
        self.look_at_folder();
        let free = self.config.disk.free_bytes(&self.config.dir).ok().flatten();
        self.free_bytes.store(free.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Checks that the folder is still in its place and takes files. Once it is not, no store accepts writes: the next
    /// process would not find them.
    fn look_at_folder(&self) {
        let folder = &self.threads.folder;
        if folder.is_released() {
            return;
        }
        folder.look();
        let Err(StorageError::Gone(gone)) = folder.gone() else {
            return;
        };
        // One that is just being opened looks itself, or is met the next time.
        let stores = self.stores();
        let latches: Vec<Arc<Latch>> = stores.open().map(|(_, store)| Arc::clone(&store.log().latch)).collect();
        // Nobody who asks for a store waits for so many.
        drop(stores);
        for latch in latches {
            latch.lose(&gone);
        }
    }

    /// What was counted, and what is so now. Waits for no disk: neither for one that hangs, nor for a write that is under way.
    pub(super) fn figures(&self) -> Figures {
        let free = self.free_bytes.load(Ordering::Relaxed);
        let stores = self.stores();
        let mut figures = Figures {
            queued_transactions: self.budget.queued_transactions(),
            evicted_stores: stores.evicted(),
            free_bytes: (free != UNKNOWN).then_some(free),
            cache: self.config.disk.cache(),
            ..self.counts.figures()
        };
        for (_, store) in stores.open() {
            figures.open_stores += 1;
            figures.halted_stores += usize::from(store.log().latch.check().is_err());
            figures.log_bytes += store.log().extents.bytes();
        }
        figures
    }
}

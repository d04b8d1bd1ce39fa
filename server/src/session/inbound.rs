//! The room of all connections together for what was received and not dealt with. A connection may always hold a little
//! beyond it, so that a small call never waits for others' bulk. Beyond that, who waits for room is let in in turn.
//!
//! **Nobody waits for ever**, as within a connection ([`super::inbox`]): while a message of `M` bytes waits, each of the `N`
//! open channels commits an open chunk of more than `(C - M) / N`, so that at rest there is room for `M`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::inbox::ROOM_ENOUGH;

/// Bytes that a connection holds beside this budget.
pub(super) const ALWAYS_BYTES: usize = 16 << 10;

/// The budget.
pub(crate) struct Inbound {
    free: Arc<Semaphore>,
    bytes: usize,
    channels: AtomicUsize,
    waiting: AtomicUsize,
    /// What an open chunk may hold just now.
    chunk_bytes: watch::Sender<usize>,
}

/// An open channel, counted until dropped.
pub(super) struct Counted(Arc<Inbound>);

/// One that waits, counted until dropped.
struct Waits<'a>(&'a Inbound);

impl Inbound {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
            channels: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            chunk_bytes: watch::Sender::new(ROOM_ENOUGH),
        })
    }

    /// Counts a channel among those that share.
    pub(super) fn channel(self: &Arc<Self>) -> Counted {
        self.channels.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    pub(super) fn chunk_bytes(&self) -> watch::Receiver<usize> {
        self.chunk_bytes.subscribe()
    }

    /// Room for a message; `None` if it is larger than all there is.
    ///
    /// Cancel safe.
    pub(super) async fn take(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        if let Ok(room) = self.free.clone().try_acquire_many_owned(bytes) {
            return Some(room);
        }
        let others = self.bytes.checked_sub(bytes as usize)?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(self);
        let channels = self.channels.load(Ordering::Relaxed).max(1);
        self.chunk_bytes.send_replace(others / channels);
        self.free.clone().acquire_many_owned(bytes).await.ok()
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.chunk_bytes.send_replace(ROOM_ENOUGH);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Ordering::Relaxed);
    }
}

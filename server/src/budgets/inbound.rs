//! The room of all connections together for what was received and not dealt with. A connection may always hold a little
//! beyond it, so that a small call never waits for others' bulk. Beyond that, who waits for room is let in in turn.
//!
//! **Nobody waits for ever**, as within a connection (`v1/inbox.rs`): while a message of `M` bytes waits, each of the `N`
//! open channels commits an open chunk of more than `(C - M) / N`, so that at rest there is room for `M`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// No open chunk is too large.
pub(crate) const ROOM_ENOUGH: usize = usize::MAX;

/// Bytes that a connection holds beside this budget.
pub(crate) const ALWAYS_BYTES: usize = 16 << 10;

/// The budget.
pub(crate) struct Inbound {
    free: Arc<Semaphore>,
    bytes: usize,
    channels: AtomicUsize,
    /// How many wait; changed together with `chunk_bytes`.
    waiting: Mutex<usize>,
    /// What an open chunk may hold just now: the least that any of those needs that wait.
    chunk_bytes: watch::Sender<usize>,
}

/// An open channel, counted until dropped.
pub(crate) struct CountedChannel(Arc<Inbound>);

/// One that waits, counted until dropped.
struct WaitsForRoom<'a>(&'a Inbound);

impl Inbound {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
            channels: AtomicUsize::new(0),
            waiting: Mutex::default(),
            chunk_bytes: watch::Sender::new(ROOM_ENOUGH),
        })
    }

    /// Counts a channel among those that share.
    pub(crate) fn channel(self: &Arc<Self>) -> CountedChannel {
        self.channels.fetch_add(1, Ordering::Relaxed);
        CountedChannel(self.clone())
    }

    /// Bytes that are taken, or put aside for the one that waits longest.
    pub(crate) fn held(&self) -> usize {
        self.bytes - self.free.available_permits()
    }

    /// How many wait for room.
    pub(crate) fn waiting(&self) -> usize {
        *self.lock()
    }

    pub(crate) fn chunk_bytes(&self) -> watch::Receiver<usize> {
        self.chunk_bytes.subscribe()
    }

    /// Room for a message; `None` if it is larger than all there is.
    ///
    /// Cancel safe.
    pub(crate) async fn take(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        if let Ok(room) = self.free.clone().try_acquire_many_owned(bytes) {
            return Some(room);
        }
        let others = self.bytes.checked_sub(bytes as usize)?;
        let channels = self.channels.load(Ordering::Relaxed).max(1);
        let _waits = self.waits(others / channels);
        self.free.clone().acquire_many_owned(bytes).await.ok()
    }

    /// Counts one that waits until open chunks hold no more than that.
    fn waits(&self, chunk_bytes: usize) -> WaitsForRoom<'_> {
        let mut waiting = self.lock();
        *waiting += 1;
        self.chunk_bytes.send_if_modified(|least| {
            let is_less = chunk_bytes < *least;
            *least = chunk_bytes.min(*least);
            is_less
        });
        WaitsForRoom(self)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitsForRoom<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        *waiting -= 1;
        if *waiting == 0 {
            self.0.chunk_bytes.send_replace(ROOM_ENOUGH);
        }
    }
}

impl Drop for CountedChannel {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_the_most_room_decides_how_much_chunks_may_hold_until_all_have_theirs() {
        let all = Inbound::new(1000);
        let chunk_bytes = all.chunk_bytes();
        let large = all.waits(10);
        let small = all.waits(900);
        assert_eq!(*chunk_bytes.borrow(), 10, "a later and smaller one changes nothing");
        drop(small);
        assert_eq!(*chunk_bytes.borrow(), 10);
        drop(large);
        assert_eq!(*chunk_bytes.borrow(), ROOM_ENOUGH);
    }
}

//! What presses on a channel that has received and not dealt with it: others that wait for its room.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::budgets::ROOM_ENOUGH;
use crate::stood;

/// How often a channel that holds nothing is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The room of one channel.
#[derive(Clone)]
pub(super) struct OwnRoom {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// Why a channel would have to end. Clones are of the same one.
#[derive(Clone)]
pub(super) struct Pressure {
    own: OwnRoom,
    /// What an open chunk of any connection may hold just now.
    all_chunk_bytes: watch::Receiver<usize>,
    /// For how long others may wait.
    wait: Duration,
    overloaded: CancellationToken,
}

impl OwnRoom {
    pub(super) fn new(bytes: usize) -> Self {
        let free = Arc::new(Semaphore::new(bytes));
        Self { free, bytes }
    }

    /// Some of it, as soon as there is as much.
    pub(super) async fn take(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_many_owned(bytes).await.ok()
    }

    /// Whether anything of it is taken.
    pub(super) fn is_held(&self) -> bool {
        self.free.available_permits() < self.bytes
    }
}

impl Pressure {
    pub(super) fn new(own: OwnRoom, all_chunk_bytes: watch::Receiver<usize>, wait: Duration) -> Self {
        Self {
            own,
            all_chunk_bytes,
            wait,
            overloaded: CancellationToken::new(),
        }
    }

    /// Cancelled when the channel was ended for what it did not take.
    pub(super) fn overloaded(&self) -> &CancellationToken {
        &self.overloaded
    }

    /// Pending until this channel is the one to give way, begun when its peer began to take nothing of it: it has held room
    /// for as long as others may wait, and others wait for room of all.
    pub(super) async fn gives_way(&self) {
        stood::sleep(self.wait).await;
        let mut all = self.all_chunk_bytes.clone();
        loop {
            if all.wait_for(|most| *most != ROOM_ENOUGH).await.is_err() {
                return std::future::pending().await;
            }
            if self.own.is_held() {
                return;
            }
            // It holds nothing that they wait for, but may once more has come.
            tokio::time::sleep(self.wait.min(LOOK_AGAIN)).await;
        }
    }
}

//! Room for what a connection's peer has sent and is not answered: a little that each connection always has, beyond that room of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use crate::budgets::{ALWAYS_BYTES, Inbound};

/// That of one connection.
pub(super) struct Rooms {
    /// Bytes of what it always has that are taken.
    taken: Arc<AtomicUsize>,
    all: Arc<Inbound>,
}

/// Room for a call, given back when dropped.
pub(super) enum CallRoom {
    Own(Arc<AtomicUsize>, usize),
    OfAll(#[expect(dead_code, reason = "held, not used")] OwnedSemaphorePermit),
}

impl Rooms {
    pub(super) fn new(all: Arc<Inbound>) -> Self {
        let taken = Arc::default();
        Self { taken, all }
    }

    /// Room for a call of so many bytes. `None`: it is larger than all there is.
    ///
    /// Cancel safe.
    pub(super) async fn take(&self, bytes: usize) -> Option<CallRoom> {
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let own = CallRoom::Own(self.taken.clone(), bytes);
        if taken.saturating_add(bytes) <= ALWAYS_BYTES {
            return Some(own);
        }
        drop(own);
        let bytes = u32::try_from(bytes).ok()?;
        self.all.take(bytes).await.map(CallRoom::OfAll)
    }
}

impl Drop for CallRoom {
    fn drop(&mut self) {
        if let Self::Own(taken, bytes) = self {
            taken.fetch_sub(*bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_small_call_has_room_though_others_have_all_and_a_large_one_waits_for_it() {
        let all = Inbound::new(100_000);
        let others = all.take(100_000).now_or_never().flatten();
        let rooms = Rooms::new(all);
        let small = rooms.take(ALWAYS_BYTES).now_or_never().flatten();
        assert!(small.is_some());
        assert!(rooms.take(1).now_or_never().is_none(), "the rest waits");
        drop(small);
        assert!(rooms.take(1).now_or_never().flatten().is_some());
        assert!(rooms.take(100_000).now_or_never().is_none());
        drop(others);
        assert!(rooms.take(100_000).now_or_never().flatten().is_some());
        assert!(rooms.take(100_001).now_or_never().is_some_and(|room| room.is_none()));
    }
}

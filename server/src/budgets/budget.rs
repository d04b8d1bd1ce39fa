//! Bytes that all connections of a server share. Who waits for some is let in in turn: whoever came first before all others,
//! however little they want, so that nobody who wants much waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A budget.
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    bytes: usize,
    waiting: AtomicUsize,
}

/// A part of a budget, given back when dropped.
pub(crate) struct Share(OwnedSemaphorePermit);

/// One that waits, counted until dropped.
struct WaitsForShare<'a>(&'a AtomicUsize);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let bytes = bytes.min(u32::MAX as usize);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
            waiting: AtomicUsize::new(0),
        })
    }

    /// A share, if nobody waits and there is as much.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let bytes = u32::try_from(bytes).ok()?;
        self.free.clone().try_acquire_many_owned(bytes).ok().map(Share)
    }

    /// A share as soon as there is as much; of more than all there is, all.
    ///
    /// Cancel safe.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let bytes = bytes.min(self.bytes);
        if let Some(share) = self.try_take(bytes) {
            return share;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = WaitsForShare(&self.waiting);
        let bytes = u32::try_from(bytes).expect("a budget is no larger");
        let share = self.free.clone().acquire_many_owned(bytes).await;
        Share(share.expect("a budget is never closed"))
    }

    /// Bytes that are taken, or put aside for the one that waits longest.
    pub(crate) fn held(&self) -> usize {
        self.bytes - self.free()
    }

    /// Bytes that are not.
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// How many wait for a share.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for a share.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting() > 0
    }

    /// Whether somebody who wants so much would wait.
    pub(crate) fn is_short_of(&self, bytes: usize) -> bool {
        self.free.available_permits() < bytes.min(self.bytes)
    }
}

impl Share {
    /// Bytes of it.
    pub(crate) fn bytes(&self) -> usize {
        self.0.num_permits()
    }

    /// Parts with so much of it, or with all there is.
    pub(crate) fn split(&mut self, bytes: usize) -> Share {
        let bytes = bytes.min(self.0.num_permits());
        Share(self.0.split(bytes).expect("there is as much"))
    }

    /// Gives back what is more than that.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        drop(self.split(self.0.num_permits().saturating_sub(bytes)));
    }
}

impl Drop for WaitsForShare<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_came_first_is_let_in_first_though_others_want_less() {
        let budget = Budget::new(10);
        let mut held = budget.take(8).await;
        let mut large = Box::pin(budget.take(20));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(budget.take(1));
        assert!(small.as_mut().now_or_never().is_none(), "it has overtaken");
        assert!(budget.try_take(1).is_none(), "it has overtaken");
        assert_eq!((budget.waiting(), budget.is_wanted()), (2, true));
        held.shrink_to(3);
        drop(held.split(9));
        let all = large.await;
        assert_eq!(budget.held(), 10);
        drop(all);
        drop(small.await);
        assert_eq!((budget.held(), budget.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn one_that_gives_up_waiting_leaves_nothing_behind() {
        let budget = Budget::new(10);
        let held = budget.take(8).await;
        assert!(budget.take(5).now_or_never().is_none());
        assert_eq!((budget.held(), budget.waiting()), (8, 0));
        assert!(budget.is_short_of(3) && !budget.is_short_of(2));
        drop(held);
    }
}

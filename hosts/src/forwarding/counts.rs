//! What is counted of forwarding, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

use streamkit_engine::boundary::figures::ForwardingFigures;

/// Counted since the start.
#[derive(Debug, Default)]
pub struct ForwardingCounts {
    pub(super) forwarded: AtomicU64,
    pub(super) fell_back: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unanswered: AtomicU64,
}

impl ForwardingCounts {
    pub(super) fn now(&self, peers: usize) -> ForwardingFigures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ForwardingFigures {
            forwarded: of(&self.forwarded),
            fell_back: of(&self.fell_back),
            refused: of(&self.refused),
            unanswered: of(&self.unanswered),
            peers,
        }
    }
}

/// Counts one more.
pub(super) fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

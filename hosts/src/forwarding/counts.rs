//! What is counted of forwarding, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the start.
#[derive(Debug, Default)]
pub struct ForwardingCounts {
    pub(super) forwarded: AtomicU64,
    pub(super) fell_back: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unanswered: AtomicU64,
}

/// The same at one moment, and what is so then.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ForwardingFigures {
    /// Appends and leases that another host has answered.
    pub forwarded: u64,
    /// Those that were to be written by another host, and were done here: it rests after a failure, has too much under way, or did not take them.
    pub fell_back: u64,
    /// Of these, those of a host that did not let this one in: another secret, another host at that address, or clocks that are minutes apart.
    pub refused: u64,
    /// Of these, those of which nobody knew whether the other host did them, so that they were done here under the same id.
    pub unanswered: u64,
    /// Other hosts that are there.
    pub peers: usize,
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

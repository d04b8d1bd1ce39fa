//! What is counted of a bus, for whoever watches it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use streamkit_server_core::BusFigures;

/// What is counted, and what is so now.
#[derive(Debug, Default)]
pub(super) struct BusCounts {
    pub(super) sent: AtomicU64,
    pub(super) heard: AtomicU64,
    pub(super) malformed: AtomicU64,
    connections: AtomicU64,
    is_connected: AtomicBool,
    /// It was said that it is not there.
    is_told_lost: AtomicBool,
}

impl BusCounts {
    pub(super) fn add(count: &AtomicU64, more: usize) {
        count.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Says so, if that is new.
    pub(super) fn connected(&self, to: &str) {
        Self::add(&self.connections, 1);
        let was_told = self.is_told_lost.swap(false, Ordering::Relaxed);
        match (self.is_connected.swap(true, Ordering::Relaxed), was_told) {
            (true, _) => {}
            (false, true) => tracing::info!(bus = to, "the message bus is there again"),
            (false, false) => tracing::info!(bus = to, "the message bus is connected"),
        }
    }

    /// Says so, if that is new: also of one that was never there.
    pub(super) fn lost(&self, to: &str, why: &str) {
        self.is_connected.store(false, Ordering::Relaxed);
        if self.is_told_lost.swap(true, Ordering::Relaxed) {
            tracing::debug!(bus = to, why, "the message bus is not there");
        } else {
            tracing::warn!(
                bus = to,
                why,
                "the message bus is not there: those who follow stores hear of other hosts some seconds late"
            );
        }
    }

    pub(super) fn now(&self) -> BusFigures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BusFigures {
            sent: of(&self.sent),
            heard: of(&self.heard),
            malformed: of(&self.malformed),
            connections: of(&self.connections),
            is_connected: self.is_connected.load(Ordering::Relaxed),
        }
    }
}

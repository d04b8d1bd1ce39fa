//! What is counted of a bus, for whoever watches it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counted since the start, and what is so now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BusFigures {
    /// Hints sent.
    pub sent: u64,
    /// Hints heard, our own among them.
    pub heard: u64,
    /// Messages heard that are none of ours.
    pub malformed: u64,
    /// Connections made; the first one counts.
    pub connections: u64,
    /// Whether it is connected.
    pub is_connected: bool,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(super) struct BusCounts {
    pub(super) sent: AtomicU64,
    pub(super) heard: AtomicU64,
    pub(super) malformed: AtomicU64,
    connections: AtomicU64,
    is_connected: AtomicBool,
}

impl BusCounts {
    pub(super) fn add(count: &AtomicU64, more: usize) {
        count.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// Says so, if that is new.
    pub(super) fn connected(&self, to: &str) {
        Self::add(&self.connections, 1);
        if !self.is_connected.swap(true, Ordering::Relaxed) {
            tracing::info!(bus = to, "the message bus is connected");
        }
    }

    /// Says so, if that is new.
    pub(super) fn lost(&self, to: &str, why: &str) {
        if self.is_connected.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                bus = to,
                why,
                "the message bus is lost: those who follow stores hear of other hosts some seconds late"
            );
        } else {
            tracing::debug!(bus = to, why, "the message bus is not there");
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

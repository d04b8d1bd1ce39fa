//! What a program reads of the counters.

use std::time::Duration;

use super::kind::CallKind;

/// What a client and its clones have counted since it was built ([`Client::metrics`](crate::Client::metrics)). All but
/// [`Metrics::open_channels`] only grows, until it wraps behind 2⁶⁴ − 1. The numbers are read one after the other while calls go on: each is right by
/// itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Calls that are under way now, over all connections.
    pub open_channels: u64,
    /// Bytes that sockets took, behind any compression and before any TLS: handshakes, frames, and what keeps connections alive.
    pub bytes_sent: u64,
    /// Bytes that came from sockets, counted as those that were sent.
    pub bytes_received: u64,
    /// Connections that were made, in either version: the first, those behind a lost one, and those with a fresher token.
    pub connections: u64,
    /// Connections that ended though neither the server said so before nor the client closed them. Go servers never say so.
    pub connections_lost: u64,
    /// Dials that led to no connection, each attempt by itself.
    pub failed_dials: u64,
    pub(super) calls: [CallMetrics; CallKind::ALL.len()],
}

impl Metrics {
    /// Those of the calls of one kind.
    pub fn of(&self, kind: CallKind) -> &CallMetrics {
        &self.calls[kind as usize]
    }

    /// Those of the calls of each kind.
    pub fn by_kind(&self) -> impl Iterator<Item = (CallKind, &CallMetrics)> {
        CallKind::ALL.into_iter().zip(&self.calls)
    }
}

/// What was counted of the calls of one kind. A call is one over one connection: what the client asks for again, over another connection or
/// because an answer was lost, counts again.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CallMetrics {
    /// Calls that began: the server was sent them, or over v1 is about to be.
    pub begun: u64,
    /// Calls that ended with their whole answer.
    pub well: u64,
    /// Calls that ended with an error, or not in time.
    pub failed: FailedCalls,
    /// Calls that nobody waits for any more, dropped before their end.
    pub dropped: u64,
    /// How long the calls took that ended well.
    pub latencies: Latencies,
}

impl CallMetrics {
    /// Calls that are under way.
    pub fn open(&self) -> u64 {
        let over = self.well + self.failed.all() + self.dropped;
        self.begun.saturating_sub(over)
    }
}

/// Failed calls by the class of their error ([`Error::class`](crate::Error::class)).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FailedCalls {
    /// Of [`ErrorClass::Transient`](crate::ErrorClass::Transient).
    pub transient: u64,
    /// Of [`ErrorClass::Overloaded`](crate::ErrorClass::Overloaded).
    pub overloaded: u64,
    /// Of [`ErrorClass::Expired`](crate::ErrorClass::Expired).
    pub expired: u64,
    /// Of [`ErrorClass::Conflict`](crate::ErrorClass::Conflict).
    pub conflict: u64,
    /// Of [`ErrorClass::Damaged`](crate::ErrorClass::Damaged).
    pub damaged: u64,
    /// Of [`ErrorClass::Permanent`](crate::ErrorClass::Permanent).
    pub permanent: u64,
}

impl FailedCalls {
    /// Of any class.
    pub fn all(&self) -> u64 {
        self.transient + self.overloaded + self.expired + self.conflict + self.damaged + self.permanent
    }
}

/// A histogram of how long calls took, from when they were made, with any wait for their turn, to their end.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Latencies {
    /// Of all together.
    pub sum: Duration,
    /// How many took at most the bound of the same place in [`Latencies::BOUNDS`], and more than the one before; the last: more than all bounds.
    pub counts: [u64; Latencies::BOUNDS.len() + 1],
}

impl Latencies {
    /// Upper bounds, in order.
    pub const BOUNDS: [Duration; 10] = [
        Duration::from_micros(100),
        Duration::from_micros(400),
        Duration::from_micros(1_600),
        Duration::from_micros(6_400),
        Duration::from_micros(25_600),
        Duration::from_micros(102_400),
        Duration::from_micros(409_600),
        Duration::from_micros(1_638_400),
        Duration::from_micros(6_553_600),
        Duration::from_micros(26_214_400),
    ];
}

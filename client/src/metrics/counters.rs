//! The counters of a client.

use std::array::from_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::kind::CallKind;
use super::snapshot::{CallMetrics, FailedCalls, Latencies, Metrics};
use crate::class::ErrorClass;

/// Where the failed calls of a class are counted.
const CLASSES: usize = 6;

/// What a client and its clones count.
#[derive(Default)]
pub(crate) struct Counters {
    calls: [CallCounters; CallKind::ALL.len()],
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    connections: AtomicU64,
    connections_lost: AtomicU64,
    failed_dials: AtomicU64,
}

#[derive(Default)]
struct CallCounters {
    begun: AtomicU64,
    failed: [AtomicU64; CLASSES],
    dropped: AtomicU64,
    /// Nanoseconds of those that ended well, which are as many as their latencies.
    nanos: AtomicU64,
    latencies: [AtomicU64; Latencies::BOUNDS.len() + 1],
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    pub(super) fn begun(&self, kind: CallKind) {
        add(&self.calls[kind as usize].begun, 1);
    }

    pub(super) fn well(&self, kind: CallKind, took: Duration) {
        let calls = &self.calls[kind as usize];
        add(&calls.nanos, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        add(
            &calls.latencies[Latencies::BOUNDS.partition_point(|bound| *bound < took)],
            1,
        );
    }

    pub(super) fn failed(&self, kind: CallKind, class: ErrorClass) {
        let at = match class {
            ErrorClass::Transient => 0,
            ErrorClass::Overloaded { .. } => 1,
            ErrorClass::Expired => 2,
            ErrorClass::Conflict { .. } => 3,
            ErrorClass::Damaged => 4,
            ErrorClass::Permanent => 5,
        };
        add(&self.calls[kind as usize].failed[at], 1);
    }

    pub(super) fn dropped(&self, kind: CallKind) {
        add(&self.calls[kind as usize].dropped, 1);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.bytes_sent, bytes as u64);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.bytes_received, bytes as u64);
    }

    /// A connection was made; how many there have been with it.
    pub(crate) fn connected(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn connection_lost(&self) {
        add(&self.connections_lost, 1);
    }

    pub(crate) fn dial_failed(&self) {
        add(&self.failed_dials, 1);
    }

    /// What they are now.
    pub(crate) fn snapshot(&self) -> Metrics {
        let calls = from_fn(|kind| self.calls[kind].snapshot());
        Metrics {
            open_channels: calls.iter().map(CallMetrics::open).sum(),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            connections: read(&self.connections),
            connections_lost: read(&self.connections_lost),
            failed_dials: read(&self.failed_dials),
            calls,
        }
    }
}

impl CallCounters {
    fn snapshot(&self) -> CallMetrics {
        let counts = from_fn(|at| read(&self.latencies[at]));
        let [transient, overloaded, expired, conflict, damaged, permanent] = from_fn(|at| read(&self.failed[at]));
        CallMetrics {
            well: counts.iter().sum(),
            failed: FailedCalls {
                transient,
                overloaded,
                expired,
                conflict,
                damaged,
                permanent,
            },
            dropped: read(&self.dropped),
            latencies: Latencies {
                sum: Duration::from_nanos(read(&self.nanos)),
                counts,
            },
            // Last: what has ended has begun.
            begun: read(&self.begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_counts_up_to_its_bound_and_any_is_counted() {
        let counters = Counters::default();
        let [first, second, .., last] = Latencies::BOUNDS;
        let more = Duration::from_nanos(1);
        for took in [Duration::ZERO, first, first + more, second, last, last + more] {
            counters.begun(CallKind::Read);
            counters.well(CallKind::Read, took);
        }
        let metrics = counters.snapshot();
        let reads = metrics.of(CallKind::Read);
        assert_eq!(reads.latencies.counts, [2, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(reads.latencies.sum, first * 2 + second + last * 2 + more * 2);
        assert_eq!((reads.begun, reads.well, reads.open()), (6, 6, 0));
        assert!(
            metrics
                .by_kind()
                .all(|(kind, calls)| (kind == CallKind::Read) == (calls.begun > 0))
        );
    }

    #[test]
    fn a_failed_call_counts_in_its_class_alone() {
        let counters = Counters::default();
        let after = Some(Duration::from_secs(1));
        for (times, class) in [
            ErrorClass::Transient,
            ErrorClass::Overloaded { after },
            ErrorClass::Expired,
            ErrorClass::Conflict { head: None },
            ErrorClass::Damaged,
            ErrorClass::Permanent,
        ]
        .into_iter()
        .enumerate()
        {
            (0..=times).for_each(|_| counters.failed(CallKind::Trim, class));
        }
        let failed = counters.snapshot().of(CallKind::Trim).failed;
        assert_eq!((failed.transient, failed.overloaded, failed.expired), (1, 2, 3));
        assert_eq!((failed.conflict, failed.damaged, failed.permanent), (4, 5, 6));
        assert_eq!(failed.all(), 21);
    }

    #[test]
    fn kinds_stand_in_the_order_of_their_declaration() {
        for (at, kind) in CallKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at, "{}", kind.name());
        }
    }
}

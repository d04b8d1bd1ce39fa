//! How long operations take, and how they end. Counted without a lock: each call of a peer is one.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use streamkit_engine::boundary::figures::Histogram;

use super::distributions::{NANOS, encode};
use super::families::labels;

labels! {
    /// What is asked for.
    Operation {
        Produce = "produce",
        Peek = "peek",
        Read = "read",
        Follow = "follow",
        ConsumeSegment = "consume_segment",
        Consume = "consume",
        GetSpaces = "get_spaces",
        GetSegments = "get_segments",
        GetStatus = "get_status",
        Trim = "trim",
        Delete = "delete",
        Subscribe = "subscribe",
        Workers = "workers",
        Lease = "lease",
        /// What was asked for is not known.
        Unknown = "unknown",
    }
}

labels! {
    /// How it ended.
    Outcome {
        Done = "ok",
        /// Others were first, or something that was asked for is not there.
        Conflict = "conflict",
        /// The request, or a record, is none.
        Invalid = "invalid",
        Denied = "denied",
        /// The store is not to be had.
        Unavailable = "unavailable",
        Overloaded = "overloaded",
        /// Storage failed, or the server.
        Failed = "failed",
        /// The peer or its connection ended it.
        Ended = "ended",
    }
}

/// All operations.
#[derive(Debug)]
struct Durations(Vec<Histogram>);

impl Durations {
    fn of(&self, operation: Operation, outcome: Outcome) -> &Histogram {
        &self.0[operation as usize * Outcome::ALL.len() + outcome as usize]
    }
}

/// What is counted of operations. Clones count in the same.
#[derive(Clone, Debug)]
pub(crate) struct OperationCounters {
    durations: Arc<Durations>,
    channels: Gauge,
}

impl OperationCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let all = Operation::ALL.len() * Outcome::ALL.len();
        let counters = Self {
            durations: Arc::new(Durations((0..all).map(|_| Histogram::new(Histogram::TIMES)).collect())),
            channels: Gauge::default(),
        };
        let help = "Time from the request of a channel until its end, by what it asked for and how it ended";
        registry.register_with_unit("operation", help, Unit::Seconds, counters.clone());
        registry.register(
            "channels",
            "Open channels, of all connections",
            counters.channels.clone(),
        );
        counters
    }

    /// One begins, to be ended by [`OperationCounters::ended`].
    pub(crate) fn begin(&self) -> Instant {
        self.channels.inc();
        Instant::now()
    }

    /// One has ended that began at this time.
    pub(crate) fn ended(&self, begun: Instant, operation: Operation, outcome: Outcome) {
        self.channels.dec();
        self.durations.of(operation, outcome).count_time(begun.elapsed());
    }
}

impl EncodeMetric for OperationCounters {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for &operation in Operation::ALL {
            for &outcome in Outcome::ALL {
                let now = self.durations.of(operation, outcome).now();
                // Of failures, those that there were.
                let is_there = outcome == Outcome::Done && operation != Operation::Unknown;
                if is_there || now.counts.iter().any(|&count| count > 0) {
                    let labels = [("operation", operation.name()), ("outcome", outcome.name())];
                    encode(&now, NANOS, &mut encoder.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

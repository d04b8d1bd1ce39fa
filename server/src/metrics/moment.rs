//! What is so at the moment it is asked for. Nothing keeps it up to date meanwhile.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use streamkit_engine::boundary::figures::Figures;

use super::bus::BusFigures;
use crate::auth::KeysStanding;
use crate::budgets::Held;

/// All of it.
pub(crate) struct Moment {
    pub(crate) ready: bool,
    pub(crate) connections: usize,
    /// How far the clock is behind the last commit.
    pub(crate) clock_behind: Duration,
    /// Bytes queued for the disk.
    pub(crate) queued_bytes: usize,
    pub(crate) budgets: [Held; 4],
    /// What storage tells of itself, if it does.
    pub(crate) figures: Option<Figures>,
    /// What the bus between hosts tells, if there is one.
    pub(crate) bus: Option<BusFigures>,
    /// How keys stand, where there may be some.
    pub(crate) keys: Option<KeysStanding>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfBudget {
    budget: &'static str,
}

pub(super) struct MomentGauges {
    ready: Gauge,
    connections: Gauge,
    queued: Gauge,
    budget_held: Family<OfBudget, Gauge>,
    budget_waiting: Family<OfBudget, Gauge>,
    clock_behind: Gauge<f64, AtomicU64>,
}

impl MomentGauges {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let gauges = Self {
            ready: Gauge::default(),
            connections: Gauge::default(),
            queued: Gauge::default(),
            budget_held: Family::default(),
            budget_waiting: Family::default(),
            clock_behind: Gauge::default(),
        };
        let help = "1 while every open store takes writes, as /readyz says";
        registry.register("ready", help, gauges.ready.clone());
        registry.register("connections", "Open connections", gauges.connections.clone());
        let help = "Bytes of transactions that wait for the disk or are under way to it, of all stores";
        registry.register_with_unit("queued", help, Unit::Bytes, gauges.queued.clone());
        let help = "What all connections hold of a budget that they share";
        registry.register_with_unit("budget_held", help, Unit::Bytes, gauges.budget_held.clone());
        let help = "How many wait for a share of it";
        registry.register("budget_waiting", help, gauges.budget_waiting.clone());
        let help = "How far the clock is behind the last commit of the store where that is most; 0 within a second";
        registry.register_with_unit("clock_behind", help, Unit::Seconds, gauges.clock_behind.clone());
        gauges
    }

    pub(super) fn set(&self, now: Moment) {
        let gauge = |value: usize| value.try_into().unwrap_or(i64::MAX);
        for Held { budget, bytes, waiting } in now.budgets {
            let of = OfBudget { budget };
            self.budget_held.get_or_create(&of).set(gauge(bytes));
            self.budget_waiting.get_or_create(&of).set(gauge(waiting));
        }
        self.queued.set(gauge(now.queued_bytes));
        self.clock_behind.set(now.clock_behind.as_secs_f64());
        self.ready.set(i64::from(now.ready));
        self.connections.set(gauge(now.connections));
    }
}

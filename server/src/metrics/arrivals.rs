//! Records that come in another order than their producer sent them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

pub(crate) struct ArrivalCounters {
    early: Counter,
    late: Counter,
}

impl ArrivalCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (early, late) = (Counter::default(), Counter::default());
        let help = "Records that came before one of a lower sequence, and waited for it";
        registry.register("records_early", help, early.clone());
        let help = "Records that came after their produce was answered as complete: not stored, and refused";
        registry.register("records_late", help, late.clone());
        Self { early, late }
    }

    /// A record waits for one before it.
    pub(crate) fn record_came_early(&self) {
        self.early.inc();
    }

    /// A record came behind the answer to its produce.
    pub(crate) fn record_came_late(&self) {
        self.late.inc();
    }
}

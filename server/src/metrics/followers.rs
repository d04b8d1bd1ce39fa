//! Who follows what, and what followers were not told.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub(crate) struct FollowerCounters {
    subscriptions: Gauge,
    coalesced: Counter,
}

impl FollowerCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (subscriptions, coalesced) = (Gauge::default(), Counter::default());
        let help = "Segments and spaces that are followed";
        registry.register("subscriptions", help, subscriptions.clone());
        let help = "Statuses that a follower was not told because a newer one of the same segment came first";
        registry.register("statuses_coalesced", help, coalesced.clone());
        Self {
            subscriptions,
            coalesced,
        }
    }

    /// So many more are followed, or less.
    pub(crate) fn subscriptions(&self, more: i64) {
        self.subscriptions.inc_by(more);
    }

    /// So many statuses gave way to newer ones.
    pub(crate) fn coalesced(&self, statuses: u64) {
        self.coalesced.inc_by(statuses);
    }
}

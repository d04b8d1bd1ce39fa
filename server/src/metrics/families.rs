//! Labels, and counters that are there before anything is counted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Why something did not go on.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct Why {
    pub(super) reason: &'static str,
}

/// Counters, one for each reason.
pub(super) type ByReason = Family<Why, Counter>;

/// One more for this reason.
pub(super) fn count(family: &ByReason, reason: &'static str) {
    family.get_or_create(&Why { reason }).inc();
}

/// Counters that are there with these reasons before anything is counted.
pub(super) fn beginning_with(reasons: &[&'static str]) -> ByReason {
    let family = ByReason::default();
    for &reason in reasons {
        family.get_or_create(&Why { reason }).inc_by(0);
    }
    family
}

//! Labels, counters that are there before anything is counted, and gauges that are not there before their value is.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// Declares an enum of the values of a label, each with its text.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $label:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum $name { $($(#[$of])* $label,)* }

        impl $name {
            const ALL: &[Self] = &[$(Self::$label,)*];

            /// As it is named in metrics and traces.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$label => $text,)* }
            }
        }
    };
}
pub(super) use labels;

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

/// Counters that are there with these reasons before anything is counted: an alarm on what grows would miss the first of one that is
/// not.
pub(super) fn beginning_with(reasons: impl IntoIterator<Item = &'static str>) -> ByReason {
    let family = ByReason::default();
    for reason in reasons {
        family.get_or_create(&Why { reason }).inc_by(0);
    }
    family
}

/// No labels: a family with these has one member, which is there once its value is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, EncodeLabelSet)]
pub(super) struct Unlabelled {}

/// One that is not there before its value is.
pub(super) type Awaited<M> = Family<Unlabelled, M>;

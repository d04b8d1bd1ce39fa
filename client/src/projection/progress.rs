//! How a projection fares.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_record::{LogCursor, SegmentPath, Sequence};

/// How a projection fares, at one moment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Behind what all is handled or parked.
    pub cursor: LogCursor,
    /// The number of the newest transaction of which something was handled or parked; 0 before the first.
    pub position: u64,
    /// Entries that were handled since it was started, also those that were replayed.
    pub handled: u64,
    /// How often a handler was tried again.
    pub retried: u64,
    /// Entries that failed for good, each of which parked its segment or left it parked.
    pub failed: u64,
    /// How often how far it has come was stored.
    pub saved: u64,
    /// How often the follow was begun again behind an error that may pass.
    pub begun_again: u64,
    /// Segments that wait to be replayed, and the first sequence of each that is not handled.
    pub parked: BTreeMap<SegmentPath, Sequence>,
    /// Whether all that was there when the projection was started has been handled or parked.
    pub is_caught_up: bool,
    /// How long before now the last entry was committed that was handled, by this machine's clock; zero while nothing more is there.
    pub lag: Duration,
    /// Why it waits now: the server or what the handler needs is away, or a handler failed.
    pub trouble: Option<String>,
}

//! Figures of a storage that several hosts share, beside those of the copies that this host has of it.

use super::Distribution;

/// What such a storage tells.
#[derive(Clone, Default, Debug)]
pub struct SharedFigures {
    /// The calls of what keeps the logs, one for each kind of call.
    pub calls: Vec<CallFigures>,
}

/// What came of the calls of one kind.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CallFigures {
    /// The word for this kind.
    pub call: &'static str,
    /// Nanoseconds of each call that ended, however it ended.
    pub nanos: Distribution,
    /// Calls that did what they were made for, or read what is there.
    pub done: u64,
    /// Calls that another call was faster than: a slot or name that was taken, a root of another version, an extent that is retired.
    pub conflicts: u64,
    /// Calls whose outcome nobody knows, those that were given up, too.
    pub unknown: u64,
    /// Calls that the service asked to make later.
    pub throttled: u64,
    /// Calls whose credential it refused.
    pub denied: u64,
    /// Calls that it will never take, and reads that found damage.
    pub refused: u64,
    /// Bytes of slots, roots and blobs that calls took along, as often as they were sent.
    pub sent_bytes: u64,
    /// Bytes of these that answers brought.
    pub received_bytes: u64,
}

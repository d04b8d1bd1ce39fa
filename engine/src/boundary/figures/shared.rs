//! Figures of a storage that several hosts share, beside those of the copies that this host has of it.

use std::time::Duration;

use super::Distribution;

/// What such a storage tells.
#[derive(Clone, Default, Debug)]
pub struct SharedFigures {
    /// The calls of what keeps the logs, one for each kind of call.
    pub calls: Vec<CallFigures>,
    /// The logs.
    pub logs: LogFigures,
    /// What becomes history. `None`: this host archives nothing.
    pub archive: Option<ArchiveFigures>,
    /// What other hosts are to write. `None`: this host forwards nothing.
    pub forwarding: Option<ForwardingFigures>,
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

/// What the logs of all stores did at this host.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LogFigures {
    /// Groups of this host that are in the log.
    pub own_groups: u64,
    /// Groups of others, or of an earlier start of this host, that it read and that are in the log.
    pub other_groups: u64,
    /// Groups that it read and that are not in the log: each was made behind one that is not there.
    pub void_groups: u64,
    /// Groups of this host that are not in the log, since another one had the slot. What was in them is planned anew.
    pub lost_groups: u64,
    /// Inserts sent a second time since the answer to the first was late.
    pub hedges: u64,
    /// Inserts sent again since the answer said nothing, or to wait.
    pub repeats: u64,
    /// Those who asked for a look at a log's tail.
    pub looks: u64,
    /// Reads of a tail. One serves all who asked before it began.
    pub tail_reads: u64,
    /// Logs that could not go on, by why.
    pub failures: FailureFigures,
}

/// Logs that could not go on, and begin anew when they are asked for again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FailureFigures {
    /// The service refused a call.
    pub refused: u64,
    /// Something is damaged, or gone.
    pub damaged: u64,
    /// The log ends before its checkpoint.
    pub went_back: u64,
    /// This host could not keep its copy.
    pub host: u64,
}

/// What this host did so that logs become history.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ArchiveFigures {
    /// Rounds that archived something.
    pub archived: u64,
    /// Rounds that found nothing to do.
    pub idle: u64,
    /// Rounds that failed. What is left is done by the next one.
    pub failed: u64,
    /// Sealed files of copies that are known to be in the archive since this host put them there, whether or not another host had.
    pub files: u64,
    /// Bytes of them.
    pub file_bytes: u64,
    /// What the rounds changed in the root.
    pub root: CollectorFigures,
    /// Of the stores that are open here: the longest time since a round ended well, or since the store was opened.
    pub behind: Duration,
}

/// Changes of roots by which logs became history.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CollectorFigures {
    /// Extents that became history.
    pub history: u64,
    /// Extents that were retired.
    pub retired: u64,
    /// Checkpoints.
    pub checkpoints: u64,
}

/// Sealed files that an archive has, as far as they are on the disk of this host.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CacheFigures {
    /// Files fetched.
    pub fetched: u64,
    /// Bytes of them.
    pub fetched_bytes: u64,
    /// Files removed, to make room.
    pub removed: u64,
    /// Bytes of archived files on the disk now, or a moment ago.
    pub bytes: u64,
    /// Bytes that they may take.
    pub most: u64,
}

/// Appends and leases that other hosts are to write.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ForwardingFigures {
    /// Those that another host has answered.
    pub forwarded: u64,
    /// Those that were done here: the other host rests after a failure, has too much under way, or did not take them.
    pub fell_back: u64,
    /// Of these, those of a host that did not let this one in: another secret, another host at that address, or clocks that are minutes apart.
    pub refused: u64,
    /// Of these, those of which nobody knew whether the other host did them, so that they were done here under the same id.
    pub unanswered: u64,
    /// Other hosts that are there.
    pub peers: usize,
}

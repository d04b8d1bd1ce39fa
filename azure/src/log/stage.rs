//! How far an open has come.

use super::errand::Errand;
use super::root::{CheckpointAt, HistoryExtent, OlderHistory, StoreRoot};
use crate::medium::ExtentId;

/// How far an open has come.
pub(crate) struct Opening {
    pub(super) stage: Stage,
    pub errand: Errand,
    pub(super) rounds: u32,
}

pub(super) enum Stage {
    /// The root is read.
    Root,
    /// There is none: the first extent is made,
    Extent(ExtentId),
    /// then the root that names it.
    First(ExtentId, StoreRoot),
    /// There is a root now, which the last call did not make: an earlier one of ours may have. The root is read again.
    Beaten(ExtentId),
    /// Somebody else made the root: the extent is not needed.
    Abandon(ExtentId),
    /// The checkpoint is read.
    Checkpoint(StoreRoot, CheckpointAt),
    /// A page of the manifest is read.
    Page(StoreRoot, OlderHistory),
    /// An extent of the history is read,
    Replay(StoreRoot, HistoryExtent),
    /// and applied.
    Replaying(StoreRoot),
    /// The place of this host is in an extent that the root says is live: a look confirms it.
    Live,
}

impl Opening {
    pub(super) fn new(stage: Stage, rounds: u32) -> Self {
        let errand = Errand::default();
        Self { stage, errand, rounds }
    }

    pub fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }
}

//! What a projection is asked to do while it runs.

use streamkit_record::SegmentPath;
use tokio::sync::oneshot;

use super::error::ProjectionError;

/// That a segment is to be replayed.
pub(super) struct Command {
    pub(super) path: SegmentPath,
    /// Without its first unhandled entry.
    pub(super) skips_first: bool,
    pub(super) answer: oneshot::Sender<Result<u64, ProjectionError>>,
}

//! Why a projection stops, or does not replay.

use streamkit_record::{SegmentPath, Sequence};

use super::cursors::CursorError;
use crate::error::Error;

/// Why a projection stopped, or a replay did not come to its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// The follow, or the read of a replay, ended with an error that does not pass.
    #[error(transparent)]
    Server(#[from] Error),
    /// How far it has come cannot be read or stored.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// What is stored is of a projection of another store, of other parts or with another filter: it would leave out what is new in these.
    #[error("the stored cursor is of another store, other parts or another filter")]
    OtherFollow,
    /// One more segment would have to be parked than may be.
    #[error("{path}/{sequence} is not handled, and no more than {most} segments may be parked: {why}")]
    TooManyParked {
        /// Segments that may be.
        most: usize,
        /// The entry that is not handled.
        path: SegmentPath,
        /// Its sequence.
        sequence: Sequence,
        /// How the handler failed.
        why: String,
    },
    /// The handler said so.
    #[error("the handler stops the projection at {path}/{sequence}: {why}")]
    ByHandler {
        /// The first entry that is not handled.
        path: SegmentPath,
        /// Its sequence.
        sequence: Sequence,
        /// Why.
        why: String,
    },
    /// A replay came to an entry that fails again: the segment stays parked at it.
    #[error("{path} stays parked at {sequence}: {why}")]
    StaysParked {
        /// The segment.
        path: SegmentPath,
        /// Its first entry that is not handled.
        sequence: Sequence,
        /// How the handler failed.
        why: String,
    },
    /// A segment that is to be replayed is not parked.
    #[error("{path} is not parked")]
    NotParked {
        /// The segment.
        path: SegmentPath,
    },
    /// The projection has stopped: nothing is replayed any more.
    #[error("the projection has stopped")]
    Stopped,
}

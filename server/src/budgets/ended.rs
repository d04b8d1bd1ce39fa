//! The end of whoever would have been waited for.

/// The connection is gone, or the runtime ends: nobody waits any more for what was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended;

//! A call that began.

use crate::metrics::Counted;

/// A call that is queued.
pub(super) struct Begun {
    pub(super) channel: u32,
    /// The server has heard it once it has so many bytes.
    pub(super) heard_up_to: u64,
    pub(super) counted: Counted,
}

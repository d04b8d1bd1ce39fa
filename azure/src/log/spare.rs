//! The extent where the log may go on: made before a seal names it, so that a seal never leads nowhere.

use std::time::Duration;

use super::errand::Errand;
use crate::medium::ExtentId;

/// The next extent, for the next seal of this host.
pub(crate) enum Spare {
    /// Nobody needs one yet.
    None,
    /// It is being made.
    Making(ExtentId, Errand),
    /// It is there, and no valid seal names it.
    Ready(ExtentId),
    /// The host leaves, and nothing that is pinned may name it: it is removed.
    Retiring(ExtentId, Errand),
}

impl Spare {
    pub fn wakes(&self) -> Option<Duration> {
        match self {
            Self::None | Self::Ready(_) => None,
            Self::Making(_, errand) | Self::Retiring(_, errand) => errand.wakes(),
        }
    }
}

//! Why a lease is not held, or no longer.

use std::time::Duration;

use crate::error::Error;

/// Why work under a lease was not begun, or not finished.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Another holds the lease, and the caller did not want to wait. Nothing was begun.
    #[error("another holds the lease {key}")]
    HeldByAnother {
        /// The lease.
        key: String,
    },
    /// Another held the lease for as long as the caller wanted to wait. Nothing was begun.
    #[error("another held the lease {key} for all of {waited:?}")]
    WaitedInVain {
        /// The lease.
        key: String,
        /// How long the caller wanted to wait.
        waited: Duration,
    },
    /// The lease was lost while the work was under way. The work was dropped where it last waited: what it had begun elsewhere may be done,
    /// and a write with its fencing token is refused once another is granted the lease.
    #[error("the lease {key} was lost: {why}")]
    Lost {
        /// The lease.
        key: String,
        /// Why.
        why: LeaseLost,
    },
    /// The server could not be asked for the lease. Nothing was begun.
    #[error("no lease: {0}")]
    NotAsked(#[from] Error),
}

/// Why a lease that was held is held no longer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseLost {
    /// The server says that the holder holds it no longer: it ran out there, and may be another's; or the server forgot it, as one that
    /// keeps leases in memory does when it restarts.
    #[error("the server says that it is held no longer")]
    Gone,
    /// It was not renewed before it ran out by the clock of this process. The last attempt failed so, if one did.
    #[error("it was not renewed in time{}", because(.0.as_ref()))]
    NotRenewed(Option<Error>),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// It was given back.
    #[error("it was given back")]
    GivenBack,
}

fn because(error: Option<&Error>) -> String {
    error.map_or_else(String::new, |error| format!(": {error}"))
}

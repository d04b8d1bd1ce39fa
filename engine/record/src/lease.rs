//! Leases: one holder may do something alone for a while, and a number tells earlier holders apart.

use std::fmt;
use std::time::Duration;

use crate::names::Name;

/// The number of a grant. Within a store each grant has a larger number than all before, also after a restart, a
/// release, or a grant to another. A write with an older number comes from an earlier holder. The number is about the
/// Unix milliseconds of the grant, so it also grows after the store was repaired or made anew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FencingToken(pub u64);

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lease that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The name of the lease, opaque to Streamkit.
    pub key: Name,
    /// The holder's name, opaque to Streamkit.
    pub holder: Name,
    /// The token of its grant. Renewals keep it.
    pub token: FencingToken,
    /// How long it lasts from its grant or last renewal: between a millisecond and
    /// [`LEASE_TTL_MAX`](crate::limits::LEASE_TTL_MAX).
    pub ttl: Duration,
}

/// Ties a transaction to a lease: it counts only while its producer holds that lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fence {
    /// The lease's key.
    pub key: Name,
    /// The token of the grant.
    pub token: FencingToken,
}

/// Why nobody can ever get such a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLease {
    /// No time at all, or longer than a lease may last.
    #[error("a lease lasts between a millisecond and a day, not {0:?}")]
    Ttl(Duration),
}

//! Leases: who may do something alone for a while, and the number by which those who may no longer are told apart.

use std::fmt;
use std::time::Duration;

use super::names::Name;

/// Number of a grant. Within a store each grant has a larger one than all before, also after a restart, a release, or when the
/// lease was taken by another meanwhile: what carries an older number comes from a holder of before. About the Unix
/// milliseconds of the grant, so it also grows where a store was repaired or made anew.
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
    /// What is leased, opaque to Streamkit.
    pub key: Name,
    /// Who holds it, opaque to Streamkit.
    pub holder: Name,
    /// Of its grant; the same however often it was renewed.
    pub token: FencingToken,
    /// How long it lasts from its grant or last renewal on: between a millisecond and
    /// [`LEASE_TTL_MAX`](crate::limits::LEASE_TTL_MAX).
    pub ttl: Duration,
}

/// What makes a transaction count only as long as its producer holds a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fence {
    /// The lease's key.
    pub key: Name,
    /// The token it was granted with.
    pub token: FencingToken,
}

/// Why a lease can never be granted, whoever holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLease {
    /// No time at all, or longer than a lease may last.
    #[error("a lease lasts between a millisecond and a day, not {0:?}")]
    Ttl(Duration),
}

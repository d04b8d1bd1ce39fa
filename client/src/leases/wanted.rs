//! What lease is wanted.

use std::time::Duration;

use streamkit_protocol::v2::{Lease, LeaseChange};
use streamkit_record::Name;
use streamkit_record::limits::LEASE_TTL_MAX;
use uuid::Uuid;

use crate::error::Error;
use crate::verbs::name;

/// A lease that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewLease {
    /// Its key: what may be done by one alone. Names are those of spaces: 1 to 512 bytes without NUL.
    pub key: String,
    /// Under which name it is held. Two that ask under one name hold the lease together, so [`NewLease::new`] takes one that nobody else has.
    pub holder: String,
    /// How long it lasts without being renewed, between a millisecond and a day; v1 rounds it up to seconds. It is renewed after a third, and
    /// counts as lost by this process once nine tenths are over. So whoever waits for a holder that died waits for as long.
    pub ttl: Duration,
    /// How long to wait for it while another holds it, or the server cannot be asked. Zero: it is asked for once, for as long as the
    /// client's timeout. An attempt under way gets a second for its answer in any case.
    pub wait: Duration,
}

impl NewLease {
    /// Of this key under a fresh name, for 30 s, without waiting.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            holder: Uuid::new_v4().to_string(),
            ttl: Duration::from_secs(30),
            wait: Duration::ZERO,
        }
    }

    /// The same, which lasts this long.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// The same, for which one waits this long.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    pub(super) fn checked(self) -> Result<Wanted, Error> {
        if self.ttl < Duration::from_millis(1) || self.ttl > LEASE_TTL_MAX {
            let ttl = self.ttl;
            let why = format!("invalid lease: it lasts between a millisecond and a day, not {ttl:?}");
            return Err(Error::Invalid(why));
        }
        Ok(Wanted {
            key: name(&self.key, "lease key")?,
            holder: name(&self.holder, "lease holder")?,
            ttl: self.ttl,
            wait: self.wait,
        })
    }
}

/// One that can be granted.
pub(super) struct Wanted {
    pub(super) key: Name,
    pub(super) holder: Name,
    pub(super) ttl: Duration,
    pub(super) wait: Duration,
}

impl Wanted {
    /// As it is asked for.
    pub(super) fn ask(&self, change: LeaseChange) -> Lease {
        Lease {
            change,
            key: self.key.clone(),
            holder: self.holder.clone(),
            ttl: self.ttl,
        }
    }

    /// How long it counts here from when it was asked for. The rest is for what differs between two clocks, and for work to end.
    pub(super) fn counts(&self) -> Duration {
        self.ttl - self.ttl / 10
    }
}

//! The leases of a store. As the rest of the catalog, what stands here is durable: grants, renewals and releases are transactions
//! of the log, and what they make of the table follows from them alone. Only since when a lease counts is not in the log: a
//! process counts by its own uptime, which never jumps, and from its own start on anew, so that no lease ends early.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::format::FormatError;
use streamkit_record::{Fence, FencingToken, Lease, Name, Timestamp};

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<Name, Held>,
    /// Of the newest grant.
    last_token: FencingToken,
}

/// A lease in the table: held, or run out and not granted to another.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) holder: Name,
    pub(crate) token: FencingToken,
    pub(crate) ttl: Duration,
    /// The process's uptime when it was granted or renewed, or found at an open. None: just now.
    since: Option<Duration>,
}

impl Held {
    fn has_run_out(&self, uptime: Duration) -> bool {
        self.since.is_some_and(|since| uptime >= since + self.ttl)
    }
}

/// Since when a lease counts.
pub(crate) struct LeaseTime {
    key: Name,
    token: FencingToken,
    since: Duration,
}

/// What somebody who wants a lease gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// It goes on as it was granted.
    Extends(FencingToken),
    /// It is granted anew.
    Grants(FencingToken),
    /// Another holds it.
    IsHeld,
}

impl Leases {
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn get(&self, key: &Name) -> Option<&Held> {
        self.held.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Held)> {
        self.held.iter()
    }

    pub(crate) fn last_token(&self) -> FencingToken {
        self.last_token
    }

    /// What `holder` gets who wants `key` at this time.
    pub(crate) fn claim(&self, key: &Name, holder: &Name, uptime: Duration, now: Timestamp) -> Claim {
        match self.held.get(key) {
            Some(held) if !held.has_run_out(uptime) && held.holder == *holder => Claim::Extends(held.token),
            Some(held) if !held.has_run_out(uptime) => Claim::IsHeld,
            _ => {
                let by_time = u64::try_from(now.0).unwrap_or(0);
                Claim::Grants(FencingToken(by_time.max(self.last_token.0.saturating_add(1))))
            }
        }
    }

    /// A lease as it is held now.
    pub(crate) fn held(&self, key: &Name, uptime: Duration) -> Option<Lease> {
        let held = self.held.get(key).filter(|held| !held.has_run_out(uptime))?;
        Some(Lease {
            key: key.clone(),
            holder: held.holder.clone(),
            token: held.token,
            ttl: held.ttl,
        })
    }

    /// Whether a fence's lease was granted to nobody since, nor released.
    pub(crate) fn is_current(&self, fence: &Fence) -> bool {
        self.held.get(&fence.key).is_some_and(|held| held.token == fence.token)
    }

    /// One that has run out, to make room for another.
    pub(crate) fn run_out(&self, uptime: Duration) -> Option<(&Name, &Held)> {
        self.held.iter().find(|(_, held)| held.has_run_out(uptime))
    }

    /// Takes a grant or renewal in. `over_holes`: what it goes on from may be missing.
    ///
    /// # Errors
    /// One that cannot follow what is there.
    pub(crate) fn grant(&mut self, lease: Lease, over_holes: bool) -> Result<(), FormatError> {
        let extends = self
            .held
            .get(&lease.key)
            .is_some_and(|held| held.token == lease.token && held.holder == lease.holder);
        if !extends && lease.token <= self.last_token && !over_holes {
            return Err(FormatError::Invalid("a lease whose fencing token goes back"));
        }
        self.last_token = self.last_token.max(lease.token);
        let held = Held {
            holder: lease.holder,
            token: lease.token,
            ttl: lease.ttl,
            since: None,
        };
        self.held.insert(lease.key, held);
        Ok(())
    }

    /// Takes a release in.
    ///
    /// # Errors
    /// One of what is not held so.
    pub(crate) fn release(&mut self, key: &Name, token: FencingToken, over_holes: bool) -> Result<(), FormatError> {
        let is_held = self.held.get(key).is_some_and(|held| held.token == token);
        if !is_held && !over_holes {
            return Err(FormatError::Invalid("a release of a lease that is not held"));
        }
        self.last_token = self.last_token.max(token);
        if is_held {
            self.held.remove(key);
        }
        Ok(())
    }

    /// Restores the newest token from a checkpoint.
    pub(crate) fn restore_last_token(&mut self, token: FencingToken) {
        self.last_token = self.last_token.max(token);
    }

    /// Since when those count that do.
    pub(crate) fn times(&self) -> Vec<LeaseTime> {
        let counted = self.held.iter().filter_map(|(key, held)| {
            Some(LeaseTime {
                key: key.clone(),
                token: held.token,
                since: held.since?,
            })
        });
        counted.collect()
    }

    /// Those that are as they were go on counting.
    pub(crate) fn count_as(&mut self, times: &[LeaseTime]) {
        for time in times {
            let held = self.held.get_mut(&time.key);
            if let Some(held) = held.filter(|held| held.token == time.token) {
                held.since.get_or_insert(time.since);
            }
        }
    }

    /// Those that were taken in and not counted yet count from now on.
    pub(crate) fn count_from(&mut self, uptime: Duration) {
        for held in self.held.values_mut() {
            held.since.get_or_insert(uptime);
        }
    }

    /// One that was just taken in counts from now on.
    pub(crate) fn counts_from(&mut self, key: &Name, uptime: Duration) {
        if let Some(held) = self.held.get_mut(key) {
            held.since.get_or_insert(uptime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn lease(holder: &str, token: u64) -> Lease {
        Lease {
            key: name("k"),
            holder: name(holder),
            token: FencingToken(token),
            ttl: Duration::from_secs(10),
        }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_one_holders_until_it_runs_out() {
        let mut leases = Leases::default();
        let claim = |leases: &Leases, holder, uptime| leases.claim(&name("k"), &name(holder), uptime, Timestamp(7));
        assert_eq!(claim(&leases, "a", at(0)), Claim::Grants(FencingToken(7)), "by time");
        leases.grant(lease("a", 7), false).unwrap();
        assert_eq!(
            claim(&leases, "b", at(1_000_000)),
            Claim::IsHeld,
            "it does not count yet"
        );
        leases.counts_from(&name("k"), at(5));
        assert_eq!(claim(&leases, "a", at(14)), Claim::Extends(FencingToken(7)));
        assert_eq!(claim(&leases, "b", at(14)), Claim::IsHeld);
        assert!(leases.held(&name("k"), at(14)).is_some() && leases.held(&name("k"), at(15)).is_none());
        for holder in ["a", "b"] {
            assert_eq!(claim(&leases, holder, at(15)), Claim::Grants(FencingToken(8)));
        }
    }

    #[test]
    fn a_token_never_goes_back_and_an_old_one_is_not_current() {
        let mut leases = Leases::default();
        let fence = |token| Fence {
            key: name("k"),
            token: FencingToken(token),
        };
        leases.grant(lease("a", 5), false).unwrap();
        assert!(leases.is_current(&fence(5)) && !leases.is_current(&fence(4)));
        leases.grant(lease("a", 5), false).expect("a renewal");
        assert!(leases.grant(lease("b", 5), false).is_err(), "granted twice");
        assert!(leases.grant(lease("b", 4), false).is_err(), "granted in the past");
        leases.grant(lease("b", 6), false).unwrap();
        assert!(leases.is_current(&fence(6)) && !leases.is_current(&fence(5)));
        assert!(leases.release(&name("k"), FencingToken(5), false).is_err());
        leases.release(&name("k"), FencingToken(6), false).unwrap();
        assert!(!leases.is_current(&fence(6)));
        assert!(leases.grant(lease("b", 6), false).is_err(), "after a release, too");
        let granted = leases.claim(&name("k"), &name("b"), at(0), Timestamp(3));
        assert_eq!(granted, Claim::Grants(FencingToken(7)), "whatever the clock says");
    }
}

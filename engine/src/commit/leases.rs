//! Leases: each grant, renewal and release is a group of its own, so that all that came before is durable and in the table when it
//! is decided, and nothing is decided by the table before it is durable itself.

use std::sync::PoisonError;
use std::time::Duration;

use super::committer::StoreCommitter;
use super::control::commit_alone;
use super::queue::{LeaseChange, LeaseRequest};
use crate::error::{AppendError, Rejection};
use crate::format::transaction::Encoded;
use crate::index::leases::{Claim, Held};
use crate::limits::LEASES_MAX;
use crate::log::opened::StoreLog;
use crate::log::writer::LogWriter;
use streamkit_record::{Lease, Name, Timestamp};

/// What is to become of a lease.
pub(crate) struct LeaseDecision {
    /// The transactions that make it so, in their order; none: nothing changes.
    pub(crate) transactions: Vec<Encoded>,
    /// The answer once they are durable. `None`: refused.
    pub(crate) lease: Option<Lease>,
}

/// Decides on a request and commits the result. `None`: refused, and nothing changes.
pub(super) fn commit_lease(
    committer: &StoreCommitter,
    writer: &mut LogWriter,
    request: LeaseRequest,
) -> Result<Option<Lease>, AppendError> {
    let log = &committer.log;
    let decided = decide(log, &request, log.clock.now().max(writer.state.last_timestamp))?;
    for transaction in decided.transactions {
        commit_alone(committer, writer, transaction)?;
    }
    if let Some(lease) = &decided.lease {
        // The lease counts from when it is durable. Its holder counts from when it asked, which was before.
        let mut catalog = log.catalog.write().unwrap_or_else(PoisonError::into_inner);
        catalog.leases.counts_from(&lease.key, log.clock.uptime());
    }
    Ok(decided.lease)
}

/// Decides on a request by the table; `now`: the commit time that a grant would get.
pub(crate) fn decide(log: &StoreLog, request: &LeaseRequest, now: Timestamp) -> Result<LeaseDecision, Rejection> {
    let LeaseRequest { key, holder, change } = request;
    let uptime = log.clock.uptime();
    let claim = log.catalog().leases.claim(key, holder, uptime, now);
    let mut transactions = Vec::new();
    let (token, ttl) = match (change, claim) {
        (LeaseChange::Acquire(ttl) | LeaseChange::Renew(ttl), Claim::Extends(token)) => (token, *ttl),
        (LeaseChange::Acquire(ttl), Claim::Grants(token)) => {
            transactions.extend(make_room(log, key, uptime)?);
            (token, *ttl)
        }
        (LeaseChange::Acquire(_) | LeaseChange::Renew(_), _) => return Ok(LeaseDecision::refused()),
        (LeaseChange::Release, _) => return Ok(release(log, key, holder)),
    };
    let lease = Lease {
        key: key.clone(),
        holder: holder.clone(),
        token,
        ttl,
    };
    transactions.push(Encoded::lease(&lease));
    let lease = Some(lease);
    Ok(LeaseDecision { transactions, lease })
}

impl LeaseDecision {
    fn refused() -> Self {
        Self {
            transactions: Vec::new(),
            lease: None,
        }
    }
}

fn release(log: &StoreLog, key: &Name, holder: &Name) -> LeaseDecision {
    let held = log.catalog().leases.get(key).cloned();
    let Some(held) = held.filter(|held| held.holder == *holder) else {
        return LeaseDecision::refused();
    };
    let Held { token, ttl, .. } = held;
    LeaseDecision {
        transactions: vec![Encoded::release(key, holder, token)],
        lease: Some(Lease {
            key: key.clone(),
            holder: holder.clone(),
            token,
            ttl,
        }),
    }
}

/// What makes room for one more lease: the release of one that has run out, if the table is full.
fn make_room(log: &StoreLog, key: &Name, uptime: Duration) -> Result<Option<Encoded>, Rejection> {
    let catalog = log.catalog();
    let full = catalog.leases.len() >= LEASES_MAX && catalog.leases.get(key).is_none();
    let over = catalog.leases.run_out(uptime).filter(|_| full);
    match over {
        Some((key, held)) => Ok(Some(Encoded::release(key, &held.holder, held.token))),
        None if full => Err(Rejection::TooManyLeases),
        None => Ok(None),
    }
}

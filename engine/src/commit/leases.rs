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
use streamkit_record::{FencingToken, Lease, Name, Timestamp};

/// Decides on a request and commits the result. `None`: refused, and nothing changes.
pub(super) fn commit_lease(
    committer: &StoreCommitter,
    writer: &mut LogWriter,
    request: LeaseRequest,
) -> Result<Option<Lease>, AppendError> {
    let LeaseRequest { key, holder, change } = request;
    let log = &committer.log;
    let uptime = log.clock.uptime();
    let claim = log.catalog().leases.claim(&key, &holder, uptime, now(log, writer));
    let (token, ttl) = match (change, claim) {
        (LeaseChange::Acquire(ttl) | LeaseChange::Renew(ttl), Claim::Extends(token)) => (token, ttl),
        (LeaseChange::Acquire(ttl), Claim::Grants(token)) => {
            make_room(committer, writer, &key, uptime)?;
            (token, ttl)
        }
        (LeaseChange::Acquire(_) | LeaseChange::Renew(_), _) => return Ok(None),
        (LeaseChange::Release, _) => return release(committer, writer, key, holder),
    };
    let lease = Lease {
        key,
        holder,
        token,
        ttl,
    };
    commit_alone(committer, writer, Encoded::lease(&lease))?;
    // The lease counts from when it is durable. Its holder counts from when it asked, which was before.
    let mut catalog = log.catalog.write().unwrap_or_else(PoisonError::into_inner);
    catalog.leases.counts_from(&lease.key, log.clock.uptime());
    Ok(Some(lease))
}

fn now(log: &StoreLog, writer: &LogWriter) -> Timestamp {
    log.clock.now().max(writer.state.last_timestamp)
}

fn release(
    committer: &StoreCommitter,
    writer: &mut LogWriter,
    key: Name,
    holder: Name,
) -> Result<Option<Lease>, AppendError> {
    let held = committer.log.catalog().leases.get(&key).cloned();
    let Some(held) = held.filter(|held| held.holder == holder) else {
        return Ok(None);
    };
    let Held { token, ttl, .. } = held;
    commit_alone(committer, writer, Encoded::release(&key, &holder, token))?;
    Ok(Some(Lease {
        key,
        holder,
        token,
        ttl,
    }))
}

/// Makes room for one more lease by releasing one that has run out.
fn make_room(
    committer: &StoreCommitter,
    writer: &mut LogWriter,
    key: &Name,
    uptime: Duration,
) -> Result<(), AppendError> {
    let (full, over) = {
        let catalog = committer.log.catalog();
        let full = catalog.leases.len() >= LEASES_MAX && catalog.leases.get(key).is_none();
        let over = catalog.leases.run_out(uptime).filter(|_| full);
        let over: Option<(Name, Name, FencingToken)> =
            over.map(|(key, held)| (key.clone(), held.holder.clone(), held.token));
        (full, over)
    };
    match over {
        Some((key, holder, token)) => commit_alone(committer, writer, Encoded::release(&key, &holder, token)),
        None if full => Err(Rejection::TooManyLeases.into()),
        None => Ok(()),
    }
}

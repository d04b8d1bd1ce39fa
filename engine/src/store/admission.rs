//! Rules on what is to go into a log that several hosts share, by what is landed of it here.

use super::proposal::{Control, Proposal, ProposedAppend, ProposedControl, Wants};
use super::replica::Replica;
use crate::commit::control::{deletion_of, trim_of};
use crate::commit::group::earliest_of;
use crate::commit::leases::{LeaseDecision, decide};
use crate::commit::order::{Claims, CommitOrder, Ruling};
use crate::commit::retry::{committed, committed_before, stored_at};
use crate::commit::select::conflict;
use crate::error::{Rejection, StorageError};
use crate::log::opened::StoreLog;
use streamkit_record::{Committed, Lease, SegmentStatus, Timestamp, Trx};

/// Proposals that fit, one behind the other, and are not landed.
#[derive(Default, Debug)]
pub struct Plan {
    order: CommitOrder,
    /// How many they are.
    planned: usize,
    /// Nothing else goes with what is planned, or before what waits for it.
    is_shut: bool,
}

/// What becomes of a proposal.
#[derive(Debug)]
pub enum Admission {
    /// It fits behind what is landed and what is planned: it is planned now, and has its sequences.
    Fits,
    /// What is planned decides, once it is landed.
    Waits,
    /// It is landed already: the answer of its first commit.
    Stored(Committed),
    /// It changes nothing, by what is landed here. Elsewhere more may be.
    Stands(Landed),
    /// It does not fit what is landed here. Elsewhere more may be.
    Refused(Rejection),
}

/// What its producer is told of a proposal.
#[derive(Clone, PartialEq, Debug)]
pub enum Landed {
    /// Of an append.
    Append(Committed),
    /// Of a trim; `None`: the segment was deleted since.
    Trim(Option<SegmentStatus>),
    /// Of a deletion.
    Delete,
    /// Of a change of a lease; `None`: it is another holder's.
    Lease(Option<Lease>),
}

impl Replica {
    /// Rules on a proposal: known ones first, then fences, sequences and conditions. May wait for reads of the disk.
    ///
    /// # Errors
    /// [`StorageError`]: the log cannot be read. It is not planned.
    pub fn admit(&self, plan: &mut Plan, proposal: &mut Proposal) -> Result<Admission, StorageError> {
        let log = self.store().log();
        match &mut proposal.wants {
            Wants::Append(append) => admit_append(log, plan, append),
            Wants::Control(control) => admit_control(log, plan, control),
        }
    }

    /// What was planned before, and is not landed, counts for those that are ruled on behind it.
    pub fn count(&self, plan: &mut Plan, planned: &Proposal) {
        plan.planned += 1;
        let Wants::Append(append) = &planned.wants else {
            plan.is_shut = true;
            return;
        };
        let claims = Claims {
            segments: &mut append.claims.clone(),
            conditions: &[],
            id: Some(append.transaction.id),
        };
        let ruling = plan.order.rule(claims, |path| self.store().log().catalog().head(path));
        debug_assert_eq!(ruling, Ruling::Accept, "it was planned on the same heads");
    }

    /// The earliest commit time that proposals may have which are planned now.
    pub fn earliest<'a>(&self, proposals: impl IntoIterator<Item = &'a Proposal>) -> Timestamp {
        let log = self.store().log();
        let claims = proposals.into_iter().flat_map(Proposal::claims);
        earliest_of(log, &log.writer(), claims)
    }

    /// Proposals that fit, in the order in which they were planned, as the transactions that come next behind `ahead` others, of one
    /// commit time: what [`Replica::land`] takes, here and elsewhere.
    pub fn transactions<'a>(
        &self,
        ahead: u64,
        proposals: impl IntoIterator<Item = &'a mut Proposal>,
        timestamp: Timestamp,
    ) -> Vec<u8> {
        let first = self.last().number + ahead + 1;
        let mut bytes = Vec::new();
        let transactions = proposals.into_iter().flat_map(Proposal::transactions);
        for (number, encoded) in (first..).zip(transactions) {
            bytes.extend_from_slice(encoded.commit(number, timestamp));
        }
        bytes
    }

    /// The answers to the producers of proposals that were landed last, as one group.
    pub fn landed(&self, proposals: &[&Proposal]) -> Vec<Landed> {
        let last = self.last();
        let count: usize = proposals.iter().map(|proposal| proposal.count()).sum();
        let mut number = last.number - count as u64;
        let answers = proposals.iter().map(|proposal| {
            number += proposal.count() as u64;
            self.answer(proposal, number, last.timestamp)
        });
        answers.collect()
    }

    fn answer(&self, proposal: &Proposal, number: u64, timestamp: Timestamp) -> Landed {
        let log = self.store().log();
        match &proposal.wants {
            Wants::Append(append) => {
                let trx = Trx {
                    id: proposal.id(),
                    node: uuid::Uuid::nil(),
                    number,
                };
                Landed::Append(committed(log, trx, timestamp, &append.claims))
            }
            Wants::Control(wanted) => match &wanted.control {
                Control::Trim(path, _) => Landed::Trim(log.catalog().status(path)),
                Control::Delete(_) => Landed::Delete,
                Control::Lease(_) => Landed::Lease(wanted.lease.clone()),
            },
        }
    }
}

fn admit_append(log: &StoreLog, plan: &mut Plan, append: &mut ProposedAppend) -> Result<Admission, StorageError> {
    append.forget_places();
    let takes_next = append.transaction.takes_next();
    if takes_next {
        log.recall_ids()?;
        let known = log.catalog().place_of(append.transaction.id);
        if let Some(at) = known
            && let Some(found) = stored_at(log, &mut append.proposed(), at)?
        {
            return Ok(found.into());
        }
    }
    if plan.is_shut {
        return Ok(Admission::Waits);
    }
    let fence = append.transaction.fence.as_ref();
    if let Some(fence) = fence.filter(|fence| !log.catalog().leases.is_current(fence)) {
        let fenced_off = Rejection::FencedOff(fence.clone());
        return refused(log, append, fenced_off);
    }
    let claims = Claims {
        segments: &mut append.claims,
        conditions: &append.transaction.conditions,
        id: Some(append.transaction.id),
    };
    match plan.order.rule(claims, |path| log.catalog().head(path)) {
        Ruling::Accept => {
            append.encoded.place(append.claims.iter().map(|claim| claim.first));
            plan.planned += 1;
            Ok(Admission::Fits)
        }
        Ruling::Later => Ok(Admission::Waits),
        Ruling::Conflict(failed) => refused(log, append, conflict(failed)),
    }
}

/// It needs everything before it to be durable, and nothing may refer to what it changes before it is durable.
fn admit_control(log: &StoreLog, plan: &mut Plan, wanted: &mut ProposedControl) -> Result<Admission, StorageError> {
    let is_first = plan.planned == 0 && !plan.is_shut;
    if !is_first {
        plan.is_shut = true;
        return Ok(Admission::Waits);
    }
    let decided = match &wanted.control {
        Control::Trim(path, first) => match trim_of(log, path, *first) {
            Ok(None) => return Ok(Admission::Stands(Landed::Trim(log.catalog().status(path)))),
            Ok(Some(encoded)) => Ok((vec![encoded], None)),
            Err(why) => Err(why),
        },
        Control::Delete(path) => deletion_of(log, path).map(|encoded| (vec![encoded], None)),
        Control::Lease(request) => {
            let now = log.clock.now().max(log.writer().state.last_timestamp);
            match decide(log, request, now) {
                Ok(decided) if decided.transactions.is_empty() => {
                    return Ok(Admission::Stands(Landed::Lease(decided.lease)));
                }
                Ok(LeaseDecision { transactions, lease }) => Ok((transactions, lease)),
                Err(why) => Err(why),
            }
        }
    };
    match decided {
        Ok(made) => {
            (wanted.transactions, wanted.lease) = made;
            plan.planned += 1;
            plan.is_shut = true;
            Ok(Admission::Fits)
        }
        Err(Rejection::Storage(error)) => Err(error),
        Err(why) => Ok(Admission::Refused(why)),
    }
}

/// What does not fit may be what is there.
fn refused(log: &StoreLog, append: &mut ProposedAppend, why: Rejection) -> Result<Admission, StorageError> {
    let found = committed_before(log, append.proposed())?;
    Ok(found.map_or(Admission::Refused(why), Admission::from))
}

impl From<Result<Committed, Rejection>> for Admission {
    fn from(found: Result<Committed, Rejection>) -> Self {
        found.map_or_else(Self::Refused, Self::Stored)
    }
}

//! Rules on what is to go into a log that several hosts share, by what is landed of it here.

use uuid::Uuid;

use super::replica::Replica;
use crate::commit::group::earliest_of;
use crate::commit::order::{Claims, CommitOrder, Ruling, SequenceClaim};
use crate::commit::queue::Proposed;
use crate::commit::retry::{committed, committed_before, stored_at};
use crate::commit::select::conflict;
use crate::error::{Rejection, StorageError};
use crate::format::transaction::Encoded;
use crate::log::opened::StoreLog;
use streamkit_record::{Committed, Timestamp, Transaction, Trx};

/// A transaction that a producer wants in the log.
#[derive(Clone, Debug)]
pub struct Proposal {
    transaction: Transaction,
    encoded: Encoded,
    claims: Vec<SequenceClaim>,
}

/// Proposals that fit, one behind the other, and are not landed.
#[derive(Default, Debug)]
pub struct Plan(CommitOrder);

/// What becomes of a proposal.
#[derive(Debug)]
pub enum Admission {
    /// It fits behind what is landed and what is planned: it is planned now, and has its sequences.
    Fits,
    /// What is planned decides, once it is landed.
    Waits,
    /// It is landed already: the answer of its first commit.
    Stored(Committed),
    /// It does not fit what is landed here. Elsewhere more may be.
    Refused(Rejection),
}

impl Proposal {
    /// Checks a transaction and encodes it.
    ///
    /// # Errors
    /// [`Rejection::Invalid`].
    pub fn new(transaction: Transaction) -> Result<Self, Rejection> {
        transaction.validate().map_err(Rejection::Invalid)?;
        Ok(Self {
            encoded: Encoded::data(&transaction),
            claims: transaction.segments.iter().map(SequenceClaim::of).collect(),
            transaction,
        })
    }

    /// The id of its transaction.
    pub fn id(&self) -> Uuid {
        self.transaction.id
    }

    /// What its producer asked for.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Bytes that it takes in the log.
    pub fn bytes(&self) -> usize {
        self.encoded.len()
    }

    /// What it got in an earlier plan is of no use behind another.
    fn forget_places(&mut self) {
        for (claim, part) in self.claims.iter_mut().zip(&self.transaction.segments) {
            claim.first = part.first_sequence;
        }
    }

    fn proposed(&mut self) -> Proposed<'_> {
        Proposed {
            transaction: &self.transaction,
            encoded: &mut self.encoded,
            claims: &mut self.claims,
        }
    }
}

impl Replica {
    /// Rules on a proposal: known ones first, then fences, sequences and conditions. May wait for reads of the disk.
    ///
    /// # Errors
    /// [`StorageError`]: the log cannot be read. It is not planned.
    pub fn admit(&self, plan: &mut Plan, proposal: &mut Proposal) -> Result<Admission, StorageError> {
        let log = self.store().log();
        log.recall_ids()?;
        proposal.forget_places();
        let known = log.catalog().place_of(proposal.id());
        if let Some(at) = known
            && let Some(found) = stored_at(log, &mut proposal.proposed(), at)?
        {
            return Ok(found.into());
        }
        let fence = proposal.transaction.fence.as_ref();
        if let Some(fence) = fence.filter(|fence| !log.catalog().leases.is_current(fence)) {
            let fenced_off = Rejection::FencedOff(fence.clone());
            return refused(log, proposal, fenced_off);
        }
        let claims = Claims {
            segments: &mut proposal.claims,
            conditions: &proposal.transaction.conditions,
            id: Some(proposal.transaction.id),
        };
        match plan.0.rule(claims, |path| log.catalog().head(path)) {
            Ruling::Accept => {
                proposal.encoded.place(proposal.claims.iter().map(|claim| claim.first));
                Ok(Admission::Fits)
            }
            Ruling::Later => Ok(Admission::Waits),
            Ruling::Conflict(failed) => refused(log, proposal, conflict(failed)),
        }
    }

    /// The earliest commit time that proposals may have which are planned now.
    pub fn earliest<'a>(&self, proposals: impl IntoIterator<Item = &'a Proposal>) -> Timestamp {
        let log = self.store().log();
        let claims = proposals.into_iter().flat_map(|proposal| &proposal.claims);
        earliest_of(log, &log.writer(), claims)
    }

    /// Proposals that fit, in the order in which they were planned, as the transactions that come next, of one commit time: what
    /// [`Replica::land`] takes, here and elsewhere.
    pub fn transactions<'a>(
        &self,
        proposals: impl IntoIterator<Item = &'a mut Proposal>,
        timestamp: Timestamp,
    ) -> Vec<u8> {
        let first = self.last().number + 1;
        let mut bytes = Vec::new();
        for (number, proposal) in (first..).zip(proposals) {
            bytes.extend_from_slice(proposal.encoded.commit(number, timestamp));
        }
        bytes
    }

    /// The answer to the producer of a proposal that was landed under this number.
    pub fn committed(&self, proposal: &Proposal, number: u64, timestamp: Timestamp) -> Committed {
        let trx = Trx {
            id: proposal.id(),
            node: Uuid::nil(),
            number,
        };
        committed(self.store().log(), trx, timestamp, &proposal.claims)
    }
}

/// What does not fit may be what is there.
fn refused(log: &StoreLog, proposal: &mut Proposal, why: Rejection) -> Result<Admission, StorageError> {
    let found = committed_before(log, proposal.proposed())?;
    Ok(found.map_or(Admission::Refused(why), Admission::from))
}

impl From<Result<Committed, Rejection>> for Admission {
    fn from(found: Result<Committed, Rejection>) -> Self {
        found.map_or_else(Self::Refused, Self::Stored)
    }
}

//! What somebody wants in a log that several hosts share: it is ruled on by what is landed here, and may have to be ruled on again.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::whole_ttl;
use crate::commit::budget::QueuePermit;
use crate::commit::order::SequenceClaim;
use crate::commit::queue::{LeaseChange, LeaseRequest, Proposed};
use crate::error::Rejection;
use crate::format::transaction::Encoded;
use streamkit_record::{Lease, Name, SegmentPath, Sequence, Transaction};

/// Most bytes that a trim, a deletion, or a change of a lease takes in the log, with a release that makes room for it.
const CONTROL_BYTES_MAX: usize = 4 << 10;

/// An append, a trim, a deletion, or a change of a lease.
#[derive(Clone, Debug)]
pub struct Proposal {
    id: Uuid,
    pub(super) wants: Wants,
    /// Its share of the bytes that may wait in all stores, for as long as it is there.
    _room: Option<Arc<QueuePermit>>,
}

/// What it wants.
#[derive(Clone, Debug)]
pub(super) enum Wants {
    /// A transaction of a producer.
    Append(ProposedAppend),
    /// A change that goes with nothing else into a group.
    Control(ProposedControl),
}

/// A transaction of a producer.
#[derive(Clone, Debug)]
pub(super) struct ProposedAppend {
    pub(super) transaction: Transaction,
    pub(super) encoded: Encoded,
    pub(super) claims: Vec<SequenceClaim>,
}

/// A change that goes with nothing else into a group, and what the last ruling made of it.
#[derive(Clone, Debug)]
pub(super) struct ProposedControl {
    pub(super) control: Control,
    pub(super) transactions: Vec<Encoded>,
    pub(super) lease: Option<Lease>,
}

#[derive(Clone, Debug)]
pub(super) enum Control {
    Trim(SegmentPath, Sequence),
    Delete(SegmentPath),
    Lease(LeaseRequest),
}

impl Proposal {
    /// Checks a transaction and encodes it.
    ///
    /// # Errors
    /// [`Rejection::Invalid`].
    pub fn append(transaction: Transaction) -> Result<Self, Rejection> {
        transaction.validate().map_err(Rejection::Invalid)?;
        Ok(Self {
            id: transaction.id,
            _room: None,
            wants: Wants::Append(ProposedAppend {
                encoded: Encoded::data(&transaction),
                claims: transaction.segments.iter().map(SequenceClaim::of).collect(),
                transaction,
            }),
        })
    }

    /// Raises the first readable sequence of a segment.
    pub fn trim(path: SegmentPath, first: Sequence) -> Self {
        Self::control(Control::Trim(path, first))
    }

    /// Deletes a segment.
    pub fn delete(path: SegmentPath) -> Self {
        Self::control(Control::Delete(path))
    }

    /// Grants a lease for so long, or renews it if its holder asks.
    ///
    /// # Errors
    /// [`Rejection::InvalidLease`].
    pub fn acquire_lease(key: Name, holder: Name, ttl: Duration) -> Result<Self, Rejection> {
        let change = LeaseChange::Acquire(whole_ttl(ttl)?);
        Ok(Self::control(Control::Lease(LeaseRequest { key, holder, change })))
    }

    /// Renews a lease for so long, if its holder asks.
    ///
    /// # Errors
    /// [`Rejection::InvalidLease`].
    pub fn renew_lease(key: Name, holder: Name, ttl: Duration) -> Result<Self, Rejection> {
        let change = LeaseChange::Renew(whole_ttl(ttl)?);
        Ok(Self::control(Control::Lease(LeaseRequest { key, holder, change })))
    }

    /// Releases a lease, if its holder asks.
    pub fn release_lease(key: Name, holder: Name) -> Self {
        let change = LeaseChange::Release;
        Self::control(Control::Lease(LeaseRequest { key, holder, change }))
    }

    fn control(control: Control) -> Self {
        Self {
            id: Uuid::new_v4(),
            _room: None,
            wants: Wants::Control(ProposedControl {
                control,
                transactions: Vec::new(),
                lease: None,
            }),
        }
    }

    /// It has room among what waits.
    pub(super) fn in_room(self, room: QueuePermit) -> Self {
        Self {
            _room: Some(Arc::new(room)),
            ..self
        }
    }

    /// The id of an append's transaction; of others, a name for this proposal alone.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Bytes that it takes in the log, at most.
    pub fn bytes(&self) -> usize {
        match &self.wants {
            Wants::Append(append) => append.encoded.len(),
            Wants::Control(_) => CONTROL_BYTES_MAX,
        }
    }

    /// What it claims of segments.
    pub(super) fn claims(&self) -> &[SequenceClaim] {
        match &self.wants {
            Wants::Append(append) => &append.claims,
            Wants::Control(_) => &[],
        }
    }

    /// The transactions that the last ruling made of it.
    pub(super) fn transactions(&mut self) -> &mut [Encoded] {
        match &mut self.wants {
            Wants::Append(append) => std::slice::from_mut(&mut append.encoded),
            Wants::Control(control) => &mut control.transactions,
        }
    }

    /// How many these are.
    pub(super) fn count(&self) -> usize {
        match &self.wants {
            Wants::Append(_) => 1,
            Wants::Control(control) => control.transactions.len(),
        }
    }
}

impl ProposedAppend {
    /// What it got in an earlier plan is of no use behind another.
    pub(super) fn forget_places(&mut self) {
        for (claim, part) in self.claims.iter_mut().zip(&self.transaction.segments) {
            claim.first = part.first_sequence;
        }
    }

    pub(super) fn proposed(&mut self) -> Proposed<'_> {
        Proposed {
            transaction: &self.transaction,
            encoded: &mut self.encoded,
            claims: &mut self.claims,
        }
    }
}

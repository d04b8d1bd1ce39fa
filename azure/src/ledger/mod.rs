//! The state that a shared log makes, as the engine keeps it: a copy of the log on this host, with the engine's catalog, index files and
//! reads. The rules are the engine's; what is here translates.

mod bookmark;
mod content;
mod naming;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use streamkit_engine::format::transaction::open_transaction;
use streamkit_engine::{
    Admission, Landed, LocalStore, Plan, Proposal, Rejection, Replica, StorageError, Store as _, Timestamp,
};
use uuid::Uuid;

pub(crate) use self::bookmark::Bookmark;
pub(crate) use self::content::Content;
pub(crate) use self::naming::blob_name;
use self::turns::Turn;
pub use self::turns::Turns;
use crate::log::{Found, GroupId, Ledger, NotApplied, Place, Ruling};

/// Groups between two bookmarks: what is read again at most by a host that was killed.
const GROUPS_A_BOOKMARK: u32 = 256;
/// The same in bytes.
const BYTES_A_BOOKMARK: usize = 4 << 20;

/// Where the copy of a store is kept on this host.
#[derive(Clone)]
pub struct CopyHome {
    /// It.
    pub copy: LocalStore,
    /// The folder of the bookmarks, which is there.
    pub bookmarks: PathBuf,
    /// Who lands now, of all copies of this host.
    pub turns: Turns,
    /// Whether what the copy holds is what this log began with. A copy that was here before may be of another log, until a group of this one fits behind it.
    pub is_of_log: Arc<AtomicBool>,
}

/// The copy of a store's log on this host, and how far it is applied.
pub struct ReplicaLedger {
    replica: Replica,
    bookmarks: PathBuf,
    /// The number of the last transaction of the groups that were applied since the log was opened, or before. Less than the copy holds
    /// while groups are applied a second time.
    applied: u64,
    /// The place that was reached last, and is in no bookmark.
    unmarked: Option<Bookmark>,
    groups: u32,
    bytes: usize,
    /// As in [`CopyHome`].
    is_of_log: Arc<AtomicBool>,
    /// Nobody else lands in this copy.
    _turn: Turn,
}

/// What somebody is told whose request did not change anything, or did not fit.
pub type Told = Result<Landed, Rejection>;

impl ReplicaLedger {
    fn open(home: &CopyHome, applied: u64) -> Result<Self, String> {
        let turn = home.turns.take(home.copy.id());
        let turn = turn.ok_or("an earlier log of this store is still at work here")?;
        Ok(Self {
            replica: Replica::of(home.copy.clone()),
            bookmarks: home.bookmarks.clone(),
            applied,
            unmarked: None,
            groups: 0,
            bytes: 0,
            is_of_log: home.is_of_log.clone(),
            _turn: turn,
        })
    }

    fn mark(&mut self) {
        (self.groups, self.bytes) = (0, 0);
        let Some(bookmark) = self.unmarked.take() else { return };
        if let Err(error) = bookmark.write(&self.bookmarks, self.replica.store().id()) {
            tracing::debug!(%error, "a bookmark could not be written");
        }
    }

    fn is_ahead(&self) -> bool {
        self.replica.last().number > self.applied
    }

    /// Transactions that the copy has already, whole groups of them.
    fn skip(&mut self, last: u64, time: Timestamp) -> Result<(), String> {
        let copied = self.replica.last();
        if last > copied.number || last == copied.number && time != copied.timestamp {
            return Err(
                "the copy of the log on this host is of another log; remove it, and it is made anew".to_owned(),
            );
        }
        self.applied = last;
        Ok(())
    }
}

impl Ledger for ReplicaLedger {
    type Home = CopyHome;
    type Request = Proposal;
    type Answer = Landed;
    type Refusal = Told;
    type Ahead = Plan;

    fn begin(home: &CopyHome) -> Result<Self, String> {
        Self::open(home, 0)
    }

    fn found(home: &CopyHome) -> Result<Option<Found<Self>>, String> {
        let Some(bookmark) = Bookmark::read(&home.bookmarks, home.copy.id()) else {
            return Ok(None);
        };
        let ledger = Self::open(home, bookmark.applied)?;
        // One that lost its end begins anew with the log, and skips what it has.
        let holds_it = ledger.replica.last().number >= bookmark.applied;
        let Bookmark { place, last, time, .. } = bookmark;
        Ok(holds_it.then_some(Found {
            place,
            last,
            time,
            ledger,
        }))
    }

    fn is_kept(home: &CopyHome) -> bool {
        !home.copy.is_new()
    }

    /// Copies begin with a checkpoint before they are open. One that is open, and behind it, cannot.
    fn restore(home: &CopyHome, bytes: &Bytes) -> Result<Option<Self>, String> {
        let Content { applied, .. } = Content::decode(bytes).map_err(|why| why.to_string())?;
        // Whoever begins without one is told the same.
        let Ok(ledger) = Self::open(home, applied) else {
            return Ok(None);
        };
        Ok((ledger.replica.last().number >= applied).then_some(ledger))
    }

    fn checkpoint(&self) -> Option<Bytes> {
        let snapshot = match self.replica.snapshot() {
            Ok(snapshot) => snapshot?,
            Err(error) => {
                tracing::warn!(%error, "there can be no checkpoint of a copy now");
                return None;
            }
        };
        let applied = self.applied;
        Some(Content { applied, snapshot }.encode())
    }

    fn id(proposal: &Proposal) -> Uuid {
        proposal.id()
    }

    fn size(proposal: &Proposal) -> usize {
        proposal.bytes()
    }

    fn rule(&self, plan: &mut Plan, proposal: &mut Proposal) -> Ruling<Self> {
        match self.replica.admit(plan, proposal) {
            Ok(Admission::Fits) => Ruling::Fits,
            Ok(Admission::Waits) => Ruling::Waits,
            Ok(Admission::Stored(committed)) => Ruling::Known(Landed::Append(committed)),
            Ok(Admission::Stands(landed)) => Ruling::Refused(Ok(landed)),
            Ok(Admission::Refused(why)) => Ruling::Refused(Err(why)),
            Err(error) => Ruling::Unclear(error.to_string()),
        }
    }

    fn claim(&self, plan: &mut Plan, proposal: &Proposal) {
        self.replica.count(plan, proposal);
    }

    fn earliest(&self, proposals: &[&Proposal]) -> Timestamp {
        self.replica.earliest(proposals.iter().copied())
    }

    fn body(&self, ahead: usize, proposals: &mut [&mut Proposal], time: Timestamp) -> Bytes {
        let proposals = proposals.iter_mut().map(|proposal| &mut **proposal);
        self.replica.transactions(ahead as u64, proposals, time).into()
    }

    fn apply(&mut self, _: GroupId, time: Timestamp, body: &Bytes) -> Result<(), NotApplied> {
        self.bytes = self.bytes.saturating_add(body.len());
        if self.is_ahead() {
            let (last, stamped) = last_of(body).ok_or_else(|| "a group without transactions".to_owned())?;
            return match stamped == time {
                true => Ok(self.skip(last, time)?),
                false => Err("a transaction with another commit time than its group's"
                    .to_owned()
                    .into()),
            };
        }
        self.replica.land(body).map_err(|error| match error {
            StorageError::Corrupt { .. } => NotApplied::Damaged(error.to_string()),
            // A full disk here is no damage there.
            _ => NotApplied::Host(error.to_string()),
        })?;
        self.applied = self.replica.last().number;
        self.is_of_log.store(true, Ordering::Release);
        Ok(())
    }

    fn reached(&mut self, place: Place, last: Option<GroupId>, time: Timestamp) {
        self.unmarked = Some(Bookmark {
            place,
            last,
            time,
            applied: self.applied,
        });
        self.groups += 1;
        if self.groups >= GROUPS_A_BOOKMARK || self.bytes >= BYTES_A_BOOKMARK {
            self.mark();
        }
    }

    fn is_whole(&self) -> bool {
        !self.is_ahead()
    }

    fn answers(&self, proposals: &[&Proposal]) -> Vec<Landed> {
        self.replica.landed(proposals)
    }
}

impl Drop for ReplicaLedger {
    fn drop(&mut self) {
        self.mark();
    }
}

/// The number and commit time of the last of some transactions; `None`: they are none.
fn last_of(mut body: &[u8]) -> Option<(u64, Timestamp)> {
    let mut last = None;
    while !body.is_empty() {
        let (header, transaction) = open_transaction(body).ok()?;
        last = Some((header.number, header.timestamp));
        body = &body[transaction.len()..];
    }
    last
}

//! A store whose transactions a log elsewhere orders: they come from there, numbered and timed, and are landed here as they are. Reads
//! are those of any store.

use std::sync::atomic::Ordering;

use super::LocalStore;
use super::proposal::Proposal;
use crate::commit::group::{Group, write};
use crate::commit::ready::make_room;
use crate::disk::blocks::Blocks;
use crate::error::{AppendError, StorageError, corrupt};
use crate::format::FormatError;
use crate::format::extent_header::LogState;
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::transaction::{Kind, TransactionHeader, check_structure, open_transaction};
use streamkit_record::{LogPosition, StoreId, Timestamp, Transaction};

/// A copy of a log on this host. Two that landed the same transactions in the same pieces have them at the same places: the cursors of one
/// are good on the other, and the files of what is sealed are equal, byte for byte, as long as both have the same limits.
pub struct Replica {
    pub(super) store: LocalStore,
}

/// The last transaction of a log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LastTransaction {
    /// Its number, 0 before there is one.
    pub number: u64,
    /// Its commit time. The next one's is not before it.
    pub timestamp: Timestamp,
}

impl LocalStore {
    /// Proposes a transaction to the log of which this store is a copy. Waits for room among what waits in all stores, which it has until it is dropped:
    /// a storage that is away holds no more than that.
    ///
    /// # Errors
    /// Nothing was proposed: the transaction is none, there was no room in time, or the copy takes nothing.
    ///
    /// # Cancel safety
    /// Nothing is proposed by a future that was dropped.
    pub async fn propose(&self, transaction: Transaction) -> Result<Proposal, AppendError> {
        let bytes = self.admit(&transaction)?;
        let room = self.room.take(bytes).await?;
        Ok(Proposal::append(transaction)?.in_room(room))
    }

    /// The same of a trim, a deletion, or a change of a lease.
    ///
    /// # Errors
    /// As [`LocalStore::propose`].
    pub async fn propose_change(&self, change: Proposal) -> Result<Proposal, AppendError> {
        let room = self.room.take(0).await?;
        Ok(change.in_room(room))
    }
}

impl Replica {
    /// Makes a replica of an open store. From now on the store takes no changes but through [`Replica::land`]: its own writes
    /// fail with [`StorageError::Closed`].
    pub fn of(store: LocalStore) -> Self {
        store.committer.queue().closed = true;
        store.log().writer().is_replica = true;
        Self { store }
    }

    /// The store, for reads.
    pub fn store(&self) -> &LocalStore {
        &self.store
    }

    /// The last transaction that was landed.
    pub fn last(&self) -> LastTransaction {
        let writer = self.store.log().writer();
        LastTransaction {
            number: writer.state.trx_number,
            timestamp: writer.state.last_timestamp,
        }
    }

    /// Where the copy ends.
    pub fn tail(&self) -> LogPosition {
        self.store.log().writer().tail()
    }

    /// Lands transactions that follow the last one, as one group: they become durable here, then visible as a whole. Blocks while the disk
    /// writes.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`]: these bytes are no whole transactions, or do not follow the last one. Nothing of them was landed, and others may
    /// still be. If they only contradict what is there (an entry that does not follow its segment's last), the store halts: the log that
    /// they come from is damaged. Others as for a write: what stands in the log here is known after the next open.
    pub fn land(&self, transactions: &[u8]) -> Result<(), StorageError> {
        let (committer, log) = (&self.store.committer, self.store.log());
        let mut writer = log.writer();
        writer.folder.latch.check()?;
        let found = follow(&writer.state, transactions).map_err(|error| foreign(log.id, &error))?;
        let Some(Following { last, count, leases }) = found else {
            return Ok(());
        };
        if writer.open.is_none() {
            let made = writer.folder.disk.create_dir(&writer.folder.dir);
            made.map_err(|error| StorageError::io("create", &writer.folder.dir, error))?;
        }
        make_room(committer, &mut writer, GROUP_HEADER_BYTES + transactions.len())?;
        // No epoch of its own: who lands numbers nothing.
        log.has_begun.store(true, Ordering::Release);
        let group = Group::of_others(&mut writer, Blocks::default(), transactions, &last, count);
        write(log, &mut writer, &group)?;
        if leases {
            // From here on: no earlier than whoever granted it counts.
            log.catalog_mut().leases.count_from(log.clock.uptime());
        }
        Ok(())
    }
}

/// Transactions that follow a state.
struct Following {
    last: TransactionHeader,
    count: u32,
    /// Whether leases are granted or renewed among them.
    leases: bool,
}

/// What some transactions are, if they are whole and follow a state; `None`: there are none.
fn follow(state: &LogState, transactions: &[u8]) -> Result<Option<Following>, FormatError> {
    let (mut last, mut rest, mut count, mut leases) = (None, transactions, 0, false);
    let (mut number, mut timestamp) = (state.trx_number, state.last_timestamp);
    while !rest.is_empty() {
        let (header, transaction) = open_transaction(rest)?;
        check_structure(&header, transaction)?;
        if header.kind == Kind::Open {
            return Err(FormatError::Invalid("a mark of an open among transactions of others"));
        }
        if number.checked_add(1) != Some(header.number) {
            return Err(FormatError::Invalid("a transaction out of order"));
        }
        if header.timestamp < timestamp {
            return Err(FormatError::Invalid("a transaction older than the one before it"));
        }
        (number, timestamp) = (header.number, header.timestamp);
        rest = &rest[transaction.len()..];
        count += 1;
        leases |= header.kind == Kind::Lease;
        last = Some(header);
    }
    Ok(last.map(|last| Following { last, count, leases }))
}

fn foreign(store: StoreId, error: &FormatError) -> StorageError {
    corrupt(store, 0, 0, format!("transactions of another log: {error}"))
}

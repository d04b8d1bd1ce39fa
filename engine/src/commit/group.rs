//! One group, from its making to its acknowledgement. The order is always: durable, then visible, then acknowledged.

use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::order::SequenceClaim;
use super::queue::Append;
use super::retry::committed;
use crate::disk::blocks::Blocks;
use crate::error::{AppendError, Rejection, StorageError};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::transaction::{Encoded, TransactionHeader, take_transaction};
use crate::log::opened::StoreLog;
use crate::log::shown::Newest;
use crate::log::writer::{LogWriter, PendingWrite};
use crate::runtime::sync::Instant;
use streamkit_record::{LogPosition, Sequence, Timestamp, Trx};

/// A group, made and ready to be written.
pub(crate) struct Group {
    pub(crate) blocks: Blocks,
    /// The places of its transactions in `blocks`.
    body: Range<usize>,
    pub(crate) pending: PendingWrite,
    pub(crate) first_number: u64,
    pub(crate) timestamp: Timestamp,
    transactions: u64,
    made: Instant,
}

impl Group {
    /// Makes a group of transactions, which must fit the open extent. From here on the log continues after it. No
    /// transaction in it gets a commit time before `earliest`.
    pub(crate) fn make<'a>(
        log: &StoreLog,
        writer: &mut LogWriter,
        mut blocks: Blocks,
        transactions: impl Iterator<Item = &'a mut Encoded>,
        earliest: Timestamp,
    ) -> Self {
        let now = log.clock.now();
        log.tell_of_clock(now, writer.state.last_timestamp);
        let timestamp = now.max(earliest);
        let first_number = writer.state.trx_number + 1;
        let start = writer.start_group(&mut blocks);
        let mut number = first_number;
        for encoded in transactions {
            blocks.extend_from_slice(encoded.commit(number, timestamp));
            number += 1;
        }
        let count = u32::try_from(number - first_number).expect("a group has fewer than 2^32 transactions");
        writer.state.trx_number = number - 1;
        writer.state.last_timestamp = timestamp;
        Self::sealed(writer, blocks, start, (first_number, count), timestamp)
    }

    /// Makes a group of transactions that are numbered and timed already: so many, whose last one is this. They follow the log's last one, and
    /// must fit the open extent.
    pub(crate) fn of_others(
        writer: &mut LogWriter,
        mut blocks: Blocks,
        transactions: &[u8],
        last: &TransactionHeader,
        count: u32,
    ) -> Self {
        let first_number = writer.state.trx_number + 1;
        let start = writer.start_group(&mut blocks);
        blocks.extend_from_slice(transactions);
        writer.state.trx_number = last.number;
        writer.state.last_timestamp = last.timestamp;
        Self::sealed(writer, blocks, start, (first_number, count), last.timestamp)
    }

    fn sealed(
        writer: &mut LogWriter,
        mut blocks: Blocks,
        start: usize,
        (first_number, count): (u64, u32),
        timestamp: Timestamp,
    ) -> Self {
        let body = start..blocks.len();
        let pending = writer.seal(&mut blocks, count);
        Self {
            blocks,
            body,
            pending,
            first_number,
            timestamp,
            transactions: count.into(),
            made: Instant::now(),
        }
    }

    /// Its write has ended, as `written` says.
    ///
    /// # Errors
    /// Why it is not durable.
    pub(crate) fn confirm(
        &self,
        log: &StoreLog,
        writer: &LogWriter,
        written: io::Result<()>,
    ) -> Result<(), StorageError> {
        let time = self.made.elapsed();
        let confirmed = writer.confirm(&self.pending, written);
        log.counts.group(&confirmed, self.transactions, self.body.len(), time);
        confirmed
    }

    /// The group, the oldest under way, is durable: makes it visible, all at once.
    ///
    /// # Errors
    /// If it breaks the rules. They were checked before, so that is a bug, and the store halts.
    pub(crate) fn landed(&self, log: &Arc<StoreLog>, writer: &mut LogWriter) -> Result<(), StorageError> {
        writer.landed(&self.pending, &self.blocks);
        let body = &self.blocks[self.body.clone()];
        // A reader that sees the new tail finds the bytes in memory.
        log.keep_recent(body_position(self.pending.at), body);
        publish(log, writer, self.pending.at, body)?;
        log.prepare_ahead(writer);
        Ok(())
    }
}

/// The earliest commit time of a group: never before the last one, and after the deletion of any segment that begins
/// anew.
pub(crate) fn earliest(log: &StoreLog, writer: &LogWriter, accepted: &[Append]) -> Timestamp {
    earliest_of(log, writer, accepted.iter().flat_map(|append| &append.claims))
}

/// The same of what transactions claim.
pub(crate) fn earliest_of<'a>(
    log: &StoreLog,
    writer: &LogWriter,
    claims: impl Iterator<Item = &'a SequenceClaim>,
) -> Timestamp {
    let last = writer.state.last_timestamp;
    let mut begun = claims.filter(|claim| claim.first == Sequence::FIRST).peekable();
    match begun.peek() {
        None => last,
        Some(_) => {
            let begun = begun.map(|claim| &claim.path);
            log.catalog().deleted_now.earliest(last, begun)
        }
    }
}

/// Writes a group on a thread that may block, and lands it.
pub(crate) fn write(log: &Arc<StoreLog>, writer: &mut LogWriter, group: &Group) -> Result<(), StorageError> {
    let pending = &group.pending;
    let written = pending.file.write(pending.offset, &group.blocks);
    group.confirm(log, writer, written)?;
    group.landed(log, writer)
}

/// Acknowledges the transactions of a group, or answers with the failure.
pub(crate) fn answer(log: &StoreLog, group: &Group, accepted: Vec<Append>, outcome: &Result<(), AppendError>) {
    let now = Instant::now();
    for (number, append) in (group.first_number..).zip(accepted) {
        let answer = match outcome {
            Ok(()) => {
                log.counts.commit(now.saturating_duration_since(append.since));
                let trx = Trx {
                    id: append.transaction.id,
                    node: uuid::Uuid::nil(),
                    number,
                };
                Ok(committed(log, trx, group.timestamp, &append.claims))
            }
            Err(error) => Err(error.clone()),
        };
        append.answer_in(answer, group.transactions);
    }
}

/// A failure before any byte of the group was written.
pub(crate) fn rejection(error: StorageError) -> AppendError {
    let why = match error {
        full if full.is_full() => Rejection::DiskFull,
        failed @ StorageError::Io { .. } => Rejection::NotReady(failed),
        other => other.into(),
    };
    why.into()
}

/// The places of the transactions of a group at `at`.
fn body_position(at: LogPosition) -> LogPosition {
    LogPosition {
        byte: at.byte + GROUP_HEADER_BYTES as u32,
        ..at
    }
}

fn publish(log: &Arc<StoreLog>, writer: &LogWriter, at: LogPosition, body: &[u8]) -> Result<(), StorageError> {
    let mut catalog = log.catalog.write().unwrap_or_else(PoisonError::into_inner);
    let (mut offset, mut newest) = (0, None);
    while offset < body.len() {
        let byte = body_position(at).byte + offset as u32;
        let at = LogPosition { byte, ..at };
        let applied = take_transaction(&body[offset..]).and_then(|(header, transaction)| {
            catalog.apply(&header, transaction, at)?;
            Ok(header)
        });
        match applied {
            Ok(header) => {
                offset += header.length as usize;
                newest = Some(Newest { at, header });
            }
            // The rules were checked before the write, so this is a bug; the store must not go on from it.
            Err(error) => {
                let error = crate::error::corrupt(log.id, at.extent, byte, error.to_string());
                let halted: Result<(), StorageError> = writer.folder.latch.guard(|| Err(error.clone()));
                debug_assert!(halted.is_err(), "what was ruled acceptable can be applied: {error}");
                return Err(error);
            }
        }
    }
    drop(catalog);
    if let Some(newest) = newest {
        log.show(writer.tail(), newest);
    }
    Ok(())
}

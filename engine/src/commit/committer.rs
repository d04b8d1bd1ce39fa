//! The commit loop: takes what is queued, rules on it, writes one group, makes it visible, answers. Order per group:
//! durable first, then visible, then acknowledged.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::order::{Order, Ruling};
use super::queue::{Append, Reply, Request};
use crate::error::{AppendError, Rejection, StorageError};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::transaction::{Encoded, open_transaction};
use crate::log::writer::LogWriter;
use crate::model::{LogPosition, SegmentPath, Sequence, Timestamp, Trx};
use crate::shared::Shared;
use crate::workers::Turn;

/// A group takes no further transaction once it has this many bytes: more would make its first producers wait longer
/// than they gain.
const GROUP_BYTES_TARGET: usize = 2 << 20;

thread_local! {
    /// The last group's buffer, kept for the next one of whatever store comes to this thread.
    static GROUP: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Runs until the queue is empty, or another store waits for the thread: then this one comes again after it.
pub(crate) fn run(shared: Arc<Shared>, turn: &Turn<'_>) {
    let halting = HaltOnPanic(&shared);
    let mut writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waiting = VecDeque::new();
    loop {
        {
            let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.append(&mut queue.requests);
            if waiting.is_empty() {
                queue.end();
                shared.idle.notify_all();
                return;
            }
        }
        pass(&shared, &mut writer, &mut waiting);
        if turn.is_wanted() {
            let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.append(&mut queue.requests);
            queue.requests = waiting;
            drop(queue);
            drop(writer);
            drop(halting);
            return turn.again(move |turn| run(shared, turn));
        }
    }
}

/// A panic is a bug of ours: what it left undone is unknown, so the store must not go on from it, and nobody may wait for
/// ever.
struct HaltOnPanic<'a>(&'a Shared);

impl Drop for HaltOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt("a panic while committing");
            let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.requests.clear();
            queue.end();
            self.0.idle.notify_all();
        }
    }
}

/// One group. Takes at least one request off `waiting`.
fn pass(shared: &Arc<Shared>, writer: &mut LogWriter, waiting: &mut VecDeque<Request>) {
    let mut order = Order::default();
    let mut accepted = Vec::new();
    let mut later = VecDeque::new();
    let mut bytes = GROUP_HEADER_BYTES;
    while let Some(request) = waiting.pop_front() {
        match request {
            Request::Append(append) => {
                if !accepted.is_empty() && bytes + append.encoded.len() > GROUP_BYTES_TARGET {
                    waiting.push_front(Request::Append(append));
                    break;
                }
                match order.rule(&append.claims, |path| shared.catalog().head(path)) {
                    Ruling::Accept => {
                        bytes += append.encoded.len();
                        accepted.push(append);
                    }
                    Ruling::Later => later.push_back(Request::Append(append)),
                    Ruling::Conflict { path, head, got } => answer_conflict(shared, append, path, head, got),
                }
            }
            // What a trim or delete refers to must be durable, and nothing may refer to what it changes before it is:
            // it is a group of its own.
            control if accepted.is_empty() && later.is_empty() => {
                commit_control(shared, writer, control);
                break;
            }
            control => {
                waiting.push_front(control);
                break;
            }
        }
    }
    while let Some(request) = later.pop_back() {
        waiting.push_front(request);
    }
    if !accepted.is_empty() {
        commit_appends(shared, writer, accepted);
    }
}

/// A conflict may be a retry of what is committed already: then it is answered as the first time.
/// To find that out may take many reads, so it is done elsewhere: the head it conflicts with is durable already.
fn answer_conflict(shared: &Arc<Shared>, append: Append, path: SegmentPath, head: Sequence, got: Sequence) {
    let own = Arc::clone(shared);
    shared.on_read_threads(move || {
        let outcome = match own.committed_before(&append.transaction) {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => Err(Rejection::Conflict { path, head, got }.into()),
            Err(error) => Err(Rejection::Storage(error).into()),
        };
        let _ = append.reply.send(outcome);
    });
}

fn commit_appends(shared: &Arc<Shared>, writer: &mut LogWriter, mut accepted: Vec<Append>) {
    let encoded = accepted.iter_mut().map(|append| &mut append.encoded);
    match commit_group(shared, writer, encoded) {
        Ok((first_number, timestamp)) => {
            for (number, append) in (first_number..).zip(accepted) {
                let trx = Trx {
                    id: append.transaction.id,
                    node: uuid::Uuid::nil(),
                    number,
                };
                let committed = shared.committed(trx, timestamp, &append.transaction);
                let _ = append.reply.send(Ok(committed));
            }
        }
        Err(error) => {
            for append in accepted {
                let _ = append.reply.send(Err(error.clone()));
            }
        }
    }
}

fn commit_control(shared: &Arc<Shared>, writer: &mut LogWriter, request: Request) {
    match request {
        Request::Append(_) => unreachable!("appends are committed by commit_appends"),
        Request::Trim { path, first, reply, .. } => {
            let outcome = trim(shared, writer, &path, first);
            let status = outcome.and_then(|()| {
                shared
                    .catalog()
                    .status(&path)
                    .ok_or_else(|| Rejection::NoSuchSequence(path.clone()).into())
            });
            send(reply, status);
        }
        Request::Delete { path, reply, .. } => {
            let outcome = match shared.catalog().find(&path).is_some() {
                false => Err(Rejection::NoSuchSequence(path).into()),
                true => Ok(Encoded::delete(&path)),
            };
            let outcome = outcome.and_then(|mut encoded| commit_group(shared, writer, [&mut encoded].into_iter()));
            send(reply, outcome.map(|_| ()));
        }
    }
}

fn send<T>(reply: Reply<T>, outcome: Result<T, AppendError>) {
    let _ = reply.send(outcome);
}

fn trim(shared: &Arc<Shared>, writer: &mut LogWriter, path: &SegmentPath, first: Sequence) -> Result<(), AppendError> {
    let status = shared
        .catalog()
        .status(path)
        .filter(|status| first <= status.last_sequence);
    let status = status.ok_or_else(|| Rejection::NoSuchSequence(path.clone()))?;
    if first <= status.first_sequence {
        return Ok(());
    }
    let run = shared.locate(path, first).map_err(Rejection::Storage)?;
    let (_, run) = run.ok_or_else(|| Rejection::NoSuchSequence(path.clone()))?;
    let mut encoded = Encoded::trim(path, first, run.timestamp);
    commit_group(shared, writer, [&mut encoded].into_iter()).map(|_| ())
}

/// Writes transactions as one group and makes them visible. Returns the first one's number, and their time.
fn commit_group<'a>(
    shared: &Arc<Shared>,
    writer: &mut LogWriter,
    transactions: impl Iterator<Item = &'a mut Encoded>,
) -> Result<(u64, Timestamp), AppendError> {
    writer.latch.check().map_err(Rejection::Storage)?;
    if !shared.opened.load(Ordering::Acquire) {
        open_for_writing(shared, writer)?;
    }
    let timestamp = shared.clock.now().max(writer.state.last_timestamp);
    let first_number = writer.state.trx_number + 1;
    let mut group = GROUP.take();
    LogWriter::start_group(&mut group);
    let mut number = first_number;
    for encoded in transactions {
        encoded.commit_into(number, timestamp, &mut group);
        number += 1;
    }
    let count = u32::try_from(number - first_number).expect("a group has fewer than 2^32 transactions");
    let at = make_room(shared, writer, group.len())
        .and_then(|()| writer.write(&mut group, count).map_err(AppendError::Indeterminate))?;
    writer.state.trx_number = number - 1;
    writer.state.last_timestamp = timestamp;
    publish(shared, writer, at, &group[GROUP_HEADER_BYTES..])?;
    if group.capacity() <= 2 * GROUP_BYTES_TARGET {
        GROUP.set(group);
    }
    shared.prepare_ahead(writer);
    Ok((first_number, timestamp))
}

/// The first group of an open: alone, and durable before any other, so that the epoch it starts is never used twice.
fn open_for_writing(shared: &Arc<Shared>, writer: &mut LogWriter) -> Result<(), AppendError> {
    if writer.open.is_none() {
        let made = writer.disk.create_dir(&writer.dir);
        made.map_err(|e| rejection(StorageError::io("create", &writer.dir, e)))?;
    }
    let mut group = Vec::new();
    LogWriter::start_group(&mut group);
    let timestamp = shared.clock.now().max(writer.state.last_timestamp);
    Encoded::open().commit_into(writer.state.trx_number + 1, timestamp, &mut group);
    make_room(shared, writer, group.len())?;
    writer.state.epoch += 1;
    writer.write(&mut group, 1).map_err(AppendError::Indeterminate)?;
    writer.state.trx_number += 1;
    writer.state.last_timestamp = timestamp;
    shared.opened.store(true, Ordering::Release);
    Ok(())
}

fn make_room(shared: &Arc<Shared>, writer: &mut LogWriter, group_bytes: usize) -> Result<(), AppendError> {
    if writer.fits(group_bytes) {
        return Ok(());
    }
    let sealed = writer.tail();
    let first = writer.open.is_none();
    writer.roll(group_bytes).map_err(rejection)?;
    shared.rolled(writer, (!first).then_some(sealed));
    Ok(())
}

/// A failure before anything of the group was written.
fn rejection(error: StorageError) -> AppendError {
    if error.is_full() {
        Rejection::DiskFull.into()
    } else {
        Rejection::Storage(error).into()
    }
}

/// Makes a durable group visible, all at once.
fn publish(shared: &Arc<Shared>, writer: &LogWriter, at: LogPosition, body: &[u8]) -> Result<(), AppendError> {
    let mut catalog = shared.catalog.write().unwrap_or_else(PoisonError::into_inner);
    let mut offset = 0;
    while offset < body.len() {
        let byte = at.byte + GROUP_HEADER_BYTES as u32 + offset as u32;
        let applied = open_transaction(&body[offset..]).and_then(|(header, transaction)| {
            catalog.apply(
                &header,
                transaction,
                LogPosition {
                    extent: at.extent,
                    byte,
                },
            )?;
            Ok(transaction.len())
        });
        match applied {
            Ok(length) => offset += length,
            // The rules were checked before the write, so this is a bug; the store must not go on from it.
            Err(error) => {
                let error = crate::log::recovery::corrupt(shared.id, at.extent, byte, error.to_string());
                let halted: Result<(), StorageError> = writer.latch.guard(|| Err(error.clone()));
                debug_assert!(halted.is_err(), "what was ruled acceptable can be applied: {error}");
                return Err(AppendError::Indeterminate(error));
            }
        }
    }
    drop(catalog);
    shared.tail.send_replace(writer.tail());
    Ok(())
}

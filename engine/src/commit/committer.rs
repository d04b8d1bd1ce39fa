//! Commits what is queued for a store, on a thread that may block: rules on it, makes one group after the other.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::flight::{self, Group};
use super::order::{Order, Ruling};
use super::queue::{Append, Reply, Request};
use crate::disk::blocks::Blocks;
use crate::error::{AppendError, Rejection, StorageError};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::transaction::Encoded;
use crate::log::writer::LogWriter;
use crate::model::{SegmentPath, Sequence};
use crate::shared::Shared;
use crate::waking::waking;
use crate::workers::Turn;

/// A group takes no further transaction once it has this many bytes: more would make its first producers wait longer
/// than they gain.
const GROUP_BYTES_TARGET: usize = 2 << 20;

thread_local! {
    /// The last group's buffer, kept for the next one of whatever store comes to this thread.
    static BLOCKS: std::cell::Cell<Blocks> = std::cell::Cell::default();
}

/// Whether anything is left in the queue, and somebody has to go on.
#[must_use]
pub(crate) enum Rest {
    None,
    Some,
}

/// Runs until the queue is empty, or another store waits for the thread: then this one comes again after it.
pub(crate) fn run(shared: Arc<Shared>, turn: &Turn<'_>) {
    if let Rest::Some = work(&shared, || !turn.is_wanted()) {
        turn.again(move |turn| run(shared, turn));
    }
}

/// Commits what is queued, group by group, as long as `goes_on()`. Only for who set [`Queue::running`](super::queue::Queue).
pub(crate) fn work(shared: &Arc<Shared>, goes_on: impl Fn() -> bool) -> Rest {
    let mut taken = GiveUpOnPanic::new(shared);
    let waiting = &mut taken.waiting;
    let mut writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if !shared.take_queued(waiting) {
            return Rest::None;
        }
        match select(shared, &mut Order::default(), waiting, |_| true) {
            Selected::Full => unreachable!("there is room for any group"),
            Selected::Appends { accepted, bytes } => commit_appends(shared, &mut writer, accepted, bytes),
            Selected::Control(control) => commit_control(shared, &mut writer, control),
            Selected::Nothing => {}
        }
        if !goes_on() && shared.put_back(waiting) {
            return Rest::Some;
        }
    }
}

/// A panic is a bug of ours: what it left undone is unknown, so the store must not go on from it, and nobody may wait for
/// ever. What was taken off the queue and not begun is refused with the rest.
struct GiveUpOnPanic<'a> {
    shared: &'a Shared,
    waiting: VecDeque<Request>,
}

impl<'a> GiveUpOnPanic<'a> {
    fn new(shared: &'a Shared) -> Self {
        let waiting = VecDeque::new();
        Self { shared, waiting }
    }
}

impl Drop for GiveUpOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.put_back(&mut self.waiting);
            self.shared.give_up("a panic while committing");
        }
    }
}

/// What the next group is of.
pub(crate) enum Selected {
    Appends {
        accepted: Vec<Append>,
        /// Bytes of the group.
        bytes: usize,
    },
    /// What a trim or delete refers to must be durable, and nothing may refer to what it changes before it is: it is a group
    /// of its own.
    Control(Request),
    /// What comes next does not fit the open extent.
    Full,
    /// What is left, if anything, waits for groups under way.
    Nothing,
}

/// Takes the next group's requests off `waiting`. `order` knows of the groups under way, `fits` what a group may take.
/// Those that do not fit what is durable are answered.
pub(crate) fn select(
    shared: &Arc<Shared>,
    order: &mut Order,
    waiting: &mut VecDeque<Request>,
    fits: impl Fn(usize) -> bool,
) -> Selected {
    let mut accepted = Vec::new();
    let mut later = VecDeque::new();
    let mut bytes = GROUP_HEADER_BYTES;
    let (mut control, mut full) = (None, false);
    while let Some(request) = waiting.pop_front() {
        match request {
            Request::Append(append) => {
                let grown = bytes + append.encoded.len();
                let large = !accepted.is_empty() && grown > GROUP_BYTES_TARGET;
                if large || !fits(grown) {
                    full = accepted.is_empty();
                    waiting.push_front(Request::Append(append));
                    break;
                }
                match order.rule(&append.claims, |path| shared.catalog().head(path)) {
                    Ruling::Accept => {
                        bytes = grown;
                        accepted.push(append);
                    }
                    Ruling::Later => later.push_back(Request::Append(append)),
                    Ruling::Conflict { path, head, got } => answer_conflict(shared, append, path, head, got),
                }
            }
            request if accepted.is_empty() && later.is_empty() => {
                control = Some(request);
                break;
            }
            request => {
                waiting.push_front(request);
                break;
            }
        }
    }
    while let Some(request) = later.pop_back() {
        waiting.push_front(request);
    }
    match control {
        Some(control) => Selected::Control(control),
        None if full => Selected::Full,
        None if accepted.is_empty() => Selected::Nothing,
        None => Selected::Appends { accepted, bytes },
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
            Err(error) => Err(Rejection::Storage(own.naming_segments(error, None)).into()),
        };
        append.answer(outcome);
    });
}

fn commit_appends(shared: &Arc<Shared>, writer: &mut LogWriter, mut accepted: Vec<Append>, bytes: usize) {
    if let Err(error) = make_ready(shared, writer, bytes) {
        for append in accepted {
            append.answer(Err(error.clone()));
        }
        return;
    }
    let earliest = flight::earliest(shared, writer, &accepted);
    let encoded = accepted.iter_mut().map(|append| &mut append.encoded);
    let group = Group::make(shared, writer, BLOCKS.take(), encoded, earliest);
    let outcome = write(shared, writer, &group).map_err(AppendError::Indeterminate);
    flight::answer(shared, &group, accepted, &outcome);
    if group.blocks.capacity() <= 2 * GROUP_BYTES_TARGET {
        BLOCKS.set(group.blocks);
    }
}

fn write(shared: &Arc<Shared>, writer: &mut LogWriter, group: &Group) -> Result<(), StorageError> {
    let pending = &group.pending;
    let written = pending.file.write(pending.offset, &group.blocks);
    writer.durable(pending, written)?;
    group.landed(shared, writer)
}

/// Sees to it that a group of these bytes can be written: this open's epoch has begun, and there is room.
///
/// # Errors
/// [`AppendError::Rejected`]: whatever fails here, the group is not begun.
fn make_ready(shared: &Arc<Shared>, writer: &mut LogWriter, bytes: usize) -> Result<(), AppendError> {
    let made = writer.place.latch.check().and_then(|()| {
        if !shared.opened.load(Ordering::Acquire) {
            open_for_writing(shared, writer)?;
        }
        make_room(shared, writer, bytes)
    });
    // A store that halts and a full disk have their own lines in the log.
    let untold = |error: &&StorageError| matches!(error, StorageError::Io { .. }) && !error.is_full();
    let halted = writer.place.latch.check().is_err();
    writer.note_refusal(made.as_ref().err().filter(untold).filter(|_| !halted));
    made.map_err(flight::rejection)
}

/// The first group of an open: alone, and durable before any other, so that the epoch it starts is never used twice.
fn open_for_writing(shared: &Arc<Shared>, writer: &mut LogWriter) -> Result<(), StorageError> {
    if writer.open.is_none() {
        let made = writer.place.disk.create_dir(&writer.place.dir);
        made.map_err(|e| StorageError::io("create", &writer.place.dir, e))?;
    }
    let mut opening = Encoded::open();
    make_room(shared, writer, GROUP_HEADER_BYTES + opening.len())?;
    writer.state.epoch += 1;
    let earliest = writer.state.last_timestamp;
    let group = Group::make(
        shared,
        writer,
        Blocks::default(),
        std::iter::once(&mut opening),
        earliest,
    );
    write(shared, writer, &group)?;
    shared.note_method(writer);
    shared.opened.store(true, Ordering::Release);
    Ok(())
}

fn make_room(shared: &Arc<Shared>, writer: &mut LogWriter, group_bytes: usize) -> Result<(), StorageError> {
    if writer.fits(group_bytes) {
        return Ok(());
    }
    let sealed = writer.tail();
    let first = writer.open.is_none();
    writer.roll(group_bytes)?;
    shared.rolled(writer, (!first).then_some(sealed));
    Ok(())
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
            send(reply, outcome.and_then(|encoded| commit_alone(shared, writer, encoded)));
        }
    }
}

fn send<T>(reply: Reply<T>, outcome: Result<T, AppendError>) {
    waking(|| {
        let _ = reply.send(outcome);
    });
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
    commit_alone(shared, writer, Encoded::trim(path, first, run.timestamp))
}

fn commit_alone(shared: &Arc<Shared>, writer: &mut LogWriter, mut encoded: Encoded) -> Result<(), AppendError> {
    make_ready(shared, writer, GROUP_HEADER_BYTES + encoded.len())?;
    let earliest = writer.state.last_timestamp;
    let group = Group::make(
        shared,
        writer,
        Blocks::default(),
        std::iter::once(&mut encoded),
        earliest,
    );
    write(shared, writer, &group).map_err(AppendError::Indeterminate)
}

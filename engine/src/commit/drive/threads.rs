//! Commits a store's queue on a thread that may block: one group after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::commit::committer::StoreCommitter;
use crate::commit::control::commit_control;
use crate::commit::group::{self, Group};
use crate::commit::order::CommitOrder;
use crate::commit::queue::{Append, Request};
use crate::commit::ready::make_ready;
use crate::commit::select::{GROUP_BYTES_TARGET, Selected, select};
use crate::disk::blocks::Blocks;
use crate::error::AppendError;
use crate::log::writer::LogWriter;
use crate::runtime::workers::Turn;

thread_local! {
    /// The last group's buffer, kept for the next group of any store.
    static BLOCKS: std::cell::Cell<Blocks> = std::cell::Cell::default();
}

/// Whether the queue still has requests, and a driver must continue.
#[must_use]
pub(crate) enum QueueLeft {
    Nothing,
    Work,
}

/// Runs until the queue is empty, or another store waits for the thread; then this store gets another turn after it.
pub(crate) fn run(committer: Arc<StoreCommitter>, turn: &Turn<'_>) {
    if let QueueLeft::Work = work(&committer, || !turn.is_wanted()) {
        turn.again(move |turn| run(committer, turn));
    }
}

/// Commits what is queued, group by group, as long as `goes_on()`. Only for who set [`Queue::running`](crate::commit::queue::CommitQueue).
pub(crate) fn work(committer: &StoreCommitter, goes_on: impl Fn() -> bool) -> QueueLeft {
    let mut taken = GiveUpOnPanic::new(committer);
    let waiting = &mut taken.waiting;
    let mut writer = committer.log.writer();
    loop {
        if !committer.take_queued(waiting) {
            return QueueLeft::Nothing;
        }
        match select(&committer.log, &mut CommitOrder::default(), waiting, |_| true) {
            Selected::Full => unreachable!("there is room for any group"),
            Selected::Appends { accepted, bytes } => commit_appends(committer, &mut writer, accepted, bytes),
            Selected::Control(control) => commit_control(committer, &mut writer, control),
            Selected::Nothing => {}
        }
        if !goes_on() && committer.put_back(waiting) {
            return QueueLeft::Work;
        }
    }
}

/// A panic is a bug of ours. Its half-done work has an unknown outcome, so the store halts, and nobody may wait for
/// ever. Requests taken off the queue and not begun are refused with the rest.
struct GiveUpOnPanic<'a> {
    committer: &'a StoreCommitter,
    waiting: VecDeque<Request>,
}

impl<'a> GiveUpOnPanic<'a> {
    fn new(committer: &'a StoreCommitter) -> Self {
        let waiting = VecDeque::new();
        Self { committer, waiting }
    }
}

impl Drop for GiveUpOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.committer.put_back(&mut self.waiting);
            self.committer.give_up("a panic while committing");
        }
    }
}

fn commit_appends(committer: &StoreCommitter, writer: &mut LogWriter, mut accepted: Vec<Append>, bytes: usize) {
    if let Err(error) = make_ready(committer, writer, bytes) {
        for append in accepted {
            append.answer(Err(error.clone()));
        }
        return;
    }
    let earliest = group::earliest(&committer.log, writer, &accepted);
    let encoded = accepted.iter_mut().map(|append| &mut append.encoded);
    let group = Group::make(&committer.log, writer, BLOCKS.take(), encoded, earliest);
    let outcome = group::write(&committer.log, writer, &group).map_err(AppendError::Indeterminate);
    group::answer(&committer.log, &group, accepted, &outcome);
    if group.blocks.capacity() <= 2 * GROUP_BYTES_TARGET {
        BLOCKS.set(group.blocks);
    }
}

//! One store on the I/O thread: its groups under way, which land in the order they were made, and the next one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit::committer::StoreCommitter;
use crate::commit::group::{self, Group};
use crate::commit::order::CommitOrder;
use crate::commit::queue::{Append, Request};
use crate::commit::select::{Selected, select};
use crate::disk::blocks::{Blocks, SpareBlocks};
use crate::disk::{EndedWrite, LogFile, WriteOutcome};
use crate::error::AppendError;
use crate::limits::BLOCK_BYTES;

/// Most groups of one store under way at a time: more were no faster (docs/decisions/2026-11-25-commit-path.md).
const GROUPS_MAX: usize = 4;

/// A group beside others under way starts on a fresh block, which pads the one before. It is made once it has bytes
/// for a block of its own, so that at most half of the log is padding.
const FRESH_BYTES_MIN: usize = BLOCK_BYTES;

/// A group under way.
pub(super) struct PendingGroup {
    ticket: u64,
    /// Its number in the store's [`CommitOrder`].
    formed: u64,
    group: Group,
    accepted: Vec<Append>,
    written: Option<WriteOutcome>,
}

impl PendingGroup {
    pub(super) fn is_one_transaction(&self) -> bool {
        self.accepted.len() == 1
    }

    /// The write: its blocks come back with [`Pipeline::written`].
    pub(super) fn take_write(&mut self, ticket: u64) -> (Arc<dyn LogFile>, u64, Blocks) {
        self.ticket = ticket;
        let pending = &self.group.pending;
        let (file, offset) = (Arc::clone(&pending.file), pending.offset);
        (file, offset, std::mem::take(&mut self.group.blocks))
    }
}

/// Groups that a panic left undone have an unknown outcome: the store must not continue from them.
struct HaltOnPanic<'a> {
    committer: &'a StoreCommitter,
    /// Taken off its queue, and not begun.
    waiting: VecDeque<Request>,
}

impl<'a> HaltOnPanic<'a> {
    fn new(committer: &'a StoreCommitter) -> Self {
        let waiting = VecDeque::new();
        Self { committer, waiting }
    }
}

impl Drop for HaltOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.committer.log.latch.halt(PANIC);
            self.committer.put_back(&mut self.waiting);
        }
    }
}

/// The reason a store halts after a bug of the I/O thread.
pub(super) const PANIC: &str = "a panic of the I/O thread";

/// The next step for a store.
pub(super) enum Next {
    /// Write a group.
    Write(PendingGroup),
    /// Wait until a group under way has landed, or more is queued.
    Wait,
    /// Nothing: no driver has its queue.
    Rest,
    /// Work that takes longer.
    Slow,
}

/// A store whose queue the I/O thread has.
pub(super) struct Pipeline {
    pub(super) committer: Arc<StoreCommitter>,
    order: CommitOrder,
    /// Oldest first.
    under_way: VecDeque<PendingGroup>,
    /// Bytes of the last group made.
    last_bytes: usize,
}

impl Pipeline {
    pub(super) fn new(committer: Arc<StoreCommitter>) -> Self {
        Self {
            committer,
            order: CommitOrder::default(),
            under_way: VecDeque::new(),
            last_bytes: 0,
        }
    }

    /// Makes the next group in a spare buffer, if it is due and possible at once.
    pub(super) fn next(&mut self, spare: &mut SpareBlocks) -> Next {
        let committer = Arc::clone(&self.committer);
        let mut taken = HaltOnPanic::new(&committer);
        let waiting = &mut taken.waiting;
        if !self.under_way.is_empty() && !self.is_time() {
            return Next::Wait;
        }
        let mut writer = committer.log.writer();
        let at_once = committer.log.has_begun.load(Ordering::Acquire)
            && !committer.by_threads.load(Ordering::Relaxed)
            && writer.folder.latch.check().is_ok();
        loop {
            let settled = self.under_way.is_empty();
            if settled && !committer.take_queued(waiting) {
                return Next::Rest;
            }
            if !settled && !committer.take_some(waiting) {
                return Next::Wait;
            }
            let not_now = if settled { Next::Slow } else { Next::Wait };
            if !at_once {
                committer.put_back(waiting);
                return not_now;
            }
            match select(&committer.log, &mut self.order, waiting, |bytes| writer.fits(bytes)) {
                Selected::Nothing if waiting.is_empty() => {}
                Selected::Nothing => {
                    assert!(
                        !settled,
                        "with nothing under way, something of what is queued goes next"
                    );
                    committer.put_back(waiting);
                    return Next::Wait;
                }
                Selected::Full => {
                    committer.put_back(waiting);
                    return not_now;
                }
                Selected::Control(control) => {
                    waiting.push_front(control);
                    committer.put_back(waiting);
                    return not_now;
                }
                Selected::Appends { mut accepted, bytes } => {
                    committer.put_back(waiting);
                    let earliest = group::earliest(&committer.log, &writer, &accepted);
                    let encoded = accepted.iter_mut().map(|append| &mut append.encoded);
                    let blocks = spare.take();
                    let group = Group::make(&committer.log, &mut writer, blocks, encoded, earliest);
                    writer.note_refusal(None);
                    self.last_bytes = bytes;
                    return Next::Write(PendingGroup {
                        ticket: 0,
                        formed: self.order.formed(),
                        group,
                        accepted,
                        written: None,
                    });
                }
            }
        }
    }

    /// Whether another group beside those under way is worth it. With few producers it would only make more and
    /// smaller groups, so it needs half the bytes of the last one.
    fn is_time(&self) -> bool {
        let mut queue = self.committer.queue();
        if self.under_way.len() >= GROUPS_MAX {
            queue.call_nobody();
            return false;
        }
        queue.holds_or_calls(FRESH_BYTES_MIN.max(self.last_bytes / 2))
    }

    /// The next step after a panic, which has halted the store.
    pub(super) fn after_panic(&self) -> Next {
        if self.under_way.is_empty() {
            self.committer.give_up(PANIC);
            Next::Rest
        } else {
            Next::Wait
        }
    }

    /// Nothing of it is under way or half made, so another driver can take it.
    pub(super) fn is_settled(&self) -> bool {
        let writer = self.committer.log.writer();
        self.under_way.is_empty() && writer.is_settled()
    }

    /// Ends it now: groups under way have an unknown outcome, the rest was not written.
    pub(super) fn give_up(self, cause: &str) {
        self.committer.log.latch.halt(cause);
        if let Err(halted) = self.committer.log.latch.check() {
            for append in self.under_way.into_iter().flat_map(|pending| pending.accepted) {
                append.answer(Err(AppendError::Indeterminate(halted.clone())));
            }
        }
        self.committer.give_up(cause);
    }

    /// A group is under way, or written.
    pub(super) fn start(&mut self, pending: PendingGroup) {
        self.under_way.push_back(pending);
    }

    /// Writes the one group under way on this thread.
    pub(super) fn write_alone(&mut self) {
        if let Some(pending) = self.under_way.back_mut() {
            let write = &pending.group.pending;
            let written = write.file.write(write.offset, &pending.group.blocks);
            pending.written = Some(WriteOutcome::Made(written));
        }
    }

    /// A write has ended.
    pub(super) fn written(&mut self, ended: EndedWrite) {
        let pending = self.under_way.iter_mut().find(|pending| pending.ticket == ended.ticket);
        if let Some(pending) = pending {
            pending.group.blocks = ended.blocks;
            pending.written = Some(ended.outcome);
        }
    }

    /// The oldest group, if its write has ended.
    pub(super) fn take_landing(&mut self) -> Option<PendingGroup> {
        self.under_way.pop_front_if(|pending| pending.written.is_some())
    }

    /// Lands a group: durable, visible, answered. Returns its buffer.
    pub(super) fn land(&mut self, pending: PendingGroup) -> Blocks {
        let committer = &self.committer;
        let _halting = HaltOnPanic::new(committer);
        let written = pending.written.expect("only groups that are written land");
        let mut writer = committer.log.writer();
        // After a failure no later group counts, written or not; the latch says so.
        let durable = match written {
            WriteOutcome::Made(written) => {
                let durable = pending.group.confirm(&committer.log, &writer, written);
                durable.map_err(AppendError::Indeterminate)
            }
            WriteOutcome::NotBegun => {
                writer.folder.latch.halt("the queue of writes broke before it");
                writer.folder.latch.check().map_err(group::rejection)
            }
        };
        let outcome = durable.and_then(|()| {
            let landed = pending.group.landed(&committer.log, &mut writer);
            landed.map_err(AppendError::Indeterminate)
        });
        drop(writer);
        if self.under_way.is_empty() {
            self.order = CommitOrder::default();
        } else {
            let claims = pending.accepted.iter().flat_map(|append| &append.claims);
            self.order.landed(pending.formed, claims);
        }
        group::answer(&committer.log, &pending.group, pending.accepted, &outcome);
        pending.group.blocks
    }
}

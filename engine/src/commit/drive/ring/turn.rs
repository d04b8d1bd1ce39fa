//! One turn of the I/O thread: makes and starts what is ready, lands what has ended.

use super::{Loop, Reason, UNSUBMITTED_BYTES_MAX, UNSUBMITTED_MAX, WRITES_MAX};
use crate::commit::committer::StoreCommitter;
use crate::commit::drive::pipeline::{Next, Pipeline};
use crate::commit::drive::threads::{self, QueueLeft};
use crate::disk::BrokenQueue;
use crate::disk::blocks::SpareBlocks;
use crate::runtime::sync::atomic::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl Loop {
    pub(super) fn turn(&mut self) -> Result<(), BrokenQueue> {
        while self.tickets.len() < WRITES_MAX
            && let Some((committer, why)) = self.ready.pop_front()
        {
            self.look_at(committer, why);
        }
        if self.tickets.is_empty() {
            return Ok(());
        }
        self.land_some()
    }

    /// Starts as many writes of a store as make sense now.
    pub(super) fn look_at(&mut self, committer: Arc<StoreCommitter>, why: Reason) {
        let key = Arc::as_ptr(&committer).addr();
        let pipeline = match why {
            Reason::Start => self.pipelines.entry(key).or_insert_with(|| Pipeline::new(committer)),
            Reason::Look => match self.pipelines.get_mut(&key) {
                Some(pipeline) => pipeline,
                None => return,
            },
        };
        while self.tickets.len() < WRITES_MAX {
            // A panic halts the store it came from; the thread goes on for the others.
            let next = catch_unwind(AssertUnwindSafe(|| pipeline.next(&mut self.blocks)));
            match next.unwrap_or_else(|_| pipeline.after_panic()) {
                Next::Wait => return,
                Next::Rest => {
                    self.pipelines.remove(&key);
                    return;
                }
                Next::Slow => {
                    if let Some(pipeline) = self.pipelines.remove(&key) {
                        self.hand_over(pipeline.committer);
                    }
                    return;
                }
                Next::Write(mut pending) => {
                    // With nothing else to do, a plain write is cheaper than the ring.
                    let lone = pending.is_one_transaction()
                        && self.tickets.is_empty()
                        && self.ready.is_empty()
                        && !self.inbox.is_filled();
                    if std::mem::replace(&mut self.lonely, lone) && lone {
                        pipeline.start(pending);
                        pipeline.write_alone();
                        Self::land(pipeline, &mut self.blocks);
                        continue;
                    }
                    let ticket = self.next_ticket;
                    self.next_ticket += 1;
                    let (file, offset, blocks) = pending.take_write(ticket);
                    let (writes, bytes) = self.unsubmitted;
                    self.unsubmitted = (writes + 1, bytes + blocks.len());
                    // Noted first: whatever happens then, it is known to be under way.
                    pipeline.start(pending);
                    self.tickets.insert(ticket, key);
                    self.queue.start(ticket, file, offset, blocks);
                    if self.unsubmitted.0 >= UNSUBMITTED_MAX || self.unsubmitted.1 >= UNSUBMITTED_BYTES_MAX {
                        self.queue.submit();
                        self.unsubmitted = (0, 0);
                    }
                }
            }
        }
        self.ready.push_back((Arc::clone(&pipeline.committer), Reason::Look));
    }

    pub(super) fn hand_over(&self, committer: Arc<StoreCommitter>) {
        let inbox = Arc::clone(&self.inbox);
        self.slow.spawn_in_turns(move |turn| {
            let QueueLeft::Work = threads::work(&committer, || false) else {
                return;
            };
            if committer.by_threads.load(Ordering::Relaxed) {
                return turn.again(move |turn| threads::run(committer, turn));
            }
            if let Some((committer, _)) = inbox.push((committer, Reason::Start)) {
                // The I/O thread is no more.
                let _ = threads::work(&committer, || true);
            }
        });
    }

    pub(super) fn land_some(&mut self) -> Result<(), BrokenQueue> {
        let mut ended = std::mem::take(&mut self.ended);
        let more = !self.ready.is_empty() && self.tickets.len() < WRITES_MAX;
        let waits = !more && self.inbox.may_wait_for_write();
        // Also without a wait: the device gets what it has not, and what has ended is not kept waiting by what comes in.
        let reaped = self.queue.reap(waits, &mut ended);
        self.unsubmitted = (0, 0);
        if waits {
            self.inbox.works();
        }
        for ended in ended.drain(..) {
            let Some(pipeline) = self
                .tickets
                .remove(&ended.ticket)
                .and_then(|key| self.pipelines.get_mut(&key))
            else {
                continue;
            };
            pipeline.written(ended);
            if Self::land(pipeline, &mut self.blocks) {
                self.ready.push_back((Arc::clone(&pipeline.committer), Reason::Look));
            }
        }
        self.ended = ended;
        reaped
    }

    /// Lands what may be of a store; whether anything did.
    pub(super) fn land(pipeline: &mut Pipeline, spare: &mut SpareBlocks) -> bool {
        let mut landed = false;
        while let Some(pending) = pipeline.take_landing() {
            landed = true;
            // As above: the store is halted, and what is under way for it comes here too.
            let _ = catch_unwind(AssertUnwindSafe(|| pipeline.land(pending))).map(|blocks| spare.put(blocks));
        }
        landed
    }
}

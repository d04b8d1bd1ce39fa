//! The I/O thread: commits for all stores, with many of their writes under way at a time. Work that takes longer than
//! making a group (the first group of an open, a new extent, trims and deletes) goes to the commit threads; the I/O
//! thread continues with the store when they are done. [`super::pipeline`] has the groups under way of each store.

mod turn;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::mailbox::Mailbox;
use super::pipeline::{PANIC, Pipeline};
use super::threads::{self};
use crate::commit::committer::StoreCommitter;
use crate::disk::blocks::SpareBlocks;
use crate::disk::{BrokenQueue, Disk, DiskLock, EndedWrite, WriteQueue};
use crate::runtime::pace::Pace;
use crate::runtime::stepper::{Stepper, Steps};
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::thread::{self, JoinHandle};
use crate::runtime::sync::{Instant, Mutex, mpsc};
use crate::runtime::workers::Workers;

/// Most writes under way at a time: as many as a device can be expected to work on.
const WRITES_MAX: usize = 128;

/// Groups, and their bytes, that may wait for others before the device gets them: so few that nobody notices, so many
/// that one system call takes several when many stores work (docs/decisions/2026-11-27-io-thread.md).
const UNSUBMITTED_MAX: usize = 8;
const UNSUBMITTED_BYTES_MAX: usize = 64 << 10;

/// Why the thread looks at a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The thread has its queue from now on.
    Start,
    /// Something changed. Ignored if the thread no longer has its queue.
    Look,
}

/// Stores that have something to commit.
type Ready = VecDeque<(Arc<StoreCommitter>, Reason)>;

type StoreMailbox = Mailbox<(Arc<StoreCommitter>, Reason)>;

/// The thread. Dropping it waits for writes under way, then ends the thread.
pub(crate) struct IoThread {
    inbox: Arc<StoreMailbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stepper: Option<Arc<Mutex<Loop>>>,
    /// Writes are under way whose end nobody will learn.
    leaves_writes: Arc<AtomicBool>,
}

impl IoThread {
    /// Starts it, if the disk has a queue for concurrent writes. `slow` gets work that takes longer.
    ///
    /// # Errors
    /// Why there is no such queue; commit threads then do the work.
    pub(crate) fn spawn(
        disk: Arc<dyn Disk>,
        lock: &dyn DiskLock,
        slow: &Arc<Workers>,
        look: Duration,
        stepper: Option<&Stepper>,
    ) -> std::io::Result<Option<Self>> {
        let held = lock.file().map(File::try_clone).transpose()?;
        let (send, receive) = mpsc::channel();
        let slow = Arc::clone(slow);
        let leaves_writes = Arc::new(AtomicBool::new(false));
        let leaves = Arc::clone(&leaves_writes);
        let make = move || -> std::io::Result<Option<Loop>> {
            let Some(queue) = disk.write_queue(held)? else {
                return Ok(None);
            };
            let inbox = Arc::new(Mailbox::new(queue.waker(), look));
            Ok(Some(Loop::new(queue, inbox, slow, leaves)))
        };
        if let Some(stepper) = stepper {
            let Some(own) = make()? else { return Ok(None) };
            let inbox = Arc::clone(&own.inbox);
            let own = Arc::new(Mutex::new(own));
            stepper.add(&own);
            return Ok(Some(Self {
                inbox,
                thread: Mutex::default(),
                stepper: Some(own),
                leaves_writes,
            }));
        }
        // The thread that uses the queue creates it.
        let thread = thread::Builder::new()
            .name("sk-io".to_owned())
            .spawn(move || match make() {
                Ok(Some(own)) => {
                    if send.send(Ok(Some(Arc::clone(&own.inbox)))).is_ok() {
                        own.run_to_the_end();
                    }
                }
                other => drop(send.send(other.map(|_| None))),
            })?;
        let answer = receive.recv().map_err(std::io::Error::other)?;
        Ok(answer?.map(|inbox| Self {
            inbox,
            thread: Mutex::new(Some(thread)),
            stepper: None,
            leaves_writes,
        }))
    }

    /// Whether it takes stores. One that failed does not.
    pub(crate) fn is_at_work(&self) -> bool {
        !self.inbox.is_closed()
    }

    /// Whether writes are under way whose end nobody will learn: they may reach the device while this process lives.
    pub(crate) fn leaves_writes(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.leaves_writes)
    }

    /// Waits for writes under way, ends the thread, and releases its queue. Later items are given back.
    pub(crate) fn end(&self) {
        self.inbox.end();
        if let Some(own) = &self.stepper {
            while own.is_waiting() {
                own.run_one();
            }
            drop(self.inbox.close());
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }

    /// Works on a store's queue. Only for the caller that set [`Queue::running`](crate::commit::queue::CommitQueue).
    /// Gives the store back if the thread has ended.
    pub(crate) fn start(&self, committer: Arc<StoreCommitter>) -> Option<Arc<StoreCommitter>> {
        self.inbox
            .push((committer, Reason::Start))
            .map(|(committer, _)| committer)
    }

    /// Looks at a store's queue again.
    pub(crate) fn call(&self, committer: Arc<StoreCommitter>) {
        let _ = self.inbox.push((committer, Reason::Look));
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// A store under way, by its address, which stays the same for that time.
type Key = usize;

struct Loop {
    queue: Box<dyn WriteQueue>,
    inbox: Arc<StoreMailbox>,
    slow: Arc<Workers>,
    ready: Ready,
    pipelines: HashMap<Key, Pipeline>,
    /// The store of each write.
    tickets: HashMap<u64, Key>,
    next_ticket: u64,
    /// Writes started and perhaps not yet with the device, and their bytes.
    unsubmitted: (usize, usize),
    /// The last group was a single transaction, with no other group under way.
    lonely: bool,
    blocks: SpareBlocks,
    ended: Vec<EndedWrite>,
    pace: Pace,
    leaves_writes: Arc<AtomicBool>,
}

impl Steps for Mutex<Loop> {
    fn is_waiting(&self) -> bool {
        let own = self.lock().unwrap_or_else(PoisonError::into_inner);
        own.inbox.holds_any() || !own.ready.is_empty() || !own.tickets.is_empty()
    }

    fn run_one(&self) {
        let mut own = self.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &mut *own;
        own.inbox.take(&mut own.ready);
        if let Err(broken) = own.turn() {
            own.leave(Some(&broken));
        }
    }
}

impl Loop {
    fn new(
        queue: Box<dyn WriteQueue>,
        inbox: Arc<StoreMailbox>,
        slow: Arc<Workers>,
        leaves_writes: Arc<AtomicBool>,
    ) -> Self {
        Self {
            queue,
            inbox,
            slow,
            ready: VecDeque::new(),
            pipelines: HashMap::new(),
            tickets: HashMap::new(),
            next_ticket: 0,
            unsubmitted: (0, 0),
            lonely: true,
            blocks: SpareBlocks::default(),
            ended: Vec::new(),
            pace: Pace::default(),
            leaves_writes,
        }
    }

    /// However the thread ends, nobody waits for it for ever.
    fn run_to_the_end(mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok(Ok(())) => {}
            Ok(Err(broken)) => self.leave(Some(&broken)),
            Err(_) => self.leave(None),
        }
    }

    fn run(&mut self) -> Result<(), BrokenQueue> {
        loop {
            self.inbox.take(&mut self.ready);
            if self.ready.is_empty() && self.tickets.is_empty() {
                self.pace.ended(Instant::now());
                if !self.inbox.wait(&self.pace, &mut self.ready) {
                    return Ok(());
                }
                self.pace.began(Instant::now());
            }
            self.turn()?;
        }
    }

    /// The thread cannot continue: its queue broke, or without a cause, a panic came. Every store goes to the commit
    /// threads, except those with half-done work.
    fn leave(&mut self, broken: Option<&BrokenQueue>) {
        match broken {
            Some(broken) => tracing::error!(
                cause = %broken.cause,
                "io_uring is of no use any more: stores with a write under way accept no more, the others commit with threads"
            ),
            None => tracing::error!(
                "the I/O thread was ended by a bug: stores with a write under way accept no more, the others commit with threads"
            ),
        }
        // Nobody gets an answer about a group before the device is done with it, as far as that is known.
        let finished = catch_unwind(AssertUnwindSafe(|| self.queue.finish()));
        let known = matches!(&finished, Ok(Ok(()))) || matches!(&finished, Ok(Err(broken)) if !broken.leaves_writes);
        if !known {
            self.leaves_writes.store(true, Ordering::Release);
        }
        self.tickets.clear();
        let cause = broken.map_or(PANIC.to_owned(), |broken| broken.cause.to_string());
        for (_, pipeline) in self.pipelines.drain() {
            if pipeline.is_settled() {
                Self::on_threads(&self.slow, pipeline.committer);
            } else {
                pipeline.give_up(&cause);
            }
        }
        let ready = self.ready.drain(..).chain(self.inbox.close());
        for (committer, why) in ready {
            // The remaining items are among those above, or have no owner any more.
            if why == Reason::Start {
                Self::on_threads(&self.slow, committer);
            }
        }
    }

    fn on_threads(threads: &Workers, committer: Arc<StoreCommitter>) {
        threads.spawn_in_turns(move |turn| threads::run(committer, turn));
    }
}

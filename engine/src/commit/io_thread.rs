//! One thread that commits for all stores, with many of their writes under way at a time. What takes longer than making a
//! group (the first group of an open, a new extent, trims and deletes) it hands to the commit threads, and goes on with the
//! store when they have done it.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::committer::{self, HaltOnPanic, Rest, Selected, select};
use super::flight::{self, Group};
use super::queue::{Append, Request};
use crate::disk::blocks::Blocks;
use crate::disk::{Disk, Ended, Waker, WriteQueue};
use crate::error::AppendError;
use crate::pace::Pace;
use crate::shared::Shared;
use crate::workers::Workers;

/// Writes under way at a time: as many as a device can be expected to work on.
const FLIGHTS_MAX: usize = 128;
/// Buffers kept for the next groups, each of at most [`SPARE_BLOCKS_BYTES`].
const SPARE_BLOCKS: usize = 64;
const SPARE_BLOCKS_BYTES: usize = 64 << 10;

/// Where the thread is, for whoever has something for it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// It looks into the inbox by itself before it waits.
    #[default]
    Work,
    /// It waits for the inbox.
    Inbox,
    /// It waits for a write to end.
    Queue,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Shared>>,
    at: At,
    ending: bool,
}

/// Stores that have something to commit.
struct Inbox {
    state: Mutex<State>,
    /// There is something, for whoever looks without the lock.
    filled: AtomicBool,
    arrived: Condvar,
    waker: Arc<dyn Waker>,
    look: Duration,
}

/// The thread. Dropping it ends what is under way, then the thread.
pub(crate) struct IoThread {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl IoThread {
    /// Starts it, if the disk has a queue for many writes. `slow` gets what takes longer.
    ///
    /// # Errors
    /// Why there is no such queue: the portable way is then the way.
    pub(crate) fn start(disk: Arc<dyn Disk>, slow: &Arc<Workers>, look: Duration) -> std::io::Result<Option<Self>> {
        let (send, receive) = mpsc::channel();
        let slow = Arc::clone(slow);
        // The queue is made by the thread that uses it.
        let thread = std::thread::Builder::new().name("sk-io".to_owned()).spawn(move || {
            let queue = match disk.write_queue() {
                Ok(Some(queue)) => queue,
                other => return drop(send.send(other.map(|_| None))),
            };
            let inbox = Arc::new(Inbox {
                state: Mutex::default(),
                filled: AtomicBool::new(false),
                arrived: Condvar::new(),
                waker: queue.waker(),
                look,
            });
            let started = send.send(Ok(Some(Arc::clone(&inbox))));
            if started.is_ok() {
                Loop::new(queue, inbox, slow).run();
            }
        })?;
        let answer = receive.recv().map_err(std::io::Error::other)?;
        Ok(answer?.map(|inbox| Self {
            inbox,
            thread: Some(thread),
        }))
    }

    /// Works on a store's queue. Only for who set [`Queue::running`](super::queue::Queue).
    pub(crate) fn commit(&self, shared: Arc<Shared>) {
        self.inbox.push(shared);
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.inbox.end();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, shared: Arc<Shared>) {
        let mut state = self.lock();
        state.ready.push_back(shared);
        self.filled.store(true, Ordering::Release);
        self.notify(state);
    }

    fn end(&self) {
        let mut state = self.lock();
        state.ending = true;
        self.filled.store(true, Ordering::Release);
        self.notify(state);
    }

    fn notify(&self, mut state: MutexGuard<'_, State>) {
        // Once is enough until it has come to look.
        let at = std::mem::take(&mut state.at);
        drop(state);
        match at {
            At::Work => {}
            At::Inbox => self.arrived.notify_one(),
            At::Queue => self.waker.wake(),
        }
    }

    /// Moves what is there to `ready`.
    fn take(&self, ready: &mut VecDeque<Arc<Shared>>) {
        if self.filled.load(Ordering::Acquire) {
            let mut state = self.lock();
            ready.append(&mut state.ready);
            self.filled.store(false, Ordering::Release);
        }
    }

    /// Waits until something is there; `false` at the end. Looks for it for a moment first, if that has been worth it.
    fn wait(&self, pace: &Pace, ready: &mut VecDeque<Arc<Shared>>) -> bool {
        let since = Instant::now();
        if pace.is_worth_looking(self.look) {
            crate::pace::look(since, self.look, || self.filled.load(Ordering::Acquire));
        }
        let mut state = self.lock();
        loop {
            ready.append(&mut state.ready);
            self.filled.store(false, Ordering::Release);
            if !ready.is_empty() {
                state.at = At::Work;
                return true;
            }
            if state.ending {
                return false;
            }
            state.at = At::Inbox;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that the thread is about to wait for a write; `false` if it must not, since something is there.
    fn may_wait_for_write(&self) -> bool {
        let mut state = self.lock();
        let may = state.ready.is_empty();
        if may {
            state.at = At::Queue;
        }
        may
    }

    fn works(&self) {
        self.lock().at = At::Work;
    }
}

/// A group under way.
struct Flight {
    shared: Arc<Shared>,
    group: Group,
    accepted: Vec<Append>,
}

/// What becomes of a store that is ready.
enum Next {
    Fly(Flight),
    /// Nothing is left to do for it.
    Rest,
    Slow(Arc<Shared>),
}

struct Loop {
    queue: Box<dyn WriteQueue>,
    inbox: Arc<Inbox>,
    slow: Arc<Workers>,
    ready: VecDeque<Arc<Shared>>,
    flights: HashMap<u64, Flight>,
    next_ticket: u64,
    blocks: Vec<Blocks>,
    ended: Vec<Ended>,
    pace: Pace,
}

impl Loop {
    fn new(queue: Box<dyn WriteQueue>, inbox: Arc<Inbox>, slow: Arc<Workers>) -> Self {
        Self {
            queue,
            inbox,
            slow,
            ready: VecDeque::new(),
            flights: HashMap::new(),
            next_ticket: 0,
            blocks: Vec::new(),
            ended: Vec::new(),
            pace: Pace::default(),
        }
    }

    fn run(mut self) {
        loop {
            self.inbox.take(&mut self.ready);
            if self.ready.is_empty() && self.flights.is_empty() {
                self.pace.ended(Instant::now());
                if !self.inbox.wait(&self.pace, &mut self.ready) {
                    return;
                }
                self.pace.began(Instant::now());
            }
            // With nothing else to do, to write in place saves a change of threads.
            let alone = self.ready.len() == 1 && self.flights.is_empty();
            while self.flights.len() < FLIGHTS_MAX
                && let Some(shared) = self.ready.pop_front()
            {
                self.launch(shared, alone);
            }
            if !self.flights.is_empty() {
                self.land_some();
            }
        }
    }

    fn launch(&mut self, shared: Arc<Shared>, alone: bool) {
        // A panic halts the store it came from; the thread goes on for the others.
        let next = catch_unwind(AssertUnwindSafe(|| make(shared, &mut self.blocks)));
        match next.unwrap_or(Next::Rest) {
            Next::Rest => {}
            Next::Slow(shared) => {
                let inbox = Arc::clone(&self.inbox);
                self.slow.spawn(move || {
                    if let Rest::Some = committer::work(&shared, || false) {
                        inbox.push(shared);
                    }
                });
            }
            Next::Fly(mut flight) => {
                let pending = &flight.group.pending;
                if alone {
                    let written = pending.file.write(pending.offset, &flight.group.blocks);
                    return self.land(flight, written);
                }
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                let (file, offset) = (Arc::clone(&pending.file), pending.offset);
                self.queue
                    .start(ticket, file, offset, std::mem::take(&mut flight.group.blocks));
                self.flights.insert(ticket, flight);
            }
        }
    }

    fn land_some(&mut self) {
        if self.ready.is_empty() && !self.inbox.may_wait_for_write() {
            return;
        }
        let mut ended = std::mem::take(&mut self.ended);
        self.queue.wait(&mut ended);
        self.inbox.works();
        for Ended {
            ticket,
            outcome,
            blocks,
        } in ended.drain(..)
        {
            if let Some(mut flight) = self.flights.remove(&ticket) {
                flight.group.blocks = blocks;
                self.land(flight, outcome);
            }
        }
        self.ended = ended;
    }

    fn land(&mut self, flight: Flight, written: std::io::Result<()>) {
        let landed = catch_unwind(AssertUnwindSafe(|| {
            let _halting = HaltOnPanic(&flight.shared);
            let mut writer = flight.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let durable = writer.durable(&flight.group.pending, written);
            let outcome = durable
                .map_err(AppendError::Indeterminate)
                .and_then(|()| flight.group.landed(&flight.shared, &mut writer));
            drop(writer);
            flight::answer(&flight.shared, &flight.group, flight.accepted, &outcome);
        }));
        if landed.is_ok() {
            self.ready.push_back(flight.shared);
        }
        let blocks = flight.group.blocks;
        if self.blocks.len() < SPARE_BLOCKS && blocks.capacity() <= SPARE_BLOCKS_BYTES {
            self.blocks.push(blocks);
        }
    }
}

/// Makes the next group of a store, in a spare buffer, if that can be done at once.
fn make(shared: Arc<Shared>, spare: &mut Vec<Blocks>) -> Next {
    let _halting = HaltOnPanic(&shared);
    let writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waiting = VecDeque::new();
    let at_once = shared.opened.load(Ordering::Acquire) && writer.latch.check().is_ok();
    loop {
        if !shared.take_queued(&mut waiting) {
            break Next::Rest;
        }
        if !at_once {
            break slow(&shared, waiting);
        }
        match select(&shared, &mut waiting) {
            Selected::Nothing => {}
            Selected::Control(control) => {
                waiting.push_front(control);
                break slow(&shared, waiting);
            }
            Selected::Appends { accepted, bytes } if !writer.fits(bytes) => {
                for append in accepted.into_iter().rev() {
                    waiting.push_front(Request::Append(append));
                }
                break slow(&shared, waiting);
            }
            Selected::Appends { mut accepted, .. } => {
                shared.put_back(&mut waiting);
                let encoded = accepted.iter_mut().map(|append| &mut append.encoded);
                let blocks = spare.pop().unwrap_or_default();
                let group = Group::make(&shared, &writer, blocks, encoded);
                break Next::Fly(Flight {
                    shared: Arc::clone(&shared),
                    group,
                    accepted,
                });
            }
        }
    }
}

fn slow(shared: &Arc<Shared>, mut waiting: VecDeque<Request>) -> Next {
    shared.put_back(&mut waiting);
    Next::Slow(Arc::clone(shared))
}

//! One thread that commits for all stores, with many of their writes under way at a time. What takes longer than making a
//! group (the first group of an open, a new extent, trims and deletes) it hands to the commit threads, and goes on with the
//! store when they have done it. What is under way for each store is in [`super::course`].

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::committer::{self, Rest};
use super::course::{Course, Next};
use super::inbox::Inbox;
use crate::by_hand::{ByHand, Work};
use crate::disk::blocks::SpareBlocks;
use crate::disk::{Disk, DiskLock, Ended, WriteQueue};
use crate::pace::Pace;
use crate::shared::Shared;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Instant, Mutex, mpsc};
use crate::workers::Workers;

/// Writes under way at a time: as many as a device can be expected to work on.
const FLIGHTS_MAX: usize = 128;

/// Why a store is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its queue is the thread's from now on.
    Start,
    /// Something changed. Nothing, if its queue is not the thread's any more.
    Look,
}

/// Stores that have something to commit.
type Ready = VecDeque<(Arc<Shared>, Why)>;

type Stores = Inbox<(Arc<Shared>, Why)>;

/// The thread. Dropping it ends what is under way, then the thread.
pub(crate) struct IoThread {
    inbox: Arc<Stores>,
    thread: Option<JoinHandle<()>>,
    by_hand: Option<Arc<Mutex<Loop>>>,
}

impl IoThread {
    /// Starts it, if the disk has a queue for many writes. `slow` gets what takes longer.
    ///
    /// # Errors
    /// Why there is no such queue: the portable way is then the way.
    pub(crate) fn spawn(
        disk: Arc<dyn Disk>,
        lock: &dyn DiskLock,
        slow: &Arc<Workers>,
        look: Duration,
        by_hand: Option<&ByHand>,
    ) -> std::io::Result<Option<Self>> {
        let held = lock.file().map(File::try_clone).transpose()?;
        let (send, receive) = mpsc::channel();
        let slow = Arc::clone(slow);
        if let Some(by_hand) = by_hand {
            let Some(queue) = disk.write_queue(held)? else {
                return Ok(None);
            };
            let inbox = Arc::new(Inbox::new(queue.waker(), look));
            let own = Arc::new(Mutex::new(Loop::new(queue, Arc::clone(&inbox), slow)));
            by_hand.add(&own);
            return Ok(Some(Self {
                inbox,
                thread: None,
                by_hand: Some(own),
            }));
        }
        // The queue is made by the thread that uses it.
        let thread = thread::Builder::new().name("sk-io".to_owned()).spawn(move || {
            let queue = match disk.write_queue(held) {
                Ok(Some(queue)) => queue,
                other => return drop(send.send(other.map(|_| None))),
            };
            let inbox = Arc::new(Inbox::new(queue.waker(), look));
            let started = send.send(Ok(Some(Arc::clone(&inbox))));
            if started.is_ok() {
                let _end = EndOfThread(Arc::clone(&inbox));
                Loop::new(queue, inbox, slow).run();
            }
        })?;
        let answer = receive.recv().map_err(std::io::Error::other)?;
        Ok(answer?.map(|inbox| Self {
            inbox,
            thread: Some(thread),
            by_hand: None,
        }))
    }

    /// Works on a store's queue. Only for who set [`Queue::running`](super::queue::Queue). Gives the store back if the thread
    /// is no more.
    pub(crate) fn start(&self, shared: Arc<Shared>) -> Option<Arc<Shared>> {
        self.inbox.push((shared, Why::Start)).map(|(shared, _)| shared)
    }

    /// Looks at a store's queue again.
    pub(crate) fn call(&self, shared: Arc<Shared>) {
        let _ = self.inbox.push((shared, Why::Look));
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        self.inbox.end();
        if let Some(own) = &self.by_hand {
            while own.is_waiting() {
                own.run_one();
            }
            drop(self.inbox.close());
        }
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// Whatever ends the thread: nobody waits for it for ever.
struct EndOfThread(Arc<Stores>);

impl Drop for EndOfThread {
    fn drop(&mut self) {
        let left = self.0.close();
        if thread::panicking() {
            tracing::error!("the I/O thread was ended by a bug: the stores it was at accept no more writes");
            for (shared, _) in left {
                shared.give_up("a panic of the I/O thread");
            }
        }
    }
}

/// Of a store among those under way: where it stands in memory, as long as that is its place.
type Key = usize;

struct Loop {
    queue: Box<dyn WriteQueue>,
    inbox: Arc<Stores>,
    slow: Arc<Workers>,
    ready: Ready,
    courses: HashMap<Key, Course>,
    /// Whose each write is.
    tickets: HashMap<u64, Key>,
    next_ticket: u64,
    /// The last group was one transaction with nothing beside it.
    lonely: bool,
    blocks: SpareBlocks,
    ended: Vec<Ended>,
    pace: Pace,
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Empty, unless a panic came between: what is under way then has an unknown outcome.
        for course in self.courses.values() {
            course.shared.give_up("a panic of the I/O thread");
        }
    }
}

impl Work for Mutex<Loop> {
    fn is_waiting(&self) -> bool {
        let own = self.lock().unwrap_or_else(PoisonError::into_inner);
        own.inbox.holds_any() || !own.ready.is_empty() || !own.tickets.is_empty()
    }

    fn run_one(&self) {
        let mut own = self.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &mut *own;
        own.inbox.take(&mut own.ready);
        own.turn();
    }
}

impl Loop {
    fn new(queue: Box<dyn WriteQueue>, inbox: Arc<Stores>, slow: Arc<Workers>) -> Self {
        Self {
            queue,
            inbox,
            slow,
            ready: VecDeque::new(),
            courses: HashMap::new(),
            tickets: HashMap::new(),
            next_ticket: 0,
            lonely: true,
            blocks: SpareBlocks::default(),
            ended: Vec::new(),
            pace: Pace::default(),
        }
    }

    fn run(mut self) {
        loop {
            self.inbox.take(&mut self.ready);
            if self.ready.is_empty() && self.tickets.is_empty() {
                self.pace.ended(Instant::now());
                if !self.inbox.wait(&self.pace, &mut self.ready) {
                    return;
                }
                self.pace.began(Instant::now());
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        while self.tickets.len() < FLIGHTS_MAX
            && let Some((shared, why)) = self.ready.pop_front()
        {
            self.look_at(shared, why);
        }
        if !self.tickets.is_empty() {
            self.land_some();
        }
    }

    /// Starts as many writes of a store as make sense now.
    fn look_at(&mut self, shared: Arc<Shared>, why: Why) {
        let key = Arc::as_ptr(&shared).addr();
        let course = match why {
            Why::Start => self.courses.entry(key).or_insert_with(|| Course::new(shared)),
            Why::Look => match self.courses.get_mut(&key) {
                Some(course) => course,
                None => return,
            },
        };
        while self.tickets.len() < FLIGHTS_MAX {
            // A panic halts the store it came from; the thread goes on for the others.
            let next = catch_unwind(AssertUnwindSafe(|| course.next(&mut self.blocks)));
            match next.unwrap_or_else(|_| course.after_panic()) {
                Next::Wait => return,
                Next::Rest => {
                    self.courses.remove(&key);
                    return;
                }
                Next::Slow => {
                    if let Some(course) = self.courses.remove(&key) {
                        self.hand_over(course.shared);
                    }
                    return;
                }
                Next::Fly(mut flight) => {
                    // With nothing else to do, a plain write is cheaper than the ring.
                    let lone = flight.is_one_transaction()
                        && self.tickets.is_empty()
                        && self.ready.is_empty()
                        && !self.inbox.is_filled();
                    if std::mem::replace(&mut self.lonely, lone) && lone {
                        flight.write();
                        course.start(flight);
                        Self::land(course, &mut self.blocks);
                        continue;
                    }
                    let ticket = self.next_ticket;
                    self.next_ticket += 1;
                    let (file, offset, blocks) = flight.depart(ticket);
                    self.queue.start(ticket, file, offset, blocks);
                    self.tickets.insert(ticket, key);
                    course.start(flight);
                }
            }
        }
        self.ready.push_back((Arc::clone(&course.shared), Why::Look));
    }

    fn hand_over(&self, shared: Arc<Shared>) {
        let inbox = Arc::clone(&self.inbox);
        self.slow.spawn(move || {
            if let Rest::Some = committer::work(&shared, || false)
                && let Some((shared, _)) = inbox.push((shared, Why::Start))
            {
                // The I/O thread is no more.
                let _ = committer::work(&shared, || true);
            }
        });
    }

    fn land_some(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        let more = !self.ready.is_empty() && self.tickets.len() < FLIGHTS_MAX;
        if ended.is_empty() && !more && self.inbox.may_wait_for_write() {
            self.queue.wait(&mut ended);
            self.inbox.works();
        }
        for ended in ended.drain(..) {
            let Some(course) = self
                .tickets
                .remove(&ended.ticket)
                .and_then(|key| self.courses.get_mut(&key))
            else {
                continue;
            };
            course.written(ended);
            if Self::land(course, &mut self.blocks) {
                self.ready.push_back((Arc::clone(&course.shared), Why::Look));
            }
        }
        self.ended = ended;
    }

    /// Lands what may be of a store; whether anything did.
    fn land(course: &mut Course, spare: &mut SpareBlocks) -> bool {
        let mut landed = false;
        while let Some(flight) = course.take_landing() {
            landed = true;
            // As above: the store is halted, and what is under way for it comes here too.
            let _ = catch_unwind(AssertUnwindSafe(|| course.land(flight))).map(|blocks| spare.put(blocks));
        }
        landed
    }
}

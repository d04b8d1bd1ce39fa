//! Linux: many concurrent durable writes from one thread, through io_uring. One thread creates, feeds and empties the
//! ring; others only end its wait.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, opcode, squeue, types};

use super::blocks::Blocks;
use super::direct::DirectFile;
use super::traits::LogFile;
use super::write_queue::{BrokenQueue, EndedWrite, Waker, WriteOutcome, WriteQueue};

/// Writes the ring holds at a time.
const ENTRIES: u32 = 256;

/// The ticket of the read that ends a wait.
const WAKE: u64 = u64::MAX;

/// How often the kernel may say in a row that it cannot take anything at the moment, with [`PAUSE`] in between, before it is
/// believed to mean for good.
const REFUSALS_MAX: u32 = 1000;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// A write whose buffer and file belong to the kernel until it ends.
struct InKernel {
    file: Arc<dyn LogFile>,
    offset: u64,
    blocks: Blocks,
}

/// One ring.
pub struct Ring {
    /// Dropping it waits for nothing; that the kernel uses none of what stands below any more is for [`Drop`] to see to.
    ring: IoUring,
    held: HashMap<u64, InKernel>,
    /// Tickets of what the kernel has not taken over yet, oldest first.
    pushed: VecDeque<u64>,
    /// Writes that ended without the ring.
    made: Vec<EndedWrite>,
    /// The kernel takes and tells nothing more.
    broken: Option<Why>,
    wake: Arc<Eventfd>,
    /// Where the kernel puts what it reads of `wake`.
    wakes: Box<u64>,
    /// A read of `wake` is under way.
    listening: bool,
}

/// Why a ring is broken.
#[derive(Clone)]
struct Why {
    cause: Arc<io::Error>,
    leaves_writes: bool,
}

impl From<Why> for BrokenQueue {
    fn from(why: Why) -> Self {
        let Why { cause, leaves_writes } = why;
        Self {
            cause: io::Error::new(cause.kind(), format!("io_uring failed: {cause}")),
            leaves_writes,
        }
    }
}

struct Eventfd(File);

impl Waker for Eventfd {
    fn wake(&self) {
        // It fails only when the count is about to overflow: then a wake is pending anyway.
        let _ = (&self.0).write(&1_u64.to_le_bytes());
    }
}

impl Ring {
    /// Makes a ring for this thread.
    ///
    /// # Errors
    /// Where the kernel is too old for it, or forbids it.
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(ENTRIES)?;
        // SAFETY: plain call without pointers; the descriptor it returns is ours alone.
        let wake = unsafe {
            match libc::eventfd(0, libc::EFD_CLOEXEC) {
                -1 => return Err(io::Error::last_os_error()),
                descriptor => OwnedFd::from_raw_fd(descriptor),
            }
        };
        Ok(Self {
            ring,
            held: HashMap::new(),
            pushed: VecDeque::new(),
            made: Vec::new(),
            broken: None,
            wake: Arc::new(Eventfd(wake.into())),
            wakes: Box::new(0),
            listening: false,
        })
    }

    /// Keeps a file open, and the lock that stands on it, until nothing that was started is under way, even if the process is
    /// killed: the kernel gives it up with the ring. Without that, the next owner of the folder could read and write
    /// before a write of the killed one lands.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn hold(&self, file: &File) -> io::Result<()> {
        self.ring.submitter().register_files(&[file.as_raw_fd()])
    }

    fn push(&mut self, ticket: u64, entry: squeue::Entry) {
        let entry = entry.user_data(ticket);
        // SAFETY: what the entry points to is kept in `held` or `wakes` until its completion is taken or, where that will
        // never be, for ever; `drop` sees to that, too.
        while self.broken.is_none() && unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.enter(0); // the queue is full: the kernel takes it over
        }
        if self.broken.is_none() {
            self.pushed.push_back(ticket);
        }
    }

    /// Gives the kernel what was pushed, and waits for so many completions, or for less. Tells through `broken` that it never
    /// will.
    fn enter(&mut self, wanted: usize) {
        let mut refusals = 0;
        while self.broken.is_none() {
            let entered = self.ring.submit_and_wait(wanted);
            let left = self.ring.submission().len();
            let taken = self.pushed.len().saturating_sub(left);
            self.pushed.drain(..taken);
            let Err(error) = entered else { return };
            if error.kind() == io::ErrorKind::Interrupted {
                return;
            }
            // Too much at a time, or no memory.
            let passes = [libc::EAGAIN, libc::EBUSY, libc::ENOMEM]
                .map(Some)
                .contains(&error.raw_os_error());
            refusals += 1;
            if !passes || refusals > REFUSALS_MAX {
                return self.break_off(error);
            }
            let made = self.made.len();
            self.take();
            if self.made.len() > made {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The kernel tells nothing more. What it was never given is made the plain way, unless it stands behind a write to the
    /// same file of which nobody knows.
    fn break_off(&mut self, cause: io::Error) {
        self.take();
        if self.broken.is_some() {
            return; // found out on the way
        }
        let cause = Arc::new(cause);
        let never: HashSet<u64> = self.pushed.drain(..).collect();
        let given = self.held.iter().filter(|(ticket, _)| !never.contains(ticket));
        let unknown: HashSet<usize> = given.map(|(_, held)| address(&held.file)).collect();
        self.broken = Some(Why {
            cause: Arc::clone(&cause),
            leaves_writes: !unknown.is_empty(),
        });
        let mut held: Vec<(u64, InKernel)> = self.held.drain().collect();
        held.sort_unstable_by_key(|&(ticket, _)| ticket);
        for (ticket, held) in held {
            let InKernel { file, offset, blocks } = held;
            let (outcome, blocks) = if !never.contains(&ticket) {
                // The kernel may still read them: they are nobody's, for ever.
                std::mem::forget(blocks);
                let why = format!("io_uring failed with it under way: {cause}");
                (
                    WriteOutcome::Made(Err(io::Error::new(cause.kind(), why))),
                    Blocks::default(),
                )
            } else if unknown.contains(&address(&file)) {
                (WriteOutcome::NotBegun, blocks)
            } else {
                (WriteOutcome::Made(file.write(offset, &blocks)), blocks)
            };
            self.made.push(EndedWrite {
                ticket,
                outcome,
                blocks,
            });
        }
    }

    fn listen(&mut self) {
        if !self.listening && self.broken.is_none() {
            let file = types::Fd(self.wake.0.as_raw_fd());
            let read = opcode::Read::new(file, std::ptr::from_mut(&mut *self.wakes).cast(), 8).build();
            self.listening = true;
            self.push(WAKE, read);
        }
    }

    /// Takes what has ended.
    fn take(&mut self) {
        let mut deaf = None;
        for completion in self.ring.completion() {
            if completion.user_data() == WAKE {
                self.listening = false;
                // Asked again at once, it would say so again.
                let result = completion.result();
                if result < 0 && ![-libc::EAGAIN, -libc::EINTR].contains(&result) {
                    deaf = Some(io::Error::from_raw_os_error(-result));
                }
                continue;
            }
            let Some(held) = self.held.remove(&completion.user_data()) else {
                continue;
            };
            self.made.push(EndedWrite {
                ticket: completion.user_data(),
                outcome: WriteOutcome::Made(outcome(completion.result(), &held)),
                blocks: held.blocks,
            });
        }
        if let Some(error) = deaf
            && self.broken.is_none()
        {
            self.break_off(error);
        }
    }

    fn health(&self) -> Result<(), BrokenQueue> {
        self.broken.clone().map_or(Ok(()), |why| Err(why.into()))
    }
}

/// What tells a file from others.
fn address(file: &Arc<dyn LogFile>) -> usize {
    Arc::as_ptr(file).cast::<()>().addr()
}

/// What a completion says of a write. One that was cut short, or that the kernel would have to wait for, is made again the
/// plain way: nothing failed.
fn outcome(result: i32, held: &InKernel) -> io::Result<()> {
    match u32::try_from(result) {
        Ok(written) if written as usize == held.blocks.len() => Ok(()),
        Ok(_) => held.file.write(held.offset, &held.blocks),
        Err(_) if [-libc::EAGAIN, -libc::EINTR].contains(&result) => held.file.write(held.offset, &held.blocks),
        Err(_) => Err(io::Error::from_raw_os_error(-result)),
    }
}

impl WriteQueue for Ring {
    fn start(&mut self, ticket: u64, file: Arc<dyn LogFile>, offset: u64, blocks: Blocks) {
        let descriptor = file
            .as_any()
            .downcast_ref::<DirectFile>()
            .map(|direct| types::Fd(direct.as_raw_fd()));
        let length = u32::try_from(blocks.len()).ok();
        let held = InKernel { file, offset, blocks };
        if let (Some(descriptor), Some(length), None) = (descriptor, length, &self.broken) {
            let write = opcode::Write::new(descriptor, held.blocks.as_ptr(), length).offset(offset);
            self.held.insert(ticket, held);
            self.push(ticket, write.build());
            // The ring broke meanwhile: the write was never given to the kernel.
            let Some(held) = self.broken.as_ref().and_then(|_| self.held.remove(&ticket)) else {
                return;
            };
            self.make(ticket, held);
        } else {
            self.make(ticket, held);
        }
    }

    fn submit(&mut self) {
        if !self.pushed.is_empty() {
            self.enter(0);
        }
    }

    fn reap(&mut self, may_wait: bool, ended: &mut Vec<EndedWrite>) -> Result<(), BrokenQueue> {
        let wanted = usize::from(may_wait && self.made.is_empty());
        if wanted > 0 {
            self.listen();
        }
        if wanted > 0 || !self.pushed.is_empty() || self.ring.submission().taskrun() {
            self.enter(wanted);
        }
        self.take();
        ended.append(&mut self.made);
        self.health()
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.wake) as Arc<dyn Waker>
    }

    fn finish(&mut self) -> Result<(), BrokenQueue> {
        while !self.held.is_empty() {
            self.enter(1);
            self.take();
        }
        self.made.clear();
        self.health()
    }
}

impl Ring {
    /// Makes a write the plain way.
    fn make(&mut self, ticket: u64, held: InKernel) {
        self.made.push(EndedWrite {
            ticket,
            outcome: WriteOutcome::Made(held.file.write(held.offset, &held.blocks)),
            blocks: held.blocks,
        });
    }
}

impl Drop for Ring {
    /// Waits for what is under way: the kernel still uses its buffers. And gives up what it holds now: by itself the kernel
    /// would do so some time after this process is gone, and keep the file system busy until then.
    fn drop(&mut self) {
        let _ = self.finish();
        self.wake.wake();
        while self.listening && self.broken.is_none() {
            self.enter(1);
            self.take();
        }
        if self.listening {
            // Rather leak than let the kernel write into freed memory.
            std::mem::forget(std::mem::take(&mut self.wakes));
        }
        if !self.broken.as_ref().is_some_and(|why| why.leaves_writes) {
            // There may be none.
            let _ = self.ring.submitter().unregister_files();
        }
    }
}

#[cfg(test)]
impl Ring {
    /// What its descriptor stands for is something else from here on: each call fails, and says nothing of before.
    fn break_for_test(&self) {
        let null = File::open("/dev/null").expect("there is one");
        // SAFETY: plain call without pointers; the descriptor stays the ring's to close.
        let replaced = unsafe { libc::dup2(null.as_raw_fd(), self.ring.as_raw_fd()) };
        assert!(replaced >= 0);
    }
}

#[cfg(test)]
mod tests;

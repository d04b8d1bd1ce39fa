//! Three drivers of one selection: the I/O thread keeps writes of many stores under way; a commit thread waits for
//! one; a caller that blocks does a commit thread's work itself.

mod mailbox;
mod pipeline;
pub(crate) mod ring;
pub(crate) mod threads;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::committer::StoreCommitter;
use crate::config::{CommitMethod, EngineConfig};
use crate::disk::DiskLock;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::workers::Workers;
use ring::IoThread;

/// The commit methods, for people.
const IO_URING: &str = "io_uring";
const THREADS: &str = "threads";

/// The threads that commit.
pub(crate) struct Drivers {
    /// Dropped first: its hand-overs are still done.
    io: Option<IoThread>,
    threads: Arc<Workers>,
}

impl Drivers {
    /// Starts them. The disk decides whether there is an I/O thread, if one is wanted.
    pub(crate) fn new(config: &EngineConfig, lock: &dyn DiskLock, look: Duration) -> io::Result<Self> {
        let stepper = config.stepper.as_ref();
        // Without an I/O thread, the commit threads meet the producers themselves.
        let threads = Arc::new(Workers::new("sk-commit", config.commit_threads, look, stepper)?);
        if config.commit_method == CommitMethod::Threads {
            return Ok(Self { io: None, threads });
        }
        if !config.disk.queues_writes_in(&config.dir) {
            tracing::info!("this file system takes no direct writes: committing with threads");
            return Ok(Self { io: None, threads });
        }
        let io = IoThread::spawn(Arc::clone(&config.disk), lock, &threads, look, stepper).unwrap_or_else(|error| {
            tracing::warn!(%error, "io_uring is not to be had here: committing with threads, which is slower for many stores");
            None
        });
        Ok(Self { io, threads })
    }

    /// How writes reach the disk, for people.
    pub(crate) fn method(&self) -> &'static str {
        if self.io.as_ref().is_some_and(IoThread::is_at_work) {
            IO_URING
        } else {
            THREADS
        }
    }

    /// How a store's writes reach the disk.
    pub(crate) fn method_of(&self, committer: &StoreCommitter) -> &'static str {
        if committer.by_threads.load(Ordering::Relaxed) {
            THREADS
        } else {
            self.method()
        }
    }

    /// Whether a write without a known end may reach the disk while this process lives.
    pub(crate) fn leaves_writes(&self) -> Option<Arc<AtomicBool>> {
        self.io.as_ref().map(IoThread::leaves_writes)
    }

    /// Ends the I/O thread, and releases its system resources.
    pub(crate) fn end_io(&self) {
        if let Some(io) = &self.io {
            io.end();
        }
    }

    /// Works on a store's queue. Only for the caller that set [`Queue::running`](super::queue::CommitQueue).
    pub(crate) fn start(&self, committer: Arc<StoreCommitter>) {
        let left = match &self.io {
            Some(io) if !committer.by_threads.load(Ordering::Relaxed) => io.start(committer),
            _ => Some(committer),
        };
        // The I/O thread failed, and stores with a write under way are halted. The others continue.
        if let Some(committer) = left {
            self.threads.spawn_in_turns(move |turn| threads::run(committer, turn));
        }
    }

    /// Calls the driver of a store's queue that waits for a write.
    pub(crate) fn call(&self, committer: Arc<StoreCommitter>) {
        if let Some(io) = &self.io {
            io.call(committer);
        }
    }
}

//! Group commit: what producers queue while one group is being written forms the next. One committer at a time per
//! store, on threads shared by all stores.

pub(crate) mod committer;
mod course;
pub(crate) mod flight;
mod inbox;
pub(crate) mod io_thread;
pub mod order;
pub(crate) mod queue;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{CommitMethod, EngineConfig};
use crate::disk::DiskLock;
use crate::shared::Shared;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::workers::Workers;
use io_thread::IoThread;

/// The commit methods, for people.
const IO_URING: &str = "io_uring";
const THREADS: &str = "threads";

/// The threads that commit.
pub(crate) struct Committing {
    /// Dropped first: what it hands over is still done.
    io: Option<IoThread>,
    threads: Arc<Workers>,
}

impl Committing {
    /// Starts them; the disk decides whether there is an I/O thread, if one is wanted.
    pub(crate) fn new(config: &EngineConfig, lock: &dyn DiskLock, look: Duration) -> io::Result<Self> {
        let by_hand = config.by_hand.as_ref();
        // Without one, the commit threads meet the producers themselves.
        let threads = Arc::new(Workers::new("sk-commit", config.commit_threads, look, by_hand)?);
        if config.commit_method == CommitMethod::Threads {
            return Ok(Self { io: None, threads });
        }
        if !config.disk.queues_writes_in(&config.dir) {
            tracing::info!("this file system takes no direct writes: committing with threads");
            return Ok(Self { io: None, threads });
        }
        let io = IoThread::spawn(Arc::clone(&config.disk), lock, &threads, look, by_hand).unwrap_or_else(|error| {
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

    /// How those of a store do.
    pub(crate) fn method_of(&self, shared: &Shared) -> &'static str {
        if shared.by_threads.load(Ordering::Relaxed) {
            THREADS
        } else {
            self.method()
        }
    }

    /// Whether a write may reach the disk of which nobody will hear, as long as this process lives.
    pub(crate) fn leaves_writes(&self) -> Option<Arc<AtomicBool>> {
        self.io.as_ref().map(IoThread::leaves_writes)
    }

    /// Ends the I/O thread, and gives up what it holds of the system.
    pub(crate) fn end_io(&self) {
        if let Some(io) = &self.io {
            io.end();
        }
    }

    /// Works on a store's queue. Only for who set [`queue::Queue::running`].
    pub(crate) fn start(&self, shared: Arc<Shared>) {
        let left = match &self.io {
            Some(io) if !shared.by_threads.load(Ordering::Relaxed) => io.start(shared),
            _ => Some(shared),
        };
        // An I/O thread that is no more failed, and the stores that it had a write of under way are halted. The others go on.
        if let Some(shared) = left {
            self.threads.spawn_in_turns(move |turn| committer::run(shared, turn));
        }
    }

    /// Calls whoever works on a store's queue and waits for a write.
    pub(crate) fn call(&self, shared: Arc<Shared>) {
        if let Some(io) = &self.io {
            io.call(shared);
        }
    }
}

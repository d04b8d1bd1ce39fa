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
use crate::workers::Workers;
use io_thread::IoThread;

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
        let io = IoThread::spawn(Arc::clone(&config.disk), lock, &threads, look, by_hand).unwrap_or_else(|error| {
            tracing::warn!(%error, "io_uring is not to be had here: committing with threads, which is slower for many stores");
            None
        });
        Ok(Self { io, threads })
    }

    /// How writes reach the disk, for people.
    pub(crate) fn method(&self) -> &'static str {
        match self.io {
            Some(_) => "io_uring",
            None => "threads",
        }
    }

    /// Works on a store's queue. Only for who set [`queue::Queue::running`].
    pub(crate) fn start(&self, shared: Arc<Shared>) {
        let left = match &self.io {
            Some(io) => io.start(shared),
            None => Some(shared),
        };
        // An I/O thread that is no more was ended by a bug, and the stores that it was at are halted. The others go on.
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

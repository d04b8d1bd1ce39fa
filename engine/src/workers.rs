//! Threads that run blocking work for all stores, so that neither a store nor a caller's runtime needs one of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    wake: Condvar,
    /// Told when the last job ended.
    idle: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    running: usize,
    ending: bool,
}

/// A fixed number of threads over one queue. Dropping it runs what is queued, then ends the threads.
pub(crate) struct Workers {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(crate) fn new(name: &str, count: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            threads.push(
                std::thread::Builder::new()
                    .name(name.to_owned())
                    .spawn(move || run(&queue))?,
            );
        }
        Ok(Self {
            queue,
            threads: Mutex::new(threads),
        })
    }

    /// Queues a job.
    pub(crate) fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.queue
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
            .push_back(Box::new(job));
        self.queue.wake.notify_one();
    }

    /// Waits until nothing is queued or running. Not to be called by a job of these very workers.
    pub(crate) fn drain(&self) {
        let mut jobs = self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        while jobs.running > 0 || !jobs.waiting.is_empty() {
            jobs = self.queue.idle.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Queues a job and waits for its result. `None` only if the job panicked.
    pub(crate) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (send, receive) = oneshot::channel();
        self.spawn(move || {
            let _ = send.send(job());
        });
        receive.await.ok()
    }
}

fn run(queue: &Queue) {
    loop {
        let job = {
            let mut jobs = queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(job) = jobs.waiting.pop_front() {
                    jobs.running += 1;
                    break job;
                }
                if jobs.ending {
                    return;
                }
                jobs = queue.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        };
        // A panic is a bug of ours; it must not take a thread that other stores depend on.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a storage job panicked");
        }
        let mut jobs = queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.running -= 1;
        if jobs.running == 0 && jobs.waiting.is_empty() {
            queue.idle.notify_all();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner).ending = true;
        self.queue.wake.notify_all();
        let own = std::thread::current().id();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // The last handle to an engine may be dropped by a job on one of these very threads.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}

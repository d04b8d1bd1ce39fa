//! Threads that run blocking work for all stores, so that neither a store nor a caller's runtime needs one of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::pace::{Pace, look};
use super::stepper::{Stepper, Steps};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::thread::{self, JoinHandle};
use super::sync::{Condvar, Instant, Mutex};

type Job = Box<dyn FnOnce(&Turn<'_>) + Send>;

struct JobQueue {
    jobs: Mutex<Jobs>,
    /// How many jobs wait, for whoever looks without the lock.
    waiting: AtomicUsize,
    wake: Condvar,
    /// Told when the last job ended.
    idle: Condvar,
    /// Zero: threads go to sleep at once.
    look: Duration,
    /// There are no threads.
    stepper: Option<Stepper>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    running: usize,
    ending: bool,
    /// A thread is looking. It looks once more, under the lock, before it sleeps: one job needs no other thread woken.
    looking: bool,
    pace: Pace,
}

/// A fixed number of threads over one queue. Dropping it runs what is queued, then ends the threads.
pub(crate) struct Workers {
    queue: Arc<JobQueue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    /// Threads of which one, while jobs follow each other that fast, looks for the next one for up to `look`. None, where
    /// jobs are run by hand.
    pub(crate) fn new(name: &str, count: usize, look: Duration, stepper: Option<&Stepper>) -> std::io::Result<Self> {
        let queue = Arc::new(JobQueue {
            jobs: Mutex::default(),
            waiting: AtomicUsize::new(0),
            wake: Condvar::new(),
            idle: Condvar::new(),
            look,
            stepper: stepper.cloned(),
        });
        if let Some(stepper) = stepper {
            stepper.add(&queue);
        }
        let count = if stepper.is_some() { 0 } else { count };
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            threads.push(
                thread::Builder::new()
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
        self.queue.push(Box::new(|_| job()));
    }

    /// Queues a job that may want another turn after the others.
    pub(crate) fn spawn_in_turns(&self, job: impl FnOnce(&Turn<'_>) + Send + 'static) {
        self.queue.push(Box::new(job));
    }

    /// Whether jobs wait for a thread.
    pub(crate) fn are_wanted(&self) -> bool {
        self.queue.waiting.load(Ordering::Acquire) > 0
    }

    /// Waits until nothing is queued or running. Not to be called by a job of these very workers.
    pub(crate) fn drain(&self) {
        if let Some(stepper) = &self.queue.stepper {
            return stepper.run_until(|| !self.queue.is_waiting());
        }
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

fn run(queue: &JobQueue) {
    while let Some(job) = queue.next() {
        // A panic is a bug of ours; it must not take a thread that other stores depend on.
        if catch_unwind(AssertUnwindSafe(|| job(&Turn(queue)))).is_err() {
            tracing::error!("a storage job panicked");
        }
        let mut jobs = queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.running -= 1;
        jobs.pace.ended(Instant::now());
        if jobs.running == 0 && jobs.waiting.is_empty() {
            queue.idle.notify_all();
        }
    }
}

impl Steps for JobQueue {
    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    fn run_one(&self) {
        let job = self.pop(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(job) = job {
            job(&Turn(self));
        }
    }
}

/// A job's turn on a thread.
pub(crate) struct Turn<'a>(&'a JobQueue);

impl Turn<'_> {
    /// Whether other jobs wait for a thread.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_waiting()
    }

    /// Queues the rest of this job behind the others.
    pub(crate) fn again(&self, job: impl FnOnce(&Turn<'_>) + Send + 'static) {
        self.0.push(Box::new(job));
    }
}

impl JobQueue {
    fn pop(&self, jobs: &mut Jobs) -> Option<Job> {
        let job = jobs.waiting.pop_front();
        self.waiting.store(jobs.waiting.len(), Ordering::Release);
        job
    }

    fn push(&self, job: Job) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.waiting.push_back(job);
        self.waiting.store(jobs.waiting.len(), Ordering::Release);
        let taken = jobs.looking && jobs.waiting.len() == 1;
        drop(jobs);
        if !taken {
            self.wake.notify_one();
        }
    }

    /// The next job, when there is one; `None` once the threads are to end.
    fn next(&self) -> Option<Job> {
        let since = Instant::now();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = self.pop(&mut jobs) {
                jobs.running += 1;
                jobs.pace.began(Instant::now());
                return Some(job);
            }
            if jobs.ending {
                return None;
            }
            let worth = !jobs.looking && jobs.pace.is_worth_looking(self.look) && since.elapsed() < self.look;
            if worth {
                jobs.looking = true;
                drop(jobs);
                look(since, self.look, || self.waiting.load(Ordering::Acquire) > 0);
                jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
                jobs.looking = false;
            } else {
                jobs = self.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        while self.queue.stepper.is_some() && self.queue.is_waiting() {
            self.queue.run_one();
        }
        self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner).ending = true;
        self.queue.wake.notify_all();
        let own = thread::current().id();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // The last handle to an engine may be dropped by a job on one of these very threads.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "schedules"))]
mod schedules {
    use super::*;
    use crate::runtime::blocking;
    use crate::runtime::pace::LOOK_MAX;
    use crate::runtime::sync::mpsc;
    use crate::schedules::{explore, panic_silently};

    fn workers(count: usize) -> Workers {
        Workers::new("test", count, LOOK_MAX, None).unwrap()
    }

    /// Counts without a step of its own.
    #[derive(Clone, Default)]
    struct Count(Arc<std::sync::atomic::AtomicUsize>);

    impl Count {
        fn add(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn every_job_runs_once_whether_a_thread_looks_or_sleeps() {
        explore(6000, || {
            let workers = Arc::new(workers(2));
            let producers = (0..2).map(|_| {
                let workers = Arc::clone(&workers);
                thread::spawn(move || {
                    let ran = Count::default();
                    for round in 1..=4 {
                        let own = ran.clone();
                        // Were it never run, this would wait for ever.
                        assert_eq!(blocking::wait(None, workers.run(move || own.add())), Some(()));
                        assert_eq!(ran.get(), round);
                    }
                })
            });
            for producer in producers.collect::<Vec<_>>() {
                producer.join().unwrap();
            }
        });
    }

    #[test]
    fn no_job_waits_while_a_thread_is_free() {
        explore(6000, || {
            let workers = workers(2);
            for _ in 0..3 {
                let (send, receive) = mpsc::channel();
                let (done, is_done) = mpsc::channel();
                // Ends only when the other thread has come to the next one.
                workers.spawn(move || done.send(receive.recv()).unwrap());
                workers.spawn(move || send.send(7).unwrap());
                assert_eq!(is_done.recv(), Ok(Ok(7)));
            }
        });
    }

    #[test]
    fn draining_ends_when_nothing_is_queued_or_running_and_not_before() {
        explore(6000, || {
            let (workers, ran) = (Arc::new(workers(2)), Count::default());
            let drainers = (0..2).map(|_| {
                let (workers, ran, before) = (Arc::clone(&workers), ran.clone(), Count::default());
                thread::spawn(move || {
                    let (all, own) = (ran.clone(), before.clone());
                    workers.spawn(move || {
                        thread::yield_now();
                        all.add();
                        own.add();
                    });
                    let (all, own) = (ran, before.clone());
                    workers.spawn_in_turns(move |turn| {
                        let _ = turn.is_wanted();
                        turn.again(move |_| {
                            thread::yield_now();
                            all.add();
                            own.add();
                        });
                    });
                    workers.drain();
                    assert_eq!(before.get(), 2);
                })
            });
            for drainer in drainers.collect::<Vec<_>>() {
                drainer.join().unwrap();
            }
            assert_eq!(ran.get(), 4);
        });
    }

    #[test]
    fn dropping_them_runs_what_is_queued_and_ends_them() {
        explore(4000, || {
            let (workers, ran) = (workers(2), Count::default());
            for _ in 0..4 {
                let own = ran.clone();
                workers.spawn(move || own.add());
            }
            let own = ran.clone();
            workers.spawn_in_turns(move |turn| turn.again(move |_| own.add()));
            drop(workers);
            assert_eq!(ran.get(), 5);
        });
    }

    #[test]
    fn one_of_their_jobs_may_drop_the_last_handle() {
        explore(6000, || {
            let workers = Arc::new(workers(2));
            let (send, receive) = mpsc::channel();
            for _ in 0..3 {
                let (own, send) = (Arc::clone(&workers), send.clone());
                workers.spawn(move || {
                    drop(own);
                    send.send(()).unwrap();
                });
            }
            drop((workers, send));
            assert_eq!(receive.iter().count(), 3);
        });
    }

    #[test]
    fn a_job_that_panics_takes_no_thread_with_it() {
        explore(2000, || {
            let (workers, ran) = (workers(1), Count::default());
            workers.spawn(|| panic_silently());
            assert_eq!(blocking::wait(None, workers.run(|| panic_silently())), None::<()>);
            let own = ran.clone();
            workers.spawn(move || own.add());
            workers.drain();
            assert_eq!(ran.get(), 1);
        });
    }
}

//! Bounds the bytes that producers have waiting for the disk: in their store's queue, and in one budget of all queues.
//! Both serve requests in order of arrival, so that small transactions never starve behind large ones, nor large ones
//! behind small ones.
//!
//! A request takes room in its store's queue first. Then it takes room in the budget or, if it is small, in a little
//! reserve of its store, whichever has room first. So a small request waits for another store's disk only behind a
//! large one of its own store. It does not overtake that one: transactions of one task keep their order, even if the
//! task does not wait for each answer.
//!
//! Nobody waits in a circle. A request that waits for its store's queue holds nothing. One that waits for the budget,
//! or behind another of its store that does, holds room only in its store's queue. One that has both is queued; a
//! commit answers it, or it is refused, and neither takes room. A store's queue takes at most half of the budget, so a
//! store whose disk hangs leaves the rest to the others. If several disks hang, large requests of other stores are
//! refused at the deadline.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::EngineConfig;
use crate::error::{FullQueue, Rejection, StorageError};
use crate::limits::TRANSACTION_ENCODED_BYTES_MAX;
use crate::runtime::deadlines::Deadlines;
use crate::runtime::waking::waking;

/// Room is counted in units of this many bytes.
const UNIT_BYTES: usize = 1024;

/// Each store's own room beside the budget: smaller requests wait for no other store.
const OWN_UNITS: usize = 16;

/// The units of a request of this size; one without bytes takes a unit too.
const fn units(bytes: usize) -> usize {
    bytes / UNIT_BYTES + 1
}

/// The budget of the queues of all stores.
pub(crate) struct QueuesBudget {
    free: Arc<Semaphore>,
    bytes: usize,
    /// Bytes of the requests that have room, in the budget or outside it.
    queued: AtomicUsize,
    /// How many they are.
    requests: AtomicUsize,
    deadlines: Arc<Deadlines>,
}

impl QueuesBudget {
    pub(crate) fn new(config: &EngineConfig, deadlines: &Arc<Deadlines>) -> Arc<Self> {
        Arc::new(Self {
            // Counted like a request, so that the largest fits into the smallest budget.
            free: Arc::new(Semaphore::new(units(config.queues_bytes))),
            bytes: config.queues_bytes,
            queued: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            deadlines: Arc::clone(deadlines),
        })
    }

    /// Queued bytes, in all stores.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Queued transactions, in all stores.
    pub(crate) fn queued_transactions(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// The room of one store.
pub(crate) struct QueueBudget {
    queue: Arc<Semaphore>,
    queue_bytes: usize,
    own: Arc<Semaphore>,
    /// Held by the one request of this store that waits for the budget; others queue behind it.
    turn: Semaphore,
    /// Never has room: waiting for it means waiting until the store is closed.
    closed: Semaphore,
    budget: Arc<QueuesBudget>,
    deadline: Duration,
}

/// The room of a request. Dropping it gives it back.
pub(crate) struct QueuePermit {
    budget: Arc<QueuesBudget>,
    bytes: usize,
    shared: Option<OwnedSemaphorePermit>,
    in_queue: Option<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for QueuePermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "room for {} bytes", self.bytes)
    }
}

impl Drop for QueuePermit {
    fn drop(&mut self) {
        self.budget.queued.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.requests.fetch_sub(1, Ordering::Relaxed);
        waking(|| drop(self.shared.take()));
        waking(|| drop(self.in_queue.take()));
    }
}

impl QueueBudget {
    pub(crate) fn new(config: &EngineConfig, budget: &Arc<QueuesBudget>) -> Self {
        let largest = (config.queues_bytes / 2).max(TRANSACTION_ENCODED_BYTES_MAX);
        let queue_bytes = config.queue_bytes.min(largest);
        Self {
            queue: Arc::new(Semaphore::new(units(queue_bytes))),
            queue_bytes,
            own: Arc::new(Semaphore::new(OWN_UNITS)),
            turn: Semaphore::new(1),
            closed: Semaphore::new(0),
            budget: Arc::clone(budget),
            deadline: config.queue_deadline,
        }
    }

    /// Waits for room for a request.
    ///
    /// # Errors
    /// [`Rejection::QueueFull`] at the deadline for both waits together; [`Rejection::Storage`] once the store is
    /// closed.
    ///
    /// # Cancel safety
    /// A dropped future leaves its place, and what it had, to the next.
    pub(crate) async fn take(&self, bytes: usize) -> Result<QueuePermit, Rejection> {
        let units = u32::try_from(units(bytes)).expect("limits keep a transaction below 4 GiB");
        let mut full = FullQueue::OfStore(self.queue_bytes);
        let both = async {
            let in_queue = Arc::clone(&self.queue).acquire_many_owned(units).await.ok()?;
            full = FullQueue::OfAll(self.budget.bytes);
            let shared = match self.shared_at_once(units) {
                Some(shared) => shared,
                None => {
                    let _turn = self.turn.acquire().await.ok()?;
                    self.take_shared(units).await?
                }
            };
            Some((in_queue, shared))
        };
        match self.budget.deadlines.within(self.deadline, both).await {
            Ok(Some((in_queue, shared))) => {
                self.budget.queued.fetch_add(bytes, Ordering::Relaxed);
                self.budget.requests.fetch_add(1, Ordering::Relaxed);
                Ok(QueuePermit {
                    budget: Arc::clone(&self.budget),
                    bytes,
                    shared: Some(shared),
                    in_queue: Some(in_queue),
                })
            }
            Ok(None) => Err(Rejection::Storage(StorageError::Closed)),
            Err(waited) => Err(Rejection::QueueFull { waited, full }),
        }
    }

    /// Waits for what comes before room, for as long as for room.
    ///
    /// # Errors
    /// [`Rejection::QueueFull`] at the deadline.
    pub(crate) async fn before<T>(&self, what: impl Future<Output = T>) -> Result<T, Rejection> {
        let full = FullQueue::OfStore(self.queue_bytes);
        let came = self.budget.deadlines.within(self.deadline, what).await;
        came.map_err(|waited| Rejection::QueueFull { waited, full })
    }

    /// Room in the budget, unless another request of this store waits for it.
    fn shared_at_once(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        let is_free = self.turn.available_permits() > 0;
        let budget = is_free.then(|| Arc::clone(&self.budget.free))?;
        budget.try_acquire_many_owned(units).ok()
    }

    /// Room in the budget, or the store's own. `None`: the store is closed.
    async fn take_shared(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        let own = async {
            if units as usize <= OWN_UNITS {
                return Arc::clone(&self.own).acquire_many_owned(units).await.ok();
            }
            let _ = self.closed.acquire().await;
            None
        };
        let of_budget = Arc::clone(&self.budget.free).acquire_many_owned(units);
        let (mut own, mut of_budget) = (pin!(own), pin!(of_budget));
        std::future::poll_fn(|context| match own.as_mut().poll(context) {
            Poll::Ready(own) => Poll::Ready(own),
            Poll::Pending => of_budget.as_mut().poll(context).map(Result::ok),
        })
        .await
    }

    /// Refuses all requests from now on, waiting ones included.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.own.close();
        self.turn.close();
        self.closed.close();
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "schedules"))]
mod schedules;

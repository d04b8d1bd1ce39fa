//! Room in a store's queue: what producers may have waiting for the disk, in bytes. Whoever comes first is let in first,
//! so that a small transaction never starves behind large ones, nor a large one behind small ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::EngineConfig;
use crate::deadlines::Deadlines;
use crate::error::{Rejection, StorageError};

/// Room is counted in units of this many bytes.
const UNIT_BYTES: usize = 1024;

/// The room of one store.
pub(crate) struct Room {
    free: Arc<Semaphore>,
    bytes: usize,
    deadline: Duration,
    deadlines: Arc<Deadlines>,
}

/// The units of a request with so many bytes; one without any takes a place too.
fn units(bytes: usize) -> usize {
    bytes / UNIT_BYTES + 1
}

impl Room {
    pub(crate) fn new(config: &EngineConfig, deadlines: &Arc<Deadlines>) -> Self {
        Self {
            // As a request's are counted, so that the largest fits into the smallest queue.
            free: Arc::new(Semaphore::new(units(config.queue_bytes))),
            bytes: config.queue_bytes,
            deadline: config.queue_deadline,
            deadlines: Arc::clone(deadlines),
        }
    }

    /// Waits for room for a request. It is given back when what is returned is dropped.
    ///
    /// # Errors
    /// [`Rejection::QueueFull`] at the deadline; [`Rejection::Storage`] once the store is closed.
    ///
    /// # Cancel safety
    /// Whoever is dropped waiting leaves its place to the next.
    pub(crate) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let units = u32::try_from(units(bytes)).expect("limits keep a transaction below 4 GiB");
        let free = Arc::clone(&self.free).acquire_many_owned(units);
        match self.deadlines.within(self.deadline, free).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) => Err(Rejection::Storage(StorageError::Closed)),
            Err(waited) => Err(Rejection::QueueFull {
                waited,
                queue_bytes: self.bytes,
            }),
        }
    }

    /// Lets nobody in any more, those who wait included.
    pub(crate) fn close(&self) {
        self.free.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TRANSACTION_ENCODED_BYTES_MAX;
    use crate::{
        AppendError, Engine, LocalStore, OpenError, Record, SegmentPath, Sequence, Store as _, StoreId, Stores as _,
        Transaction,
    };

    const DEADLINE: Duration = Duration::from_millis(50);

    fn config(dir: &tempfile::TempDir, queue_deadline: Duration) -> EngineConfig {
        EngineConfig {
            queue_bytes: TRANSACTION_ENCODED_BYTES_MAX,
            queue_deadline,
            ..EngineConfig::new(dir.path())
        }
    }

    fn open(dir: &tempfile::TempDir, queue_deadline: Duration) -> (Engine, LocalStore) {
        let engine = Engine::open(config(dir, queue_deadline)).unwrap();
        let store = engine.open_store(StoreId(uuid::Uuid::from_u128(7))).unwrap();
        (engine, store)
    }

    fn path() -> SegmentPath {
        SegmentPath::new("s", "a").unwrap()
    }

    fn one(first: u64) -> Transaction {
        Transaction::single(path(), Sequence(first), vec![Record::new("x")])
    }

    fn full<T: std::fmt::Debug>(answer: Result<T, AppendError>) {
        match answer {
            Err(AppendError::Rejected(Rejection::QueueFull { waited, queue_bytes })) => {
                assert!(waited >= DEADLINE);
                assert_eq!(queue_bytes, TRANSACTION_ENCODED_BYTES_MAX);
            }
            other => panic!("expected a full queue, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn whatever_changes_a_store_is_told_at_the_deadline_that_there_is_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, store) = open(&dir, DEADLINE);
        store.append(one(1)).await.unwrap();
        let all = store.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
        assert_eq!(store.room.free.available_permits(), 0);
        full(store.append(one(2)).await);
        full(store.append_blocking(one(2)));
        full(store.trim(&path(), Sequence(1)).await);
        full(store.delete(&path()).await);
        assert!(store.writable().is_ok(), "nothing failed");
        assert_eq!(store.status().await.unwrap().entry_count, 1);
        drop(all);
        store.append_blocking(one(2)).unwrap();
        store.trim(&path(), Sequence(2)).await.unwrap();
        store.delete(&path()).await.unwrap();
        engine.close().await;
        assert_eq!(
            store.room.free.available_permits(),
            units(TRANSACTION_ENCODED_BYTES_MAX)
        );
    }

    #[tokio::test]
    async fn a_producer_that_gives_up_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (_engine, store) = open(&dir, crate::QUEUE_DEADLINE_MAX);
        let all = store.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
        for _ in 0..3 {
            assert!(tokio::time::timeout(DEADLINE, store.append(one(1))).await.is_err());
        }
        drop(all);
        assert_eq!(
            store.room.free.available_permits(),
            units(TRANSACTION_ENCODED_BYTES_MAX)
        );
        store.append(one(1)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn closing_wakes_those_who_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, store) = open(&dir, crate::QUEUE_DEADLINE_MAX);
        let _all = store.room.take(TRANSACTION_ENCODED_BYTES_MAX).await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.append(one(1)).await }
        });
        let blocking = std::thread::spawn({
            let store = store.clone();
            move || store.append_blocking(one(1))
        });
        // Long enough to wait; were it not, the test would only show less.
        tokio::time::sleep(DEADLINE).await;
        engine.close().await;
        for answer in [waiting.await.unwrap(), blocking.join().unwrap()] {
            assert!(
                matches!(
                    answer,
                    Err(AppendError::Rejected(Rejection::Storage(StorageError::Closed)))
                ),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn the_deadline_has_a_range() {
        let dir = tempfile::tempdir().unwrap();
        for deadline in [Duration::ZERO, Duration::MAX] {
            match config(&dir, deadline).validate() {
                Err(OpenError::Config(why)) => assert_eq!(why, "queue_deadline must be in 1ms..=3600s"),
                other => panic!("{other:?}"),
            }
        }
        config(&dir, crate::QUEUE_DEADLINE_MIN).validate().unwrap();
        config(&dir, crate::QUEUE_DEADLINE_MAX).validate().unwrap();
    }
}

#[cfg(all(test, feature = "schedules"))]
mod schedules {
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    use super::*;
    use crate::blocking;
    use crate::schedules::explore;
    use crate::schedules::time::FOR_EVER;
    use crate::sync::thread::{self, JoinHandle};

    const UNITS: usize = 4;

    fn room(deadline: Duration) -> Arc<Room> {
        let deadlines = Arc::new(Deadlines::new(true).unwrap());
        let config = EngineConfig {
            queue_bytes: (UNITS - 1) * UNIT_BYTES,
            queue_deadline: deadline,
            ..EngineConfig::new("/data")
        };
        Arc::new(Room::new(&config, &deadlines))
    }

    type Taking = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, Rejection>> + Send>>;

    /// Asks for so many units, and gets none yet.
    fn asks(room: &Arc<Room>, units: usize) -> Taking {
        let room = Arc::clone(room);
        let mut taking: Taking = Box::pin(async move { room.take((units - 1) * UNIT_BYTES).await });
        assert!(
            taking
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        taking
    }

    #[test]
    fn room_is_given_in_turns_and_who_gives_up_holds_up_nobody() {
        explore(4000, || {
            let room = room(FOR_EVER);
            let first = blocking::wait(None, room.take((UNITS - 1) * UNIT_BYTES)).unwrap();
            let order = Arc::new(Mutex::new(Vec::new()));
            // Each takes all of it: so the order in which they note it is that in which they got it.
            let waiting = (0..4).map(|who| (who, asks(&room, UNITS))).collect::<Vec<_>>();
            let waiting: Vec<JoinHandle<()>> = waiting
                .into_iter()
                .map(|(who, taking)| {
                    let order = Arc::clone(&order);
                    thread::spawn(move || {
                        if who == 1 {
                            return drop(taking);
                        }
                        let taken = blocking::wait(None, taking).unwrap();
                        order.lock().unwrap().push(who);
                        drop(taken);
                    })
                })
                .collect();
            drop(first);
            waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
            assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
            assert_eq!(room.free.available_permits(), UNITS);
        });
    }

    #[test]
    fn never_more_is_given_than_there_is_and_all_of_it_comes_back() {
        explore(4000, || {
            let room = room(Duration::from_millis(5));
            let given = Arc::new(AtomicUsize::new(0));
            let producers = [1, 3, 4].map(|units| {
                let (room, given) = (Arc::clone(&room), Arc::clone(&given));
                thread::spawn(move || {
                    for _ in 0..2 {
                        match blocking::wait(None, room.take((units - 1) * UNIT_BYTES)) {
                            Ok(taken) => {
                                assert!(given.fetch_add(units, Ordering::Relaxed) + units <= UNITS);
                                thread::yield_now();
                                given.fetch_sub(units, Ordering::Relaxed);
                                drop(taken);
                            }
                            Err(Rejection::QueueFull { waited, .. }) => assert!(waited >= room.deadline),
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                })
            });
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            assert_eq!(room.free.available_permits(), UNITS);
        });
    }

    #[test]
    fn closing_wakes_all_who_wait() {
        explore(4000, || {
            let room = room(FOR_EVER);
            let _all = blocking::wait(None, room.take((UNITS - 1) * UNIT_BYTES)).unwrap();
            let waiting = [1, 2].map(|units| {
                let room = Arc::clone(&room);
                thread::spawn(move || blocking::wait(None, room.take(units * UNIT_BYTES)).map(drop))
            });
            room.close();
            for waiting in waiting {
                assert!(matches!(
                    waiting.join().unwrap(),
                    Err(Rejection::Storage(StorageError::Closed))
                ));
            }
        });
    }
}

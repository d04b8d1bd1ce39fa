//! Room in the queues, under many orders of threads.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use super::*;
use crate::runtime::blocking;
use crate::runtime::sync::thread::{self, JoinHandle};
use crate::schedules::explore;
use crate::schedules::time::FOR_EVER;

const UNITS: usize = 4;

fn room(deadline: Duration) -> Arc<QueueBudget> {
    let [room] = rooms(UNITS, deadline);
    room
}

/// Rooms of stores whose queues are each as large as the budget of all.
fn rooms<const N: usize>(units: usize, queue_deadline: Duration) -> [Arc<QueueBudget>; N] {
    let deadlines = Arc::new(Deadlines::new(true).unwrap());
    let config = EngineConfig {
        queue_bytes: (units - 1) * UNIT_BYTES,
        queues_bytes: (units - 1) * UNIT_BYTES,
        queue_deadline,
        ..EngineConfig::new("/data")
    };
    let budget = QueuesBudget::new(&config, &deadlines);
    std::array::from_fn(|_| Arc::new(QueueBudget::new(&config, &budget)))
}

type Taking = Pin<Box<dyn Future<Output = Result<QueuePermit, Rejection>> + Send>>;

/// Asks for so many units, and gets none yet.
fn asks(room: &Arc<QueueBudget>, units: usize) -> Taking {
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

/// Takes room for a request of so many units and gives it back, or is told that there is none. Never is more given than there is.
fn produce(room: &QueueBudget, given: &AtomicUsize, units: usize, most: usize) {
    match blocking::wait(None, room.take((units - 1) * UNIT_BYTES)) {
        Ok(taken) => {
            assert!(given.fetch_add(units, Ordering::Relaxed) + units <= most);
            thread::yield_now();
            given.fetch_sub(units, Ordering::Relaxed);
            drop(taken);
        }
        Err(Rejection::QueueFull { waited, .. }) => assert!(waited >= room.deadline),
        Err(other) => panic!("{other:?}"),
    }
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
        assert_eq!(room.queue.available_permits(), UNITS);
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
                    produce(&room, &given, units, UNITS);
                }
            })
        });
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        assert_eq!(room.queue.available_permits(), UNITS);
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

/// The budget of two stores: requests of so many units go nowhere else.
const BUDGET_UNITS: usize = 2 * OWN_UNITS;

#[test]
fn two_stores_never_have_more_than_there_is_and_all_of_it_comes_back_whoever_gives_up() {
    explore(4000, || {
        let rooms: [_; 2] = rooms(BUDGET_UNITS, Duration::from_millis(5));
        let given = Arc::new(AtomicUsize::new(0));
        let producers = [
            (0, OWN_UNITS + 1),
            (0, BUDGET_UNITS),
            (1, BUDGET_UNITS),
            (1, OWN_UNITS + 1),
        ];
        let producers = producers.map(|(store, units)| {
            let (room, given) = (Arc::clone(&rooms[store]), Arc::clone(&given));
            thread::spawn(move || produce(&room, &given, units, BUDGET_UNITS))
        });
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        for room in &rooms {
            assert_eq!(room.queue.available_permits(), BUDGET_UNITS);
            assert_eq!(room.own.available_permits(), OWN_UNITS);
        }
        let budget = &rooms[0].budget;
        assert_eq!(
            (budget.free.available_permits(), budget.queued_bytes()),
            (BUDGET_UNITS, 0)
        );
    });
}

#[test]
fn nobody_waits_for_ever_where_all_are_answered() {
    explore(4000, || {
        let rooms: [_; 2] = rooms(BUDGET_UNITS, FOR_EVER);
        let producers = [0, 1].map(|store| {
            [1, OWN_UNITS, OWN_UNITS + 1, BUDGET_UNITS].map(|units| {
                let room = Arc::clone(&rooms[store]);
                thread::spawn(move || {
                    blocking::wait(None, room.take((units - 1) * UNIT_BYTES))
                        .map(drop)
                        .unwrap()
                })
            })
        });
        let producers = producers.into_iter().flatten();
        producers.for_each(|producer| producer.join().unwrap());
        assert_eq!(rooms[0].budget.free.available_permits(), BUDGET_UNITS);
    });
}

#[test]
fn small_requests_wait_for_no_other_store() {
    explore(2000, || {
        let rooms: [_; 2] = rooms(BUDGET_UNITS, FOR_EVER);
        let _hangs = blocking::wait(None, rooms[0].take((BUDGET_UNITS - 1) * UNIT_BYTES)).unwrap();
        let producers = [OWN_UNITS, 1, OWN_UNITS].map(|units| {
            let room = Arc::clone(&rooms[1]);
            thread::spawn(move || {
                blocking::wait(None, room.take((units - 1) * UNIT_BYTES))
                    .map(drop)
                    .unwrap()
            })
        });
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

#[test]
fn closing_a_store_wakes_those_of_it_who_wait_for_the_room_of_all() {
    explore(4000, || {
        let rooms: [_; 2] = rooms(BUDGET_UNITS, FOR_EVER);
        let _all = blocking::wait(None, rooms[0].take((BUDGET_UNITS - 1) * UNIT_BYTES)).unwrap();
        let waiting = [OWN_UNITS + 1, OWN_UNITS + 2].map(|units| {
            let room = Arc::clone(&rooms[1]);
            thread::spawn(move || blocking::wait(None, room.take((units - 1) * UNIT_BYTES)).map(drop))
        });
        rooms[1].close();
        for waiting in waiting {
            assert!(matches!(
                waiting.join().unwrap(),
                Err(Rejection::Storage(StorageError::Closed))
            ));
        }
    });
}

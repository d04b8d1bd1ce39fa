//! Who gets a place, who makes room, and what is refused; whatever may wait for a disk is done at once here.

use super::*;
use crate::disk::{Disk as _, LogFile};
use crate::simulation::Simulated;

const PATIENCE: Duration = Duration::from_secs(3600);

fn id(number: u128) -> StoreId {
    StoreId(uuid::Uuid::from_u128(number))
}

/// Does at once what is to be done, and counts the stores that were closed.
fn run(places: &mut OpenStores<u128>, mut jobs: Vec<StoreJob<u128>>, in_use: &[u128]) -> Vec<u128> {
    let mut closed = Vec::new();
    while let Some(job) = jobs.pop() {
        match job {
            StoreJob::Empty(..) => panic!("nobody reads here"),
            StoreJob::Seek(id) => assert!(places.found(id, Ok(true)).is_empty()),
            StoreJob::Open(id) => assert!(places.opened(id, Ok(id.0.as_u128())).is_none()),
            StoreJob::Close(id, number) => {
                closed.push(number);
                places.closed(id);
            }
        }
        jobs.extend(places.give(|store| !in_use.contains(store), false));
    }
    closed
}

fn ask(places: &mut OpenStores<u128>, number: u128, in_use: &[u128]) -> (Option<Result<u128, OpenError>>, Vec<u128>) {
    match places.ask(id(number), false, PATIENCE) {
        Asked::Open(store) => (Some(Ok(store)), Vec::new()),
        Asked::Refused(error) => (Some(Err(error)), Vec::new()),
        Asked::Wait(mut receive, job) => {
            let closed = run(places, job.into_iter().collect(), in_use);
            (receive.try_recv().ok(), closed)
        }
    }
}

#[test]
fn the_one_not_asked_for_the_longest_and_not_in_use_makes_room() {
    let mut places = OpenStores::new(3, Descriptors::unlimited());
    for number in [1, 2, 3, 1] {
        assert!(matches!(ask(&mut places, number, &[]), (Some(Ok(found)), _) if found == number));
    }
    assert_eq!(ask(&mut places, 4, &[2]).1, [3], "2 is in use, 1 was asked for again");
    assert_eq!(
        ask(&mut places, 5, &[]).1,
        [1],
        "2 counts as asked for when it was found in use"
    );
}

#[test]
fn who_finds_every_place_in_use_is_refused_and_takes_none() {
    let mut places = OpenStores::new(2, Descriptors::unlimited());
    for number in [1, 2] {
        ask(&mut places, number, &[]);
    }
    let (answer, closed) = ask(&mut places, 3, &[1, 2]);
    assert!(matches!(answer, Some(Err(OpenError::TooManyStores(2)))) && closed.is_empty());
    assert_eq!(places.unfinished(), [id(1), id(2)]);
    assert!(matches!(ask(&mut places, 3, &[1]), (Some(Ok(3)), closed) if closed == [2]));
}

#[test]
fn a_store_wanted_while_it_is_closed_is_opened_again() {
    let mut places = OpenStores::new(1, Descriptors::unlimited());
    ask(&mut places, 1, &[]);
    let Asked::Wait(mut second, Some(seek)) = places.ask(id(2), false, PATIENCE) else {
        panic!("it is not open")
    };
    let StoreJob::Seek(sought) = seek else { panic!() };
    places.found(sought, Ok(true));
    let mut jobs = places.give(|_| true, false);
    assert!(matches!(jobs[..], [StoreJob::Close(..)]));
    let Asked::Wait(mut again, None) = places.ask(id(1), false, PATIENCE) else {
        panic!("it is being closed")
    };
    assert_eq!(run(&mut places, std::mem::take(&mut jobs), &[]), [1, 2]);
    assert_eq!(
        (second.try_recv().unwrap().unwrap(), again.try_recv().unwrap().unwrap()),
        (2, 1)
    );
}

#[test]
fn a_store_that_is_not_there_takes_no_place_from_others_when_it_is_read() {
    let mut places = OpenStores::new(1, Descriptors::unlimited());
    ask(&mut places, 1, &[1]);
    let Asked::Wait(_, Some(StoreJob::Seek(sought))) = places.ask(id(2), true, PATIENCE) else {
        panic!("it is not open")
    };
    assert_eq!(places.found(sought, Ok(false)).len(), 1);
    assert!(places.give(|_| true, false).is_empty());
    assert_eq!(places.unfinished(), [id(1)]);
    let Asked::Wait(_waits, Some(StoreJob::Seek(sought))) = places.ask(id(2), false, PATIENCE) else {
        panic!("it is not open")
    };
    places.found(sought, Ok(false));
    let read = places.ask(id(2), true, PATIENCE);
    assert!(
        matches!(read, Asked::Wait(_, Some(StoreJob::Empty(..)))),
        "nor does it wait behind a write"
    );
}

/// As many are open as may be, and one more is asked for.
fn one_more_than_places(places: usize, hangs_after: Duration) -> (OpenStores<u128>, Vec<Waits>) {
    let mut table = OpenStores::new(places, Descriptors::unlimited());
    table.hangs_after = hangs_after;
    for number in 1..=places as u128 {
        ask(&mut table, number, &[]);
    }
    let waits = vec![queue(&mut table, 100)];
    (table, waits)
}

type Waits = oneshot::Receiver<Result<u128, OpenError>>;

fn queue(places: &mut OpenStores<u128>, number: u128) -> Waits {
    let Asked::Wait(waits, Some(StoreJob::Seek(_))) = places.ask(id(number), false, PATIENCE) else {
        panic!("it is not open")
    };
    places.found(id(number), Ok(true));
    waits
}

fn closes(places: &mut OpenStores<u128>) -> usize {
    let jobs = places.give(|_| true, true);
    assert!(jobs.iter().all(|job| matches!(job, StoreJob::Close(..))));
    jobs.len()
}

#[test]
fn another_store_at_rest_makes_room_where_the_closing_of_one_hangs() {
    let (mut places, _waits) = one_more_than_places(3, PATIENCE);
    assert_eq!(closes(&mut places), 1);
    assert_eq!(closes(&mut places), 0, "one is enough, as long as it may end");
    places.hangs_after = Duration::ZERO;
    assert_eq!(closes(&mut places), 1);
    places.closed(id(2));
    let jobs = places.give(|_| true, true);
    assert!(matches!(jobs[..], [StoreJob::Open(opens)] if opens == id(100)));
    places.opened(id(100), Ok(100));
    places.closed(id(1));
    assert_eq!(places.unfinished(), [id(3), id(100)]);
    assert!(
        matches!(ask(&mut places, 5, &[]).0, Some(Ok(5))),
        "the one that hung at last gave its place back"
    );
}

#[test]
fn not_every_store_is_closed_where_all_closings_hang() {
    let (mut places, _waits) = one_more_than_places(2 * HANGING_MAX, Duration::ZERO);
    let begun: usize = (0..2 * HANGING_MAX).map(|_| closes(&mut places)).sum();
    assert_eq!(begun, HANGING_MAX + 1);
}

#[test]
fn no_store_is_closed_for_someone_who_gave_up() {
    let (mut places, mut waits) = one_more_than_places(3, PATIENCE);
    drop(waits.pop());
    let _waits = queue(&mut places, 101);
    assert_eq!(closes(&mut places), 1);
    assert!(!places.unfinished().contains(&id(100)));
}

#[test]
fn no_second_opening_is_begun_beside_one_that_hangs_and_nobody_waits_for_it_again() {
    let mut places = OpenStores::<u128>::new(1, Descriptors::unlimited());
    let Asked::Wait(first, Some(StoreJob::Seek(_))) = places.ask(id(1), false, PATIENCE) else {
        panic!("it is not open")
    };
    assert!(matches!(places.ask(id(1), false, PATIENCE), Asked::Wait(_, None)));
    let refused = places.ask(id(1), false, Duration::ZERO);
    assert!(matches!(refused, Asked::Refused(OpenError::StillOpening { .. })));
    drop(first);
}

#[test]
fn whoever_waits_when_all_ends_is_told_and_what_opens_late_is_closed() {
    let mut places = OpenStores::<u128>::new(1, Descriptors::unlimited());
    let Asked::Wait(mut first, _) = places.ask(id(1), false, PATIENCE) else {
        panic!()
    };
    places.found(id(1), Ok(true));
    assert_eq!(places.give(|_| true, true).len(), 1);
    let Asked::Wait(mut second, _) = places.ask(id(2), false, PATIENCE) else {
        panic!()
    };
    assert!(places.end().is_empty());
    for waiting in [&mut first, &mut second] {
        let told = waiting.try_recv().unwrap();
        assert!(matches!(told, Err(OpenError::Storage(StorageError::Closed))));
    }
    assert_eq!(places.opened(id(1), Ok(1)), Some(1));
    places.closed(id(1));
    assert!(places.unfinished().is_empty());
}

/// Files of so many descriptors, each of a log of its own.
fn logs(descriptors: &Arc<Descriptors>, count: usize) -> Vec<Arc<dyn LogFile>> {
    let disk = Simulated::default();
    let file = disk.open_log(std::path::Path::new("/log"), true).unwrap();
    (0..count)
        .map(|_| descriptors.count(Arc::clone(&file), false))
        .collect()
}

#[test]
fn stores_that_hold_no_descriptors_are_as_many_as_may_be_and_those_that_do_make_room() {
    let descriptors = Descriptors::at_most(2);
    let mut places = OpenStores::new(100, Arc::clone(&descriptors));
    for number in 1..=50 {
        assert_eq!(ask(&mut places, number, &[]).1, [], "none is closed for it");
    }
    assert!(!places.is_short_of_descriptors());
    // Some of them are written to.
    let mut held = logs(&descriptors, 4);
    let jobs = places.give(|_| true, false);
    assert_eq!(
        run(&mut places, jobs, &[]).len(),
        4 - 2 + 48,
        "until what is too much is given back"
    );
    held.truncate(2);
    let (answer, _) = ask(&mut places, 60, &[60]);
    assert!(matches!(answer, Some(Err(OpenError::TooManyFiles(2)))), "{answer:?}");
    held.truncate(1);
    assert!(matches!(ask(&mut places, 60, &[]).0, Some(Ok(60))));
}

#[test]
fn who_finds_every_descriptor_in_use_is_told_that() {
    let descriptors = Descriptors::at_most(1);
    let mut places = OpenStores::new(100, Arc::clone(&descriptors));
    ask(&mut places, 1, &[]);
    let held = logs(&descriptors, 1);
    let (answer, closed) = ask(&mut places, 2, &[1]);
    let error = answer.unwrap().unwrap_err();
    assert!(
        matches!(error, OpenError::TooManyFiles(1)) && error.is_transient(),
        "{error}"
    );
    assert_eq!(closed, []);
    drop(held);
    assert!(matches!(ask(&mut places, 2, &[1]).0, Some(Ok(2))));
}

#[test]
fn where_no_descriptors_are_left_some_stores_at_rest_are_closed_but_not_all() {
    let mut places = OpenStores::new(64, Descriptors::unlimited());
    for number in 1..=64 {
        ask(&mut places, number, &[]);
    }
    let jobs = places.close_some(|&store| store != 1);
    assert_eq!(run(&mut places, jobs, &[1]), [5, 4, 3, 2]);
    let jobs = places.close_some(|&store| store != 1);
    assert_eq!(
        run(&mut places, jobs, &[1]),
        [9, 8, 7, 6],
        "those that it closed are no candidates any more"
    );
}

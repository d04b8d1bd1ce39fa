//! Projections over real servers: each entry handled, in order, whatever fails; what is parked waits and is replayed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamkit_client::projection::{
    CursorError, CursorStore, Failure, FileCursors, Handler, Progress, Projection, ProjectionError, Running, Standing,
};
use streamkit_client::record::{Entry, Name, Record, SegmentAppend, SegmentPath, Wanted};
use streamkit_client::*;

use crate::fixture::{Host, PATIENCE, Via, over_v2};

pub fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("orders", segment).unwrap()
}

pub fn parts() -> Vec<Wanted> {
    vec![Wanted::Space(Name::new("orders").unwrap())]
}

/// Pauses that no test waits long for.
pub const SOON: RetryPolicy = RetryPolicy {
    attempts: 3,
    first_pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(5),
    factor: 2.0,
};

pub async fn append(store: &StoreClient, segment: &str, payloads: &[&str]) {
    let records = payloads
        .iter()
        .map(|payload| Record::new(payload.to_string()))
        .collect();
    store.append(Append::behind(path(segment), records)).await.unwrap();
}

/// What was handled, in its order.
#[derive(Clone, Default)]
pub struct Handled(Arc<Mutex<Vec<(String, u64)>>>);

impl Handled {
    pub fn add(&self, entry: &Entry) {
        let segment = entry.path.segment.to_string();
        self.0.lock().unwrap().push((segment, entry.sequence.0));
    }

    pub fn of(&self, segment: &str) -> Vec<u64> {
        let all = self.0.lock().unwrap();
        let of_it = all.iter().filter(|(of, _)| of == segment);
        of_it.map(|(_, sequence)| *sequence).collect()
    }

    pub fn all(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap().clone()
    }
}

/// A cursor in memory that counts its saves.
#[derive(Clone, Default)]
pub struct InMemory(Arc<Mutex<Vec<Standing>>>);

impl CursorStore for InMemory {
    async fn load(&self) -> Result<Option<Standing>, CursorError> {
        Ok(self.0.lock().unwrap().last().cloned())
    }

    async fn save(&self, standing: &Standing) -> Result<(), CursorError> {
        self.0.lock().unwrap().push(standing.clone());
        Ok(())
    }
}

pub fn projection(store: &StoreClient) -> Projection {
    Projection::new(store.clone(), parts()).retries(SOON)
}

pub async fn until(running: &Running, is_such: impl FnMut(&Progress) -> bool) -> Progress {
    tokio::time::timeout(PATIENCE, running.until(is_such))
        .await
        .unwrap()
        .unwrap()
}

async fn stop(running: Running) -> Progress {
    tokio::time::timeout(PATIENCE, running.stop()).await.unwrap().unwrap()
}

fn counting(handled: &Handled) -> impl Handler {
    let handled = handled.clone();
    move |entry: Entry| {
        handled.add(&entry);
        std::future::ready(Ok(()))
    }
}

async fn what_is_there_and_what_comes_is_handled_once_over_stops_and_restarts(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let (handled, folder) = (Handled::default(), tempfile::tempdir().unwrap());
    let file = folder.path().join("cursor");
    append(&store, "a", &["1", "2", "3"]).await;
    let running = projection(&store).start(counting(&handled), FileCursors::open(&file).unwrap());
    let progress = until(&running, |progress| progress.is_caught_up).await;
    assert_eq!((progress.handled, handled.of("a")), (3, vec![1, 2, 3]));
    append(&store, "b", &["1"]).await;
    until(&running, |progress| progress.handled == 4).await;
    // Nobody else has the file meanwhile.
    let second = FileCursors::open(&file);
    assert!(matches!(second, Err(CursorError::InUse { .. })));
    let last = stop(running).await;
    assert!(last.saved > 0);

    // The server restarts, and the projection behind it: nothing comes twice.
    let host = host.restart().await;
    append(&store, "a", &["4"]).await;
    let running = projection(&store).start(counting(&handled), FileCursors::open(&file).unwrap());
    until(&running, |progress| progress.handled == 1).await;
    assert_eq!((handled.of("a"), handled.of("b")), (vec![1, 2, 3, 4], vec![1]));
    stop(running).await;

    // A damaged file is refused, and stays as it is.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let mut running = projection(&store).start(counting(&handled), FileCursors::open(&file).unwrap());
    let ended = tokio::time::timeout(PATIENCE, running.ended()).await.unwrap();
    let is_damaged = matches!(ended, Err(ProjectionError::Cursor(CursorError::Damaged { .. })));
    assert!(is_damaged, "{ended:?}");
    drop(running);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert_eq!(handled.all().len(), 5);
    host.stop().await;
}

async fn a_segment_that_keeps_failing_is_parked_alone_and_replayed_in_its_order(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let (handled, is_mended, cursors) = (
        Handled::default(),
        Arc::new(AtomicBool::new(false)),
        InMemory::default(),
    );
    let handler = || {
        let (handled, is_mended) = (handled.clone(), is_mended.clone());
        move |entry: Entry| {
            let (handled, is_mended) = (handled.clone(), is_mended.clone());
            async move {
                match &entry.payload[..] {
                    _ if is_mended.load(Ordering::Relaxed) => {}
                    b"panics" => panic!("as planned"),
                    b"hangs" => std::future::pending().await,
                    b"fails" => return Err(Failure::Retry("as planned".into())),
                    b"never" => return Err(Failure::Park("as planned".into())),
                    _ => {}
                }
                handled.add(&entry);
                Ok(())
            }
        }
    };
    let start = || {
        let quick = projection(&store).handler_timeout(Duration::from_millis(200));
        quick.start(handler(), cursors.clone())
    };
    for (segment, bad) in [("a", "panics"), ("b", "hangs"), ("c", "fails"), ("d", "never")] {
        append(&store, segment, &["1", bad, "3"]).await;
        append(&store, "fine", &["x"]).await;
        append(&store, segment, &["4"]).await;
    }
    let running = start();
    let progress = until(&running, |progress| progress.is_caught_up).await;
    assert_eq!(handled.of("fine"), [1, 2, 3, 4]);
    let parked: Vec<(String, u64)> = progress
        .parked
        .iter()
        .map(|(path, first)| (path.segment.to_string(), first.0))
        .collect();
    assert_eq!(parked, ["a", "b", "c", "d"].map(|segment| (segment.to_owned(), 2)));
    assert_eq!((progress.failed, progress.retried), (4, 6));

    // It fails again, and stays parked where it was; also over a restart.
    let refused = running.replay(&path("c")).await;
    assert!(
        matches!(&refused, Err(ProjectionError::StaysParked { sequence, .. }) if sequence.0 == 2),
        "{refused:?}"
    );
    assert!(matches!(
        running.replay(&path("fine")).await,
        Err(ProjectionError::NotParked { .. })
    ));
    stop(running).await;
    let running = start();
    append(&store, "a", &["5"]).await;
    append(&store, "fine", &["x"]).await;
    until(&running, |progress| progress.handled == 1).await;
    assert_eq!(handled.of("a"), [1]);
    // One is passed over, and the others are mended.
    assert_eq!(running.skip(&path("d")).await.unwrap(), 2);
    is_mended.store(true, Ordering::Relaxed);
    for (segment, count) in [("a", 4), ("b", 3), ("c", 3)] {
        assert_eq!(running.replay(&path(segment)).await.unwrap(), count);
        append(&store, segment, &["last"]).await;
    }
    append(&store, "d", &["last"]).await;
    until(&running, |progress| progress.handled == 1 + 2 + 10 + 4).await;
    assert_eq!(handled.of("a"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(handled.of("b"), [1, 2, 3, 4, 5]);
    assert_eq!(handled.of("c"), [1, 2, 3, 4, 5]);
    assert_eq!(handled.of("d"), [1, 3, 4, 5]);
    let last = stop(running).await;
    assert!(last.parked.is_empty());
    host.stop().await;
}

/// Steps of one entry: what is replayed while the follow stands before it does not come again.
async fn a_replay_that_runs_ahead_of_the_follow_is_not_handled_again(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let (handled, fails) = (Handled::default(), Arc::new(AtomicBool::new(true)));
    let (reached, gate) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    append(&store, "a", &["bad"]).await;
    append(&store, "b", &["stands"]).await;
    append(&store, "a", &["2", "3"]).await;
    append(&store, "b", &["2"]).await;
    let handler = {
        let (handled, fails, reached, gate) = (handled.clone(), fails.clone(), reached.clone(), gate.clone());
        move |entry: Entry| {
            let (handled, fails, reached, gate) = (handled.clone(), fails.clone(), reached.clone(), gate.clone());
            async move {
                match &entry.payload[..] {
                    b"bad" if fails.load(Ordering::Relaxed) => return Err(Failure::Park("bad".into())),
                    b"stands" => {
                        reached.notify_one();
                        gate.notified().await;
                    }
                    _ => {}
                }
                handled.add(&entry);
                Ok(())
            }
        }
    };
    let running = Arc::new(projection(&store).start(handler, InMemory::default()));
    tokio::time::timeout(PATIENCE, reached.notified()).await.unwrap();
    fails.store(false, Ordering::Relaxed);
    // It is asked for while the follow stands at b/1, and runs before a/2 comes.
    let (asking, asked) = (running.clone(), path("a"));
    let replay = tokio::spawn(async move { asking.replay(&asked).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.notify_one();
    let count = tokio::time::timeout(PATIENCE, replay).await.unwrap().unwrap().unwrap();
    assert!((1..=3).contains(&count), "{count}");
    append(&store, "a", &["4"]).await;
    until(&running, |progress| progress.handled == 6).await;
    assert_eq!((handled.of("a"), handled.of("b")), (vec![1, 2, 3, 4], vec![1, 2]));
    stop(Arc::into_inner(running).unwrap()).await;
    host.stop().await;
}

/// Otherwise the entries of the segment that is there now would look handled.
async fn a_parked_segment_that_was_deleted_and_begun_anew_is_told_and_can_be_passed_over(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let handled = Handled::default();
    let handler = {
        let handled = handled.clone();
        move |entry: Entry| {
            handled.add(&entry);
            std::future::ready(match &entry.payload[..] {
                b"bad" => Err(Failure::Park("bad".into())),
                _ => Ok(()),
            })
        }
    };
    append(&store, "a", &["1", "bad"]).await;
    let running = projection(&store).start(handler, InMemory::default());
    until(&running, |progress| progress.parked.len() == 1).await;
    store.delete("orders", "a").await.unwrap();
    append(&store, "a", &["anew", "anew", "anew"]).await;
    let gone = running.replay(&path("a")).await;
    assert!(
        matches!(
            &gone,
            Err(ProjectionError::Server(Error::Removed {
                sequence: 2,
                next: 1,
                ..
            }))
        ),
        "{gone:?}"
    );
    assert_eq!(running.skip(&path("a")).await.unwrap(), 3);
    append(&store, "a", &["4"]).await;
    until(&running, |progress| progress.handled == 5).await;
    assert_eq!(handled.of("a"), [1, 2, 1, 2, 3, 4]);
    stop(running).await;
    host.stop().await;
}

async fn more_segments_than_may_be_parked_stop_it_and_nothing_is_lost(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let cursors = InMemory::default();
    for segment in ["a", "b", "c"] {
        append(&store, segment, &["x"]).await;
    }
    let failing = |_: Entry| std::future::ready(Err(Failure::Park("none".into())));
    let mut running = projection(&store).parked_most(2).start(failing, cursors.clone());
    let ended = tokio::time::timeout(PATIENCE, running.ended()).await.unwrap();
    let Err(ProjectionError::TooManyParked { most: 2, path: at, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(at, path("c"));
    drop(running);
    let handled = Handled::default();
    let running = projection(&store).start(counting(&handled), cursors);
    until(&running, |progress| progress.is_caught_up).await;
    assert_eq!(handled.all(), [("c".to_owned(), 1)]);
    for segment in ["b", "a"] {
        running.replay(&path(segment)).await.unwrap();
    }
    assert_eq!(handled.all().len(), 3);
    stop(running).await;
    host.stop().await;
}

async fn what_does_not_pass_stops_it_with_that_error_and_other_parts_are_refused(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let cursors = InMemory::default();
    append(&store, "a", &["1"]).await;
    let (handled, folder) = (Handled::default(), tempfile::tempdir().unwrap());
    let running = projection(&store).start(counting(&handled), cursors.clone());
    until(&running, |progress| progress.is_caught_up).await;
    stop(running).await;
    let ended = async |mut running: Running| tokio::time::timeout(PATIENCE, running.ended()).await.unwrap();
    // Another space would be read from the middle on.
    let other = Projection::new(store.clone(), vec![Wanted::Space(Name::new("ledger").unwrap())]);
    let refused = ended(other.start(counting(&handled), cursors.clone())).await;
    assert!(matches!(refused, Err(ProjectionError::OtherFollow)), "{refused:?}");
    // A token that does not open the store.
    let client = host.client().token(crate::fixture::token(&[
        "streamkit::6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b11",
    ]));
    let denied = projection(&client.build().store(host.store)).start(counting(&handled), InMemory::default());
    let denied = ended(denied).await;
    assert!(
        matches!(denied, Err(ProjectionError::Server(Error::AccessDenied))),
        "{denied:?}"
    );
    // The handler says so; the entry comes again.
    append(&store, "a", &["2"]).await;
    let stops = |_: Entry| std::future::ready(Err(Failure::Stop("enough".into())));
    let stopped = ended(projection(&store).start(stops, cursors.clone())).await;
    assert!(matches!(stopped, Err(ProjectionError::ByHandler { .. })), "{stopped:?}");
    // A folder that is not there.
    let nowhere = folder.path().join("gone").join("cursor");
    assert!(matches!(FileCursors::open(nowhere), Err(CursorError::Storage(_))));
    let running = projection(&store).start(counting(&handled), cursors);
    until(&running, |progress| progress.handled == 1).await;
    assert_eq!(handled.of("a"), [1, 2]);
    stop(running).await;
    host.stop().await;
}

/// A stop waits for the handler under way, and for no other; what it did not handle comes again.
async fn a_stop_finishes_what_is_under_way_within_its_grace(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    append(&store, "a", &["1", "2", "3"]).await;
    for (grace, is_handled) in [(PATIENCE, true), (Duration::from_millis(10), false)] {
        let (handled, cursors) = (Handled::default(), InMemory::default());
        let (begun, gate) = (
            Arc::new(tokio::sync::Notify::new()),
            Arc::new(tokio::sync::Notify::new()),
        );
        let handler = {
            let (handled, begun, gate) = (handled.clone(), begun.clone(), gate.clone());
            move |entry: Entry| {
                let (handled, begun, gate) = (handled.clone(), begun.clone(), gate.clone());
                async move {
                    begun.notify_one();
                    gate.notified().await;
                    handled.add(&entry);
                    Ok(())
                }
            }
        };
        let running = projection(&store).grace(grace).start(handler, cursors.clone());
        tokio::time::timeout(PATIENCE, begun.notified()).await.unwrap();
        let stopping = tokio::spawn(running.stop());
        if is_handled {
            tokio::time::sleep(Duration::from_millis(50)).await;
            gate.notify_one();
        }
        tokio::time::timeout(PATIENCE, stopping)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        // One at most, within a transaction of three: the rest of it comes next.
        assert_eq!(handled.of("a"), if is_handled { vec![1] } else { vec![] });
        let rest = Handled::default();
        let running = projection(&store).start(counting(&rest), cursors);
        until(&running, |progress| progress.is_caught_up).await;
        assert_eq!(rest.of("a"), if is_handled { vec![2, 3] } else { vec![1, 2, 3] });
        stop(running).await;
    }
    host.stop().await;
}

/// What it needs is away for longer than a segment is retried: nothing is parked for that.
async fn who_waits_for_what_is_away_parks_nothing(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    append(&store, "a", &["1", "2"]).await;
    let (handled, tries) = (Handled::default(), Arc::new(AtomicU32::new(0)));
    let handler = {
        let (handled, tries) = (handled.clone(), tries.clone());
        move |entry: Entry| {
            std::future::ready(match tries.fetch_add(1, Ordering::Relaxed) {
                0..10 => Err(Failure::Wait("the database is away".into())),
                _ => {
                    handled.add(&entry);
                    Ok(())
                }
            })
        }
    };
    let running = projection(&store).start(handler, InMemory::default());
    let progress = until(&running, |progress| progress.is_caught_up).await;
    assert_eq!(
        (progress.retried, progress.failed, handled.of("a")),
        (10, 0, vec![1, 2])
    );
    stop(running).await;
    host.stop().await;
}

async fn from_now_on_means_the_now_of_the_first_start(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let (handled, cursors) = (Handled::default(), InMemory::default());
    append(&store, "a", &["before"]).await;
    let start = || projection(&store).from_now().start(counting(&handled), cursors.clone());
    let running = start();
    until(&running, |progress| progress.saved == 1).await;
    stop(running).await;
    append(&store, "a", &["while it is stopped"]).await;
    let running = start();
    until(&running, |progress| progress.handled == 1).await;
    assert_eq!(handled.of("a"), [2]);
    stop(running).await;
    host.stop().await;
}

/// One transaction to several segments, of which each is a part of a projection or not, and a filter.
async fn any_mix_of_parts_and_a_filter_are_handled_in_the_order_of_the_log(via: Via) {
    let host = Host::via(via).await;
    let store = host.client().build().store(host.store);
    let section = |path: SegmentPath, kind: &str| {
        let record = |n: u32| Record {
            payload: n.to_string().into(),
            metadata: record::Metadata::from_pairs([("kind", if n == 2 { "other" } else { kind })]),
        };
        SegmentAppend {
            path,
            first_sequence: SegmentAppend::NEXT,
            records: (1..=3).map(record).collect(),
        }
    };
    let all = ["a-1", "b-1", "b-2", "c"].map(path);
    for _ in 0..2 {
        let sections = all.iter().map(|path| section(path.clone(), "wanted")).collect();
        store.append(Append::new(sections)).await.unwrap();
    }
    let orders = Name::new("orders").unwrap();
    let mix = vec![Wanted::Prefix(orders, "b-".into()), Wanted::Segment(path("c"))];
    let handled = Handled::default();
    let filter = record::Filter {
        metadata: vec![("kind".into(), "wanted".into())],
        ..Default::default()
    };
    let running = Projection::new(store.clone(), mix)
        .filter(filter)
        .start(counting(&handled), InMemory::default());
    until(&running, |progress| progress.is_caught_up).await;
    let mut expected: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for segment in ["b-1", "b-2", "c"] {
        expected.insert(segment, vec![1, 3, 4, 6]);
    }
    for (segment, sequences) in expected {
        assert_eq!(handled.of(segment), sequences, "{segment}");
    }
    assert_eq!(handled.all().len(), 12);
    stop(running).await;
    host.stop().await;
}

#[tokio::test]
async fn a_server_that_speaks_v1_alone_has_no_follow_and_that_is_told() {
    let host = Host::via(Via::V1).await;
    let store = host.client().build().store(host.store);
    let mut running = projection(&store).start(counting(&Handled::default()), InMemory::default());
    let ended = tokio::time::timeout(PATIENCE, running.ended()).await.unwrap();
    let is_told = matches!(ended, Err(ProjectionError::Server(Error::NotInV1(_))));
    assert!(is_told, "{ended:?}");
    host.stop().await;
}

over_v2! {
    what_is_there_and_what_comes_is_handled_once_over_stops_and_restarts
    a_segment_that_keeps_failing_is_parked_alone_and_replayed_in_its_order
    a_replay_that_runs_ahead_of_the_follow_is_not_handled_again
    a_parked_segment_that_was_deleted_and_begun_anew_is_told_and_can_be_passed_over
    more_segments_than_may_be_parked_stop_it_and_nothing_is_lost
    what_does_not_pass_stops_it_with_that_error_and_other_parts_are_refused
    a_stop_finishes_what_is_under_way_within_its_grace
    who_waits_for_what_is_away_parks_nothing
    from_now_on_means_the_now_of_the_first_start
    any_mix_of_parts_and_a_filter_are_handled_in_the_order_of_the_log
}

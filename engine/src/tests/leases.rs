//! Leases across restarts, kills, checkpoints and repair, and as many as a store may hold, by a clock that the test turns.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::simulation::Simulated;
use crate::*;

const DIR: &str = "/data";
const STORE: StoreId = StoreId(Uuid::from_u128(7));
const TTL: Duration = Duration::from_secs(10);

/// Uptime that only a test lets go on.
#[derive(Clone, Default)]
struct Watch(Arc<AtomicU64>);

impl Watch {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp(1_780_000_000_000)
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn open(disk: &Simulated, watch: &Watch) -> Engine {
    open_at(DIR, disk, watch)
}

fn open_at(dir: &str, disk: &Simulated, watch: &Watch) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        clock: Arc::new(watch.clone()),
        disk: Arc::new(disk.clone()),
        open_stores: 1,
        ..EngineConfig::new(dir)
    })
    .unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn acquire(store: &dyn Store, key: &str, holder: &str) -> Option<Lease> {
    store.acquire_lease(&name(key), &name(holder), TTL).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_ran_out_make_room_for_others_and_those_that_are_held_do_not() {
    let (disk, watch) = (Simulated::default(), Watch::default());
    let engine = open(&disk, &watch);
    let store = engine.store(STORE).await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for key in 0..limits::LEASES_MAX {
        let store = store.clone();
        asking.spawn(async move { acquire(&*store, &key.to_string(), "a").await.unwrap() });
    }
    asking.join_all().await;
    let one_more = || async { store.acquire_lease(&name("more"), &name("a"), TTL).await };
    let refused = one_more().await;
    assert!(
        matches!(refused, Err(AppendError::Rejected(Rejection::TooManyLeases))),
        "{refused:?}"
    );
    assert!(
        acquire(&*store, "17", "a").await.is_some(),
        "one that is there may be renewed"
    );
    watch.pass(TTL);
    assert!(one_more().await.unwrap().is_some());
    drop(store);
    engine.close().await;
    let engine = open(&disk, &watch);
    let store = engine.store(STORE).await.unwrap();
    let refused = store.acquire_lease(&name("another"), &name("a"), TTL).await;
    assert!(
        matches!(refused, Err(AppendError::Rejected(Rejection::TooManyLeases))),
        "after a restart, too"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_renews_runs_out_however_often_its_store_gives_its_place_to_others() {
    let (disk, watch) = (Simulated::default(), Watch::default());
    let engine = open(&disk, &watch);
    let other = StoreId(Uuid::from_u128(8));
    let visit = async |key: &str, store| {
        let store = engine.store(store).await.unwrap();
        acquire(&*store, key, "b").await
    };
    let store = engine.store(STORE).await.unwrap();
    let first = acquire(&*store, "k", "a").await.unwrap();
    drop(store);
    for step in 0..10 {
        watch.pass(TTL / 10);
        assert!(visit("other", other).await.is_some(), "it takes the one place");
        assert_eq!(visit("k", STORE).await.is_some(), step == 9, "step {step}");
    }
    let store = engine.store(STORE).await.unwrap();
    let held = store.lease(&first.key).await.unwrap().unwrap();
    assert!(held.holder == name("b") && held.token > first.token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_survives_a_kill_and_a_close_and_counts_from_the_restart() {
    let (disk, watch) = (Simulated::default(), Watch::default());
    let engine = open(&disk, &watch);
    let store = engine.store(STORE).await.unwrap();
    let kept = acquire(&*store, "k", "a").await.unwrap();
    let released = acquire(&*store, "released", "a").await.unwrap();
    store.release_lease(&released.key, &released.holder).await.unwrap();
    watch.pass(TTL / 2);
    let killed = disk.after_kill();
    drop(store);
    engine.close().await;
    for disk in [killed, disk] {
        let engine = open(&disk, &watch);
        let store = engine.store(STORE).await.unwrap();
        watch.pass(TTL / 2);
        assert_eq!(acquire(&*store, "k", "b").await, None, "it does not end early");
        assert_eq!(store.lease(&kept.key).await.unwrap().as_ref(), Some(&kept));
        let again = acquire(&*store, "released", "b").await.unwrap();
        assert!(again.token > released.token && again.token > kept.token);
        watch.pass(TTL / 2);
        assert_eq!(store.lease(&kept.key).await.unwrap(), None);
        assert!(acquire(&*store, "k", "b").await.unwrap().token > again.token);
        drop(store);
        engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_stand_in_checkpoints_and_verify_agrees() {
    let (disk, watch) = (Simulated::default(), Watch::default());
    let engine = open(&disk, &watch);
    let store = engine.store(STORE).await.unwrap();
    let lease = acquire(&*store, "k", "a").await.unwrap();
    // Several extents, so that nobody replays the grant.
    for first in 1..=40 {
        let path = SegmentPath::new("s", "a").unwrap();
        let record = Record::new(vec![7; 20_000]);
        store
            .append(Transaction::single(path, Sequence(first), vec![record]))
            .await
            .unwrap();
    }
    drop(store);
    engine.close().await;
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let report = verify_on(&shared, Path::new(DIR), &mut |_| {}).unwrap();
    assert!(report.stores.iter().all(|store| store.damage.is_empty()), "{report:?}");
    let engine = open(&disk, &watch);
    let store = engine.store(STORE).await.unwrap();
    assert_eq!(store.lease(&lease.key).await.unwrap(), Some(lease));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_salvaged_holds_no_lease_and_no_token_comes_again() {
    let (disk, watch) = (Simulated::default(), Watch::default());
    let engine = open(&disk, &watch);
    let store = engine.store(STORE).await.unwrap();
    let mut last = acquire(&*store, "k", "a").await.unwrap();
    // By the clock alone the next ones would not be larger: it stands still.
    for _ in 0..5 {
        store.release_lease(&last.key, &last.holder).await.unwrap();
        last = acquire(&*store, "k", "a").await.unwrap();
    }
    drop(store);
    engine.close().await;
    let (shared, target): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), "/repaired");
    let repaired = repair_on(&shared, Path::new(DIR), Path::new(target), Keep::Newest, &mut |_| {}).unwrap();
    assert!(repaired.is_complete(), "{repaired:?}");
    let engine = open_at(target, &disk, &watch);
    let store = engine.store(STORE).await.unwrap();
    assert_eq!(store.lease(&last.key).await.unwrap(), None);
    let fence = Fence {
        key: last.key,
        token: last.token,
    };
    let path = SegmentPath::new("s", "a").unwrap();
    let append = Transaction::single(path, Sequence(1), vec![Record::new("x")]).fenced(fence);
    let refused = store.append(append).await;
    assert!(
        matches!(refused, Err(AppendError::Rejected(Rejection::FencedOff(_)))),
        "{refused:?}"
    );
    assert!(acquire(&*store, "k", "b").await.unwrap().token > last.token);
}

//! As many leases as a store may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Clock;
use crate::simulation::Simulated;
use crate::*;

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
    Engine::open(EngineConfig {
        clock: Arc::new(watch.clone()),
        disk: Arc::new(disk.clone()),
        open_stores: 1,
        ..EngineConfig::new("/data")
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

//! Leases across restarts, kills, checkpoints and repair, by a clock that the test turns.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streamkit_engine::clock::Clock;
use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(7));
const TTL: Duration = Duration::from_secs(10);

/// Uptime that only a test lets go on; the time of day stands still.
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

fn open(dir: &Path, watch: &Watch) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        clock: Arc::new(watch.clone()),
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

/// A copy of a directory as a kill would leave it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for found in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(found.file_name());
        match found.file_type().unwrap().is_dir() {
            true => copy(&found.path(), &target),
            false => drop(std::fs::copy(found.path(), target).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_survives_a_kill_and_a_close_and_counts_from_the_restart() {
    let (dir, watch) = (tempfile::tempdir().unwrap(), Watch::default());
    let (first, killed) = (dir.path().join("first"), dir.path().join("killed"));
    let engine = open(&first, &watch);
    let store = engine.store(STORE).await.unwrap();
    let kept = acquire(&*store, "k", "a").await.unwrap();
    let released = acquire(&*store, "released", "a").await.unwrap();
    store.release_lease(&released.key, &released.holder).await.unwrap();
    watch.pass(TTL / 2);
    copy(&first, &killed);
    drop(store);
    engine.close().await;
    for dir in [killed, first] {
        let engine = open(&dir, &watch);
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
    let (dir, watch) = (tempfile::tempdir().unwrap(), Watch::default());
    let engine = open(dir.path(), &watch);
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
    let report = verify(dir.path(), &mut |_| {}).unwrap();
    assert!(report.stores.iter().all(|store| store.damage.is_empty()), "{report:?}");
    let engine = open(dir.path(), &watch);
    let store = engine.store(STORE).await.unwrap();
    assert_eq!(store.lease(&lease.key).await.unwrap(), Some(lease));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_salvaged_holds_no_lease_and_no_token_comes_again() {
    let (dir, watch) = (tempfile::tempdir().unwrap(), Watch::default());
    let (broken, target) = (dir.path().join("broken"), dir.path().join("target"));
    let engine = open(&broken, &watch);
    let store = engine.store(STORE).await.unwrap();
    let mut last = acquire(&*store, "k", "a").await.unwrap();
    // By the clock alone the next ones would not be larger: it stands still.
    for _ in 0..5 {
        store.release_lease(&last.key, &last.holder).await.unwrap();
        last = acquire(&*store, "k", "a").await.unwrap();
    }
    drop(store);
    engine.close().await;
    let disk = streamkit_engine::disk::best();
    let repaired = repair_on(&disk, &broken, &target, Keep::Newest, &mut |_| {}).unwrap();
    assert!(repaired.is_complete(), "{repaired:?}");
    let engine = open(&target, &watch);
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

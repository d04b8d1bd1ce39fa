//! More stores than may be open, and stores whose disk hangs. No caller is refused while a store is idle, and none
//! waits for another's disk.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use streamkit_engine::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, best};
use streamkit_engine::*;
use tokio::task::JoinSet;
use uuid::Uuid;

fn id(number: u64) -> StoreId {
    StoreId(Uuid::from_u128(u128::from(number)))
}

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

fn open(dir: &tempfile::TempDir, open_stores: usize, open_deadline: Duration) -> Engine {
    let config = EngineConfig {
        open_stores,
        open_deadline,
        ..EngineConfig::new(dir.path())
    };
    Engine::open(config).unwrap()
}

/// As many as the machine has time for: a refusal is a fault here, being slow is none.
const PATIENT: Duration = Duration::from_secs(300);

async fn append(store: &dyn Store, sequence: u64) {
    let transaction = Transaction::single(path(), Sequence(sequence), vec![Record::new("x")]);
    store.append(transaction).await.unwrap();
}

/// Runs `work` for each number, so many at a time.
async fn at_a_time<F: Future<Output = ()> + Send + 'static>(count: usize, all: u64, work: impl Fn(u64) -> F) {
    let mut running = JoinSet::new();
    for number in 1..=all {
        if running.len() >= count {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(work(number));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_thousand_stores_in_turn_none_is_refused_whether_or_not_as_many_are_open_as_asked_for_at_once() {
    for places in [64, 8] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(&dir, places, PATIENT);
        at_a_time(50, 10_000, |number| {
            let engine = engine.clone();
            async move {
                let store = engine.store(id(number)).await.unwrap();
                if number % 100 == 0 {
                    append(&*store, 1).await;
                }
                drop(store);
            }
        })
        .await;
        assert!(engine.unfinished().len() <= places);
        engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_come_back_while_they_are_closed_for_others_have_what_they_had() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir, 4, PATIENT);
    for round in 1..=5 {
        at_a_time(16, 24, |number| {
            let engine = engine.clone();
            async move {
                append(&*engine.store(id(number % 24)).await.unwrap(), round).await;
                let store = engine.store_to_read(id(number % 24)).await.unwrap();
                assert_eq!(store.peek(&path()).await.unwrap().unwrap().sequence, Sequence(round));
            }
        })
        .await;
    }
    assert!(engine.unfinished().len() <= 4);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_read_as_empty_takes_no_place_and_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir, 2, Duration::from_secs(1));
    let held = [engine.store(id(1)).await.unwrap(), engine.store(id(2)).await.unwrap()];
    for number in 10..100 {
        let absent = engine.store_to_read(id(number)).await.unwrap();
        assert_eq!(absent.status().await.unwrap().segment_count, 0);
        assert!(absent.peek(&path()).await.unwrap().is_none());
        let refused = absent
            .append(Transaction::single(path(), Sequence(1), vec![Record::new("x")]))
            .await;
        let AppendError::Rejected(Rejection::Storage(StorageError::Closed)) = refused.unwrap_err() else {
            panic!("it would be lost")
        };
    }
    assert_eq!(engine.unfinished(), [id(1), id(2)]);
    let refused = engine.store(id(3)).await.err().unwrap();
    assert!(matches!(refused, OpenError::TooManyStores(2)) && refused.is_transient());
    drop(held);
    append(&*engine.store(id(3)).await.unwrap(), 1).await;
    let there = engine.store_to_read(id(3)).await.unwrap();
    assert!(there.peek(&path()).await.unwrap().is_some());
    assert_eq!(std::fs::read_dir(dir.path().join("stores")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_store_that_somebody_reads_is_not_closed_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir, 1, Duration::from_secs(1));
    append(&*engine.store(id(1)).await.unwrap(), 1).await;
    let mut reader = engine
        .store(id(1))
        .await
        .unwrap()
        .read_segment(SegmentRead::all(path()));
    assert!(matches!(engine.store(id(2)).await, Err(OpenError::TooManyStores(1))));
    assert_eq!(reader.next_batch().await.unwrap().unwrap().len(), 1);
    drop(reader);
    engine.store(id(2)).await.unwrap();
}

/// A disk on which what is asked of some stores' folders is not answered until it is let go on.
#[derive(Clone, Default)]
struct Hanging(Arc<(Mutex<BTreeSet<String>>, Condvar)>, Arc<Mutex<Vec<PathBuf>>>);

impl Hanging {
    fn hang(&self, store: StoreId) {
        self.0.0.lock().unwrap().insert(store.to_string());
    }

    /// How often anything was asked of a store's folder.
    fn asked_of(&self, store: StoreId) -> usize {
        let (store, asked) = (store.to_string(), self.1.lock().unwrap());
        asked
            .iter()
            .filter(|path| path.to_string_lossy().contains(&store))
            .count()
    }

    fn go_on(&self) {
        self.0.0.lock().unwrap().clear();
        self.0.1.notify_all();
    }

    fn pass(&self, path: &Path) {
        self.1.lock().unwrap().push(path.to_owned());
        let hangs = |hanging: &mut BTreeSet<String>| hanging.iter().any(|store| path.to_string_lossy().contains(store));
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), hangs).unwrap());
    }
}

impl Disk for Hanging {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(path);
        best().create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.pass(path);
        best().list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.pass(path);
        best().open(path, mode)
    }
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        self.pass(path);
        best().open_log(path, create)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(to);
        best().rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass(path);
        best().remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(path);
        best().sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        best().lock(path)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_whose_disk_hangs_keep_no_other_waiting_and_are_refused_until_it_moves() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Hanging::default());
    let config = EngineConfig {
        open_deadline: Duration::from_secs(2),
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(config).unwrap();
    let mut asked = JoinSet::new();
    for number in 1..=20 {
        disk.hang(id(number));
        for _ in 0..3 {
            let engine = engine.clone();
            asked.spawn(async move { engine.store(id(number)).await.err() });
        }
    }
    while let Some(refused) = asked.join_next().await {
        let refused = refused.unwrap().expect("it hangs");
        assert!(
            matches!(refused, OpenError::StillOpening { .. }) && refused.is_transient(),
            "{refused}"
        );
    }
    // It is known to hang: nobody waits for it again, nor beside it.
    assert!(matches!(engine.open_store(id(1)), Err(OpenError::StillOpening { .. })));
    for number in 100..200 {
        engine.store(id(number)).await.unwrap();
    }
    disk.go_on();
    while engine.store(id(1)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    append(&*engine.store(id(1)).await.unwrap(), 1).await;
    engine.close().await;
}

#[tokio::test]
async fn who_reads_a_store_that_is_not_there_looks_for_it_once_and_touches_nothing() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Hanging::default());
    let config = EngineConfig {
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(config).unwrap();
    let absent = engine.store_to_read(id(1)).await.unwrap();
    assert_eq!(disk.asked_of(id(1)), 1);
    // It is written to meanwhile, by its one writer.
    append(&*engine.store(id(1)).await.unwrap(), 1).await;
    let asked = disk.asked_of(id(1));
    assert!(absent.trim(&path(), Sequence(1)).await.is_err());
    assert!(absent.delete(&path()).await.is_err());
    assert!(absent.publish(&path(), vec![Record::new("x")]).await.is_err());
    assert_eq!(absent.status().await.unwrap().segment_count, 0);
    assert!(
        absent
            .read_segment(SegmentRead::all(path()))
            .next_batch()
            .await
            .unwrap()
            .is_none()
    );
    drop(absent);
    assert_eq!(disk.asked_of(id(1)), asked);
    let there = engine.store_to_read(id(1)).await.unwrap();
    assert_eq!(there.peek(&path()).await.unwrap().unwrap().sequence, Sequence(1));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_disk_hangs_when_it_is_closed_for_another_has_one_more_closed() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Hanging::default());
    let config = EngineConfig {
        open_stores: 3,
        open_deadline: PATIENT,
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(config).unwrap();
    for number in 1..=3 {
        append(&*engine.store(id(number)).await.unwrap(), 1).await;
    }
    disk.hang(id(1));
    append(&*engine.store(id(4)).await.unwrap(), 1).await;
    let unfinished = engine.unfinished();
    assert!(unfinished.contains(&id(1)) && unfinished.contains(&id(4)));
    disk.go_on();
    append(&*engine.store(id(1)).await.unwrap(), 2).await;
    engine.close().await;
}

#[tokio::test]
async fn who_follows_the_tail_of_a_store_that_is_closed_for_others_hears_of_its_next_commit_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir, 1, PATIENT);
    let mut tail = engine.store(id(1)).await.unwrap().durable_tail();
    for sequence in 1..=20 {
        append(&*engine.store(id(2)).await.unwrap(), sequence).await;
        assert!(!tail.has_changed().unwrap());
        // It is opened again, to be read alone and to be written to.
        drop(engine.store_to_read(id(1)).await.unwrap());
        let store = engine.store(id(1)).await.unwrap();
        assert!(!tail.has_changed().unwrap());
        let mark = *tail.borrow();
        append(&*store, sequence).await;
        assert!(tail.has_changed().unwrap() && *tail.borrow_and_update() > mark);
        let changes = store.changed_since(mark).await.unwrap();
        assert_eq!(changes.until, *tail.borrow());
        let segments = changes.segments.expect("it is known which segments changed");
        assert!(segments.iter().map(|status| &status.path).eq([&path()]));
    }
    engine.close().await;
    assert!(tail.has_changed().is_err(), "nothing more comes");
}

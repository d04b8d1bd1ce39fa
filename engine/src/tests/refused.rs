//! If the log cannot be made ready for a group, nothing of the group is written, and its producer learns it. A failed
//! write or sync is different.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::disk::blocks::Blocks;
use crate::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};
use crate::simulation::Simulated;
use crate::{
    AppendError, Engine, EngineConfig, Record, Rejection, SegmentPath, SegmentRead, Sequence, StorageError, Store,
    StoreId, Stores as _, Transaction, limits,
};

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(7));

/// What is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    /// A folder is made.
    Folder,
    /// A file of the log is made.
    Make,
    /// One that is there is opened.
    Open,
    /// Room is taken for it.
    Allocate,
    /// It is filled.
    Grow,
    /// Its size is made durable.
    Settle,
    /// It gets its name.
    Rename,
    /// The names of a folder are to be synced, and it cannot be opened.
    Names,
    /// It is asked how much is free.
    Free,
}

/// The simulated disk, of which some calls are refused before they do anything.
#[derive(Clone)]
struct Refusing {
    disk: Simulated,
    refused: Arc<Mutex<Option<(Call, i32)>>>,
}

struct Log {
    file: Arc<dyn LogFile>,
    disk: Refusing,
}

impl Refusing {
    fn check(&self, call: Call) -> io::Result<()> {
        match *self.refused.lock().unwrap() {
            Some((refused, number)) if refused == call => Err(io::Error::from_raw_os_error(number)),
            _ => Ok(()),
        }
    }
}

impl Disk for Refusing {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.check(Call::Folder)?;
        self.disk.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, mode)
    }
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        self.check(if create { Call::Make } else { Call::Open })?;
        let (file, disk) = (self.disk.open_log(path, create)?, self.clone());
        Ok(Arc::new(Log { file, disk }))
    }
    fn write_queue(&self, held: Option<std::fs::File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        self.disk.write_queue(held)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        self.check(Call::Free)?;
        self.disk.free_bytes(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Call::Rename)?;
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(Call::Names)?;
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.lock(path)
    }
}

impl LogFile for Log {
    fn path(&self) -> &PathBuf {
        self.file.path()
    }
    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.write(offset, blocks)
    }
    fn is_queueable(&self) -> bool {
        self.file.is_queueable()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self.file.as_any()
    }
    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.disk.check(Call::Grow)?;
        self.file.grow(offset, blocks)
    }
    fn allocate(&self, size: u64) -> io::Result<bool> {
        self.disk.check(Call::Allocate)?;
        self.file.allocate(size)
    }
    fn settle(&self, size: u64) -> io::Result<()> {
        self.disk.check(Call::Settle)?;
        self.file.settle(size)
    }
}

fn engine(disk: &Refusing) -> Engine {
    Engine::open(EngineConfig {
        disk: Arc::new(disk.clone()),
        extent_bytes: limits::EXTENT_BYTES_MIN,
        commit_threads: 1,
        read_threads: 1,
        keep_free_bytes: 4096,
        ..EngineConfig::new("/data")
    })
    .expect("nothing is damaged")
}

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

async fn append(store: &dyn Store, sequence: u64) -> Result<(), AppendError> {
    let records = vec![Record::new(format!("{sequence} {}", "x".repeat(3000)))];
    let appended = store.append(Transaction::single(path(), Sequence(sequence), records));
    appended.await.map(drop)
}

async fn head(store: &dyn Store) -> u64 {
    let mut reader = store.read_segment(SegmentRead::all(path()));
    let mut head = 0;
    while let Some(batch) = reader.next_batch().await.expect("reads go on") {
        head += batch.len() as u64;
    }
    head
}

/// Appends until one is refused while these calls are, then lifts that: nothing of what was refused is there, and it goes on.
async fn live(queue: bool, first: u64, call: Call, number: i32) -> bool {
    let what = format!("queue {queue}, {call:?}, error {number}, after {first}");
    let simulated = Simulated::new(first + 1);
    if queue {
        simulated.queue_writes(true);
    }
    let disk = Refusing {
        disk: simulated.clone(),
        refused: Arc::default(),
    };
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    let mut acknowledged = 0;
    while acknowledged < first {
        acknowledged += 1;
        append(&*store, acknowledged).await.unwrap();
    }
    *disk.refused.lock().unwrap() = Some((call, number));
    let refused = loop {
        match append(&*store, acknowledged + 1).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break Some(error),
        }
        if acknowledged == first + 60 {
            break None;
        }
    };
    if let Some(refused) = &refused {
        let again = append(&*store, acknowledged + 1).await.unwrap_err();
        for error in [refused, &again] {
            let full = matches!(error, AppendError::Rejected(Rejection::DiskFull));
            let not_ready = matches!(
                error,
                AppendError::Rejected(Rejection::NotReady(StorageError::Io { .. }))
            );
            assert!(full || not_ready, "{what}: {error}");
            assert_eq!(full, [28, 122].contains(&number), "{what}: {error}");
        }
        assert!(store.writable().is_ok(), "{what}: nothing is unknown");
        // A full disk passes; of anything else readiness says that the next append will meet it.
        let is_full = matches!(refused, AppendError::Rejected(Rejection::DiskFull));
        assert_eq!(running.ready().is_ok(), is_full, "{what}");
        assert_eq!(head(&*store).await, acknowledged, "{what}");
        // What still fits needs nothing that is refused, and readiness tells of the last append.
        let small = Transaction::single(path(), Sequence(acknowledged + 1), vec![Record::new("x")]);
        if store.append(small).await.is_ok() {
            acknowledged += 1;
            assert!(running.ready().is_ok(), "{what}");
        }
    }
    *disk.refused.lock().unwrap() = None;
    for _ in 0..30 {
        acknowledged += 1;
        let appended = append(&*store, acknowledged).await;
        appended.unwrap_or_else(|error| panic!("{what}: it goes on by itself: {error}"));
        assert!(running.ready().is_ok(), "{what}");
    }
    drop(store);
    running.close().await;
    let disk = Refusing {
        disk: simulated.after_worst_power_loss(),
        refused: Arc::default(),
    };
    let reopened = engine(&disk);
    let store = reopened
        .store(STORE)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(head(&*store).await, acknowledged, "{what}");
    reopened.close().await;
    refused.is_some()
}

#[tokio::test]
async fn what_is_refused_before_a_group_is_written_halts_nothing_and_says_that_nothing_was_written() {
    // Gone, not permitted, out of memory, may not be written to, not a folder, too many open files (of the system, of the
    // process), too large, full, read-only, over quota.
    const NUMBERS: [i32; 11] = [2, 1, 12, 13, 20, 23, 24, 27, 28, 30, 122];
    use Call::*;
    let calls = [Folder, Make, Open, Allocate, Grow, Settle, Rename, Names, Free];
    for call in calls {
        let mut refused = 0;
        for number in NUMBERS {
            // A sync that found no room has failed: nobody knows what it left.
            if call == Names && [27, 28, 30, 122].contains(&number) {
                continue;
            }
            for queue in [false, true] {
                for first in [0, 1, 9] {
                    refused += usize::from(live(queue, first, call, number).await);
                }
            }
        }
        assert!(refused > 0 || call == Open, "{call:?}: or nothing was tested");
    }
}

#[tokio::test]
async fn an_extent_that_an_earlier_open_prepared_and_that_cannot_be_opened_waits_until_it_can() {
    let simulated = Simulated::default();
    let disk = Refusing {
        disk: simulated.clone(),
        refused: Arc::default(),
    };
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    // So far that the next extent is prepared, and not begun.
    let mut head = 0;
    let is_prepared =
        |(path, bytes): (&PathBuf, &Vec<u8>)| path.extension().is_some_and(|e| e == "extent") && bytes[10] == 1;
    while !simulated.files().iter().any(is_prepared) {
        head += 1;
        append(&*store, head).await.unwrap();
    }
    drop(store);
    running.close().await;
    let running = engine(&disk);
    let store = running.store(STORE).await.unwrap();
    let mut refused = 0;
    for _ in 0..30 {
        *disk.refused.lock().unwrap() = Some((Call::Open, 24));
        if let Err(error) = append(&*store, head + 1).await {
            assert!(
                matches!(error, AppendError::Rejected(Rejection::NotReady(_))),
                "{error}"
            );
            refused += 1;
            *disk.refused.lock().unwrap() = None;
            append(&*store, head + 1).await.unwrap();
        }
        head += 1;
    }
    assert_eq!(refused, 1, "only that one has to be opened");
    running.close().await;
}

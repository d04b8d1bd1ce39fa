//! Stores of which an archive has the sealed files: what is fetched, when, what stays, and what happens when it does not come.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::replica::{DIR, Elsewhere, STORE, append, path, read, replica};
use crate::archive::{Archive, ArchivedDisk, ArchivedFile, FetchError, FilePart, Snapshot};
use crate::disk::Disk;
use crate::simulation::Simulated;
use crate::*;

/// An archive in memory.
#[derive(Default)]
struct Blobs {
    blobs: Mutex<HashMap<ArchivedFile, Vec<u8>>>,
    fetched: Mutex<Vec<ArchivedFile>>,
    is_away: AtomicBool,
}

impl Archive for Blobs {
    fn fetch(&self, file: &ArchivedFile) -> Result<Vec<u8>, FetchError> {
        self.fetched.lock().unwrap().push(*file);
        // Others come to wait meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(3));
        if self.is_away.load(Ordering::Relaxed) {
            return Err(FetchError::Away("the network is down".to_owned()));
        }
        let found = self.blobs.lock().unwrap().get(file).cloned();
        found.ok_or_else(|| FetchError::Damaged("nothing".to_owned()))
    }

    fn place(&self, file: &ArchivedFile) -> String {
        format!("blob {}-{:?}", file.extent, file.part)
    }
}

impl Blobs {
    /// Archives all of a replica that is sealed.
    fn take(&self, replica: &Replica) -> Snapshot {
        let snapshot = replica.snapshot().unwrap().unwrap();
        for file in replica.unarchived(&snapshot).unwrap() {
            let bytes = replica.archive_bytes(&file).unwrap();
            self.blobs.lock().unwrap().insert(file, bytes);
        }
        replica.archived(&snapshot).unwrap();
        assert_eq!(replica.unarchived(&snapshot).unwrap(), []);
        // As it comes to another host.
        Snapshot::decode(&snapshot.encode()).unwrap()
    }

    fn fetched(&self) -> Vec<ArchivedFile> {
        self.fetched.lock().unwrap().clone()
    }
}

/// A host with its disk.
struct Host {
    disk: Simulated,
    cache: ArchivedDisk,
    engine: Engine,
}

impl Host {
    fn new(disk: Simulated, blobs: &Arc<Blobs>, most: u64) -> Self {
        let archive = Arc::clone(blobs) as Arc<dyn Archive>;
        let cache = ArchivedDisk::new(Arc::new(disk.clone()), archive, Path::new(DIR), most).unwrap();
        let engine = Engine::open(EngineConfig {
            extent_bytes: 4 * limits::EXTENT_BYTES_MIN,
            disk: Arc::new(cache.clone()),
            ..EngineConfig::new(DIR)
        });
        let engine = engine.unwrap();
        Self { disk, cache, engine }
    }

    fn sealed_here(&self) -> usize {
        let names = self
            .disk
            .list(&Path::new(DIR).join("stores").join(STORE.to_string()))
            .unwrap();
        names.iter().filter(|name| name.ends_with(".index")).count()
    }
}

/// A host that landed most of a log and archived it, with the rest of the log.
fn archived(blobs: &Arc<Blobs>, most: u64) -> (Host, Replica, Snapshot, Vec<Vec<u8>>) {
    let host = Host::new(Simulated::new(1), blobs, most);
    let one = replica(&host.engine);
    let mut pieces = Elsewhere::of_all_kinds().0;
    let rest = pieces.split_off(pieces.len() - 4);
    pieces.iter().for_each(|piece| one.land(piece).unwrap());
    let snapshot = blobs.take(&one);
    (host, one, snapshot, rest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_an_empty_disk_begins_with_a_snapshot_and_fetches_what_is_read() {
    let blobs = Arc::new(Blobs::default());
    let (_first, one, snapshot, rest) = archived(&blobs, u64::MAX);
    let files = snapshot.files().count();
    assert!(files >= 6, "{files}");
    let second = Host::new(Simulated::new(2), &blobs, u64::MAX);
    assert!(!second.engine.holds(STORE).unwrap());
    second.engine.install(&snapshot).unwrap();
    assert!(second.engine.holds(STORE).unwrap());
    let other = replica(&second.engine);
    assert!(second.engine.install(&snapshot).is_err(), "it is open");
    assert_eq!(other.last(), one.last());
    for piece in &rest {
        one.land(piece).unwrap();
        other.land(piece).unwrap();
    }
    let status = one.store().segment_status(&path("a")).await.unwrap();
    assert_eq!(other.store().segment_status(&path("a")).await.unwrap(), status);
    assert_eq!(other.store().peek(&path("b")).await.unwrap().unwrap().payload, "again");
    assert_eq!(blobs.fetched(), [], "nothing of what is sealed was needed");
    let all = read(one.store(), LogCursor::default()).await;
    assert_eq!(blobs.fetched(), [], "the first host has its own files");
    assert_eq!(read(other.store(), LogCursor::default()).await, all);
    let mut fetched = blobs.fetched();
    fetched.sort();
    fetched.dedup();
    assert_eq!(fetched.len(), blobs.fetched().len(), "each once: {fetched:?}");
    assert_eq!(read(other.store(), LogCursor::default()).await, all);
    assert_eq!(blobs.fetched().len(), fetched.len(), "they stay");
    // Both go on alike: what they seal from here on has the same names and bytes.
    let (mut number, time) = (one.last().number, one.last().timestamp);
    for sequence in 60..90 {
        number += 1;
        let piece = append("a", sequence, &[&[9; 30_000]]).commit(number, time).to_vec();
        one.land(&piece).unwrap();
        other.land(&piece).unwrap();
    }
    let (mine, theirs) = (one.snapshot().unwrap().unwrap(), other.snapshot().unwrap().unwrap());
    assert!(mine.files().count() > files);
    assert!(mine == theirs);
    // After power loss, what was fetched is there.
    drop((other, second.engine));
    let again = Host::new(second.disk.after_power_loss(), &blobs, u64::MAX);
    let other = replica(&again.engine);
    assert_eq!(other.last(), one.last());
    let all = read(one.store(), LogCursor::default()).await;
    assert_eq!(read(other.store(), LogCursor::default()).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_stays_within_its_bound_and_removes_nothing_that_is_not_archived() {
    let blobs = Arc::new(Blobs::default());
    let most = 6 * limits::EXTENT_BYTES_MIN;
    let (first, one, snapshot, _) = archived(&blobs, most);
    let sealed = snapshot.files().filter(|file| file.part == FilePart::Groups).count();
    assert!(first.cache.figures().bytes <= most && first.cache.figures().removed > 0);
    assert!(first.sealed_here() < sealed);
    // Sealed since, and not archived.
    let (mut number, time) = (one.last().number, one.last().timestamp);
    let next = one
        .store()
        .segment_status(&path("a"))
        .await
        .unwrap()
        .unwrap()
        .last_sequence
        .0
        + 1;
    for sequence in next..next + 30 {
        number += 1;
        one.land(append("a", sequence, &[&[9; 30_000]]).commit(number, time))
            .unwrap();
    }
    let unarchived = one.unarchived(&one.snapshot().unwrap().unwrap()).unwrap();
    assert!(unarchived.len() >= 4);
    for _ in 0..3 {
        let wanted = vec![Wanted::Space(Name::new("orders").unwrap())];
        let behind = LogCursor::default();
        let mut reader = one
            .store()
            .read_pieces(PiecesRead::all(ReadSource::Log(wanted, behind)));
        while reader.next_batch().await.unwrap().is_some() {
            let figures = first.cache.figures();
            assert!(figures.bytes <= most, "{figures:?}");
        }
    }
    let figures = first.cache.figures();
    assert!(figures.fetched > 2 * sealed as u64, "{figures:?}");
    for file in unarchived {
        one.archive_bytes(&file).unwrap();
        assert!(!blobs.fetched().contains(&file));
    }
    blobs.take(&one);
    assert!(first.cache.figures().bytes <= most);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_fetch_each_file_once_and_none_takes_a_fetch_that_fails_for_the_end() {
    let blobs = Arc::new(Blobs::default());
    let (_first, one, snapshot, _) = archived(&blobs, u64::MAX);
    let all = read(one.store(), LogCursor::default()).await;
    let second = Host::new(Simulated::new(2), &blobs, u64::MAX);
    second.engine.install(&snapshot).unwrap();
    let other = Arc::new(replica(&second.engine));
    blobs.is_away.store(true, Ordering::Relaxed);
    let wanted = || ReadSource::Log(vec![Wanted::Space(Name::new("orders").unwrap())], LogCursor::default());
    let refused = other.store().read_pieces(PiecesRead::all(wanted())).next_batch().await;
    let Err(ReadError::Busy(busy)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        busy.why.contains("blob 1-") && busy.why.contains("the network is down"),
        "{busy}"
    );
    blobs.is_away.store(false, Ordering::Relaxed);
    blobs.fetched.lock().unwrap().clear();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let other = Arc::clone(&other);
            tokio::spawn(async move { read(other.store(), LogCursor::default()).await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), all);
    }
    let mut fetched = blobs.fetched();
    let count = fetched.len();
    fetched.sort();
    fetched.dedup();
    assert_eq!(fetched.len(), count, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_archive_is_told_with_its_name_and_is_not_kept() {
    let blobs = Arc::new(Blobs::default());
    let (_first, one, snapshot, _) = archived(&blobs, u64::MAX);
    let file = snapshot
        .files()
        .find(|file| (file.extent, file.part) == (2, FilePart::Groups))
        .unwrap();
    let good = blobs.blobs.lock().unwrap()[&file].clone();
    let second = Host::new(Simulated::new(2), &blobs, u64::MAX);
    second.engine.install(&snapshot).unwrap();
    let other = replica(&second.engine);
    let segment = || SegmentRead::all(path("a"));
    let mut other_bytes = good.clone();
    other_bytes[5000] ^= 1;
    for bad in [other_bytes, good[..good.len() - 1].to_vec(), [&good[..], b"0"].concat()] {
        blobs.blobs.lock().unwrap().insert(file, bad);
        let mut reader = other.store().read_segment(segment());
        let error = loop {
            match reader.next_batch().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("damage is not the end"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("blob 2-Groups"), "{error}");
    }
    blobs.blobs.lock().unwrap().remove(&file);
    let mut reader = other.store().read_segment(segment());
    while let Ok(batch) = reader.next_batch().await {
        assert!(batch.is_some(), "what is missing is not the end");
    }
    blobs.blobs.lock().unwrap().insert(file, good);
    let all = read(one.store(), LogCursor::default()).await;
    assert_eq!(read(other.store(), LogCursor::default()).await, all);
}

/// Snapshots are of another host: nothing in them is taken for granted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_list_of_what_is_archived_concerns_its_store_and_no_other() {
    let blobs = Arc::new(Blobs::default());
    let (host, one, ..) = archived(&blobs, u64::MAX);
    drop(one);
    host.engine.close().await;
    let list = Path::new(DIR).join("stores").join(STORE.to_string()).join("archived");
    crate::disk::replace(&host.disk, &list, b"no list").unwrap();
    let again = Host::new(host.disk.clone(), &blobs, u64::MAX);
    let refused = again.engine.open_store(STORE).err();
    assert!(refused.is_some_and(|error| !error.is_transient()));
    again.engine.open_store(StoreId(uuid::Uuid::from_u128(77))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_parts_that_do_not_belong_together_is_not_installed() {
    let blobs = Arc::new(Blobs::default());
    let (_first, one, snapshot, rest) = archived(&blobs, u64::MAX);
    one.land(&rest[0]).unwrap();
    let later = one.snapshot().unwrap().unwrap();
    let second = Host::new(Simulated::new(2), &blobs, u64::MAX);
    let refused = |change: &dyn Fn(&mut Snapshot)| {
        let mut wrong = snapshot.clone();
        change(&mut wrong);
        let error = second.engine.install(&wrong).unwrap_err();
        assert!(
            matches!(error, OpenError::Storage(StorageError::Corrupt { .. })),
            "{error}"
        );
        assert!(!second.engine.holds(STORE).unwrap());
    };
    refused(&|wrong| wrong.checkpoint = later.checkpoint.clone());
    refused(&|wrong| wrong.open = later.open.clone());
    refused(&|wrong| _ = wrong.sealed.pop());
    refused(&|wrong| _ = wrong.sealed.remove(0));
    refused(&|wrong| wrong.open.clear());
    refused(&|wrong| wrong.checkpoint.clear());
    refused(&|wrong| wrong.store = StoreId(uuid::Uuid::from_u128(8)));
}

/// One that lags behind begins anew, and loses its power at each step of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_replaced_by_a_snapshot_is_the_old_one_the_new_one_or_none_after_power_loss() {
    let blobs = Arc::new(Blobs::default());
    let (_first, one, snapshot, _) = archived(&blobs, u64::MAX);
    let behind = Host::new(Simulated::new(2), &blobs, u64::MAX);
    let pieces = Elsewhere::of_all_kinds().0;
    let old = replica(&behind.engine);
    pieces[..9].iter().for_each(|piece| old.land(piece).unwrap());
    let before = old.last();
    drop(old);
    behind.engine.close().await;
    let mut met = [0; 3];
    for changes in 0.. {
        let disk = behind.disk.copy();
        let host = Host::new(disk.clone(), &blobs, u64::MAX);
        disk.cut_power_after(changes);
        let installed = host.engine.install(&snapshot);
        let is_done = !disk.is_without_power();
        assert_eq!(installed.is_ok(), is_done, "{installed:?}");
        drop(host);
        let host = Host::new(disk.after_power_loss(), &blobs, u64::MAX);
        let what = match host.engine.holds(STORE).unwrap() {
            false => 0,
            true => match replica(&host.engine).last() {
                last if last == before => 1,
                last => {
                    assert_eq!(last, one.last());
                    2
                }
            },
        };
        met[what] += 1;
        assert!(!is_done || what == 2);
        host.engine.close().await;
        // It can be done again, whatever is left.
        let host = Host::new(host.disk.after_kill(), &blobs, u64::MAX);
        host.engine.install(&snapshot).unwrap();
        assert_eq!(replica(&host.engine).last(), one.last());
        if is_done {
            break;
        }
    }
    assert!(met[1] > 0 && met[2] > 0, "{met:?}");
}

//! Hosts with a bounded disk: what is sealed is archived for all, and fetched when it is read.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamkit_azure::account::{Account, Blobs};
use streamkit_azure::archive::{Archiving, cache};
use streamkit_azure::log::{Settings, StoreRoot};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{BlobKind, BlobName, Media, Medium as _, Root, Swapped};
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_azure::tools::{LogPlace, LogReport, Transactions, verify};
use streamkit_engine::archive::ArchivedDisk;
use streamkit_engine::limits::EXTENT_BYTES_MIN;
use streamkit_engine::*;
use uuid::Uuid;

use crate::proxy::Fate;
use crate::support::{OnEmulator, Proxied};

const STORE: StoreId = StoreId(Uuid::from_u128(11));

/// A host whose disk is a cache.
struct Host {
    stores: SharedStores,
    cache: ArchivedDisk,
    dir: tempfile::TempDir,
}

impl Host {
    fn new(account: &Arc<Account>, most: u64) -> Self {
        Self::again(account, most, tempfile::tempdir().unwrap())
    }

    fn again(account: &Arc<Account>, most: u64, dir: tempfile::TempDir) -> Self {
        Self::every(Archiving::default().period, account, most, dir)
    }

    /// One that archives so often by itself.
    fn every(period: Duration, account: &Arc<Account>, most: u64, dir: tempfile::TempDir) -> Self {
        let account = account.clone();
        let media: Media = Arc::new(move |store| Arc::new(AzureMedium::new(account.clone(), store)) as Arc<_>);
        let copies = dir.path().join("copies");
        let cache = cache(disk::best(), &copies, media.clone(), most).unwrap();
        let engine = Engine::open(EngineConfig {
            copies: true,
            disk: Arc::new(cache.clone()),
            extent_bytes: 4 * EXTENT_BYTES_MIN,
            ..EngineConfig::new(&copies)
        });
        let log = Settings {
            extent_slots: 40,
            ..Settings::default()
        };
        let config = SharedConfig {
            log,
            archive: Some(Archiving {
                period,
                groups: 1,
                ..Archiving::default()
            }),
            ..SharedConfig::new(Uuid::new_v4())
        };
        let stores = SharedStores::new(config, engine.unwrap(), dir.path().join("bookmarks"), media).unwrap();
        Self { stores, cache, dir }
    }

    async fn store(&self) -> Arc<dyn Store> {
        self.stores.store(STORE).await.unwrap()
    }

    /// It starts again, which leaves a bookmark.
    async fn restarted(self, account: &Arc<Account>, most: u64) -> Self {
        let Self { stores, cache, dir } = self;
        stores.close().await;
        drop((stores, cache));
        Self::again(account, most, dir)
    }

    fn index_files(&self) -> usize {
        let folder = self.dir.path().join("copies").join("stores").join(STORE.to_string());
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        names
            .filter(|path| Path::new(path).extension().is_some_and(|kind| kind == "index"))
            .count()
    }
}

fn path() -> SegmentPath {
    SegmentPath::new("orders", "one").unwrap()
}

/// Appends so many entries, each of which takes a tenth of an extent.
async fn fill(host: &Host, count: usize) {
    let store = host.store().await;
    for number in 0..count {
        let payload = vec![number as u8; 26_000];
        store.publish(&path(), vec![Record::new(payload)]).await.unwrap();
    }
}

async fn all(host: &Host) -> Vec<Bytes> {
    let mut reader = host.store().await.read_segment(SegmentRead::all(path()));
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        all.extend(batch.into_iter().map(|entry| entry.payload));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_an_empty_disk_opens_a_store_of_many_extents_with_a_few_requests() {
    let proxied = Proxied::new().await;
    let one = Host::new(&proxied.direct, u64::MAX);
    fill(&one, 120).await;
    let one = one.restarted(&proxied.direct, u64::MAX).await;
    let store = one.store().await;
    store.status().await.unwrap();
    assert!(one.index_files() >= 10);
    assert_eq!(one.stores.archive(STORE).await, Ok(true));
    assert_eq!(one.stores.archive(STORE).await, Ok(false), "there is nothing new");
    fill(&one, 5).await;
    let wanted = all(&one).await;
    assert_eq!(wanted.len(), 125);
    let two = Host::new(&proxied.account, u64::MAX);
    let before = proxied.tables.seen() + proxied.blobs.seen();
    let status = two.store().await.status().await.unwrap();
    let requests = proxied.tables.seen() + proxied.blobs.seen() - before;
    assert_eq!(status.entry_count, 125);
    assert!(requests <= 12, "{requests} requests");
    assert_eq!(two.cache.figures().fetched, 0);
    assert_eq!(all(&two).await, wanted);
    assert!(two.cache.figures().fetched >= 20);
    // It writes, and its files go on as those of others.
    fill(&two, 30).await;
    let two = two.restarted(&proxied.account, u64::MAX).await;
    two.store().await.status().await.unwrap();
    assert_eq!(two.stores.archive(STORE).await, Ok(true));
    assert_eq!(all(&two).await, all(&one).await);
    let three = Host::new(&proxied.account, u64::MAX);
    assert_eq!(all(&three).await, all(&one).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_at_work_tells_that_the_root_was_put_back() {
    root_goes_back(|_, before| before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_at_work_tells_that_the_checkpoint_alone_was_put_back() {
    root_goes_back(|now, before| StoreRoot {
        checkpoint: before.checkpoint,
        ..now
    })
    .await;
}

/// Puts back what is made of the root and one of before, and waits until the host tells so.
async fn root_goes_back(back: impl Fn(StoreRoot, StoreRoot) -> StoreRoot) {
    let emulator = OnEmulator::new().await;
    let dir = tempfile::tempdir().unwrap();
    let host = Host::every(Duration::from_millis(50), &emulator.account, u64::MAX, dir);
    let medium = AzureMedium::new(emulator.account.clone(), STORE);
    let checkpoint = |root: &Root| StoreRoot::decode(&root.bytes).unwrap().checkpoint.map(|at| at.place);
    let mut roots: Vec<Root> = Vec::new();
    // Each hundred and sixty entries, a bookmark is left. What a host has put there itself it sees at the next one.
    while roots.len() < 3 {
        fill(&host, 170).await;
        let root = medium.read_root().await.unwrap().unwrap();
        if checkpoint(&root).is_some() && roots.last().is_none_or(|last| checkpoint(last) < checkpoint(&root)) {
            roots.push(root);
        }
    }
    let figures = || host.stores.figures().unwrap().shared.unwrap().archive.unwrap();
    // A round that is under way has looked already.
    let mut before = figures();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = figures();
        if now.archived == before.archived && now.idle > before.idle + 1 {
            break;
        }
        before = now;
    }
    assert_eq!(before.failed, 0);
    let swap = || async {
        let now = medium.read_root().await.unwrap().unwrap();
        let [own, before] = [&now, &roots[0]].map(|root| StoreRoot::decode(&root.bytes).unwrap());
        let root = back(own, before).encode();
        medium.swap_root(Some(now.version), root).await.unwrap()
    };
    while !matches!(swap().await, Swapped::Done(_)) {}
    for _ in 0..20 {
        fill(&host, 170).await;
        if figures().failed > 0 {
            return;
        }
    }
    panic!("nobody was told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_hosts_archive_at_once_and_the_disk_of_each_stays_within_its_bound() {
    let emulator = OnEmulator::new().await;
    let most = 10 * EXTENT_BYTES_MIN;
    let one = Host::new(&emulator.account, most);
    let two = Host::new(&emulator.account, most);
    for _ in 0..4 {
        fill(&one, 15).await;
        fill(&two, 15).await;
    }
    let one = one.restarted(&emulator.account, most).await;
    let two = two.restarted(&emulator.account, most).await;
    let wanted = all(&one).await;
    assert_eq!((wanted.len(), all(&two).await == wanted), (120, true));
    let (first, second) = tokio::join!(one.stores.archive(STORE), two.stores.archive(STORE));
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    for host in [&one, &two] {
        assert!(host.cache.figures().removed > 0);
        for _ in 0..2 {
            let mut reader = host.store().await.read_segment(SegmentRead::all(path()));
            let mut count = 0;
            while let Some(batch) = reader.next_batch().await.unwrap() {
                count += batch.len();
                let figures = host.cache.figures();
                assert!(figures.bytes <= most, "{figures:?}");
            }
            assert_eq!(count, 120);
        }
        assert!(host.cache.figures().fetched > 0);
    }
    // A host that lost its bookmark begins with the checkpoint.
    let Host { stores, cache, dir } = one;
    stores.close().await;
    drop((stores, cache));
    std::fs::remove_dir_all(dir.path().join("bookmarks")).unwrap();
    let one = Host::again(&emulator.account, most, dir);
    assert_eq!(all(&one).await, wanted);
}

/// Changes a byte of a blob, and returns what it was.
async fn damage(blobs: &Blobs, name: &str) -> Bytes {
    let good = blobs.get(name).await.unwrap().unwrap();
    let mut bad = good.to_vec();
    bad[5000] ^= 1;
    blobs.delete(name).await.unwrap();
    blobs.put(name, bad.into()).await.unwrap();
    good
}

/// What a read of everything ends with.
async fn broken(store: &dyn Store) -> ReadError {
    let mut reader = store.read_segment(SegmentRead::all(path()));
    loop {
        match reader.next_batch().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("damage is not the end"),
            Err(error) => break error,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_archived_behind_a_blob_that_is_not_as_it_was_written() {
    let emulator = OnEmulator::new().await;
    let one = Host::new(&emulator.account, u64::MAX);
    let two = Host::new(&emulator.account, u64::MAX);
    // Both have a copy of their own, of which neither knows what the other has archived.
    fill(&one, 60).await;
    assert_eq!(all(&two).await.len(), 60);
    let one = one.restarted(&emulator.account, u64::MAX).await;
    one.store().await.status().await.unwrap();
    assert_eq!(one.stores.archive(STORE).await, Ok(true));
    let blobs = emulator.account.blobs();
    let names = blobs.list("", 1000).await.unwrap();
    let name = names.into_iter().find(|name| name.contains("extent.")).unwrap();
    let good = damage(blobs, &name).await;
    fill(&two, 15).await;
    let two = two.restarted(&emulator.account, u64::MAX).await;
    two.store().await.status().await.unwrap();
    let refused = two.stores.archive(STORE).await.unwrap_err();
    assert!(refused.contains("not as it was written"), "{refused}");
    blobs.delete(&name).await.unwrap();
    blobs.put(&name, good).await.unwrap();
    assert_eq!(two.stores.archive(STORE).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_of_before_in_the_place_of_the_last_one_is_damage() {
    let emulator = OnEmulator::new().await;
    let mut host = Host::new(&emulator.account, u64::MAX);
    let medium = AzureMedium::new(emulator.account.clone(), STORE);
    let mut checkpoints = Vec::new();
    for _ in 0..2 {
        fill(&host, 60).await;
        host = host.restarted(&emulator.account, u64::MAX).await;
        host.store().await.status().await.unwrap();
        assert_eq!(host.stores.archive(STORE).await, Ok(true));
        let root = medium.read_root().await.unwrap().unwrap();
        let at = StoreRoot::decode(&root.bytes).unwrap().checkpoint.unwrap();
        let name = at.blob_name();
        checkpoints.push((name, medium.get_blob(name).await.unwrap().unwrap()));
    }
    let [(_, before), (last, good)] = &checkpoints[..] else {
        panic!()
    };
    medium.delete_blob(*last).await.unwrap();
    medium.put_blob(*last, before.clone()).await.unwrap();
    let fresh = Host::new(&emulator.account, u64::MAX);
    let opened = tokio::time::timeout(Duration::from_secs(60), fresh.stores.store(STORE)).await;
    let refused = opened.expect("it is told, not waited for").err().unwrap().to_string();
    assert!(refused.contains("the checkpoint of another place"), "{refused}");
    medium.delete_blob(*last).await.unwrap();
    medium.put_blob(*last, good.clone()).await.unwrap();
    assert_eq!(all(&fresh).await.len(), 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_is_damaged_is_named_and_one_that_does_not_come_may_be_asked_for_again() {
    let proxied = Proxied::new().await;
    let one = Host::new(&proxied.direct, u64::MAX);
    fill(&one, 60).await;
    let one = one.restarted(&proxied.direct, u64::MAX).await;
    one.store().await.status().await.unwrap();
    one.stores.archive(STORE).await.unwrap();
    let wanted = all(&one).await;
    let two = Host::new(&proxied.account, u64::MAX);
    let store = two.store().await;
    store.status().await.unwrap();
    proxied.blobs.next(vec![Fate::LoseRequest; 4]);
    let refused = store.read_segment(SegmentRead::all(path())).next_batch().await;
    assert!(matches!(refused, Err(ReadError::Busy(_))), "{refused:?}");
    // The second extent.
    let blobs = proxied.direct.blobs();
    let names = blobs.list("", 1000).await.unwrap();
    let second = "00000000-0000-0002-";
    let name = names
        .into_iter()
        .find(|name| name.contains(&format!("extent.{second}")))
        .unwrap();
    let good = damage(blobs, &name).await;
    let error = broken(&*store).await.to_string();
    assert!(error.contains(second), "{error}");
    blobs.delete(&name).await.unwrap();
    // Nothing makes it come again.
    let error = broken(&*store).await;
    let told = error.to_string();
    assert!(
        matches!(error, ReadError::Storage(_)) && told.contains(second),
        "{told}"
    );
    blobs.put(&name, good).await.unwrap();
    assert_eq!(all(&two).await, wanted);
}

/// Opened while nobody had made the store: the copy is there, and empty, when the log has a checkpoint already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_there_before_the_store_reads_it_from_its_begin() {
    let emulator = OnEmulator::new().await;
    let early = Host::new(&emulator.account, u64::MAX);
    let store = early.store().await;
    assert_eq!(store.status().await.unwrap().segment_count, 0);
    let one = Host::new(&emulator.account, u64::MAX);
    fill(&one, 60).await;
    let one = one.restarted(&emulator.account, u64::MAX).await;
    one.store().await.status().await.unwrap();
    one.stores.archive(STORE).await.unwrap();
    let medium = AzureMedium::new(emulator.account.clone(), STORE);
    assert!(medium.read_root().await.unwrap().is_some());
    assert_eq!(all(&early).await, all(&one).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_archives_while_others_and_itself_write() {
    let emulator = OnEmulator::new().await;
    let most = 10 * EXTENT_BYTES_MIN;
    let (one, two) = (
        Host::new(&emulator.account, most),
        Host::new(&emulator.account, u64::MAX),
    );
    let mut rounds = 0;
    let archives = async {
        while rounds < 2 {
            rounds += usize::from(one.stores.archive(STORE).await.unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    // Enough for two bookmarks at least.
    tokio::join!(fill(&one, 200), fill(&two, 200), archives);
    let wanted = all(&two).await;
    assert_eq!(wanted.len(), 400);
    assert!(one.cache.figures().removed > 0);
    assert_eq!(all(&one).await, wanted);
    let three = Host::new(&emulator.account, most);
    assert_eq!(all(&three).await, wanted);
}

async fn verified(account: &Arc<Account>) -> LogReport {
    let medium = AzureMedium::new(account.clone(), STORE);
    verify(&medium, Settings::DEPTH, &mut Transactions::default(), &mut |_| {})
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_the_account_finds_each_damage_of_an_archived_file() {
    let emulator = OnEmulator::new().await;
    let one = Host::new(&emulator.account, u64::MAX);
    fill(&one, 60).await;
    let one = one.restarted(&emulator.account, u64::MAX).await;
    one.store().await.status().await.unwrap();
    assert_eq!(one.stores.archive(STORE).await, Ok(true));
    let blobs = emulator.account.blobs();
    let names = blobs.list("", 1000).await.unwrap();
    let is_archived = |name: &&String| name.contains(".extent.") || name.contains(".index.");
    let names: Vec<_> = names.iter().filter(is_archived).collect();
    let whole = verified(&emulator.account).await;
    assert_eq!(whole.damage, []);
    assert_eq!(whole.archived_files, names.len() as u64);
    let [extent, index] = [".extent.", ".index."].map(|kind| *names.iter().find(|name| name.contains(kind)).unwrap());
    let foreign = names.iter().rfind(|name| name.contains(".extent.")).unwrap();
    for name in [extent, index] {
        let good = blobs.get(name).await.unwrap().unwrap();
        let mut flipped = good.to_vec();
        flipped[5000] ^= 1;
        let foreign = blobs.get(foreign).await.unwrap().unwrap();
        let bad = [None, Some(good.slice(1..)), Some(flipped.into()), Some(foreign)];
        for (case, bad) in bad.into_iter().enumerate() {
            blobs.delete(name).await.unwrap();
            if let Some(bad) = bad {
                blobs.put(name, bad).await.unwrap();
            }
            let report = verified(&emulator.account).await;
            let kind = match name == extent {
                true => BlobKind::Extent,
                false => BlobKind::Index,
            };
            let id = name.rsplit('.').next().unwrap().parse().unwrap();
            let places: Vec<_> = report.damage.iter().map(|damage| damage.place).collect();
            assert_eq!(
                places,
                [LogPlace::Archive(BlobName { kind, id })],
                "{case}: {:?}",
                report.damage
            );
            assert!(report.damage[0].to_string().contains(&id.to_string()));
        }
        blobs.delete(name).await.unwrap();
        blobs.put(name, good).await.unwrap();
    }
    assert_eq!(verified(&emulator.account).await, whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_the_account_finds_no_damage_while_hosts_write_and_archive() {
    let emulator = OnEmulator::new().await;
    let one = Host::new(&emulator.account, u64::MAX);
    let two = Host::new(&emulator.account, u64::MAX);
    fill(&one, 1).await;
    let (mut rounds, mut checked) = (0, 0);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let archives = async {
        while rounds < 2 {
            rounds += usize::from(one.stores.archive(STORE).await.unwrap());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let checks = async {
        loop {
            let is_last = is_done.load(std::sync::atomic::Ordering::Relaxed);
            let report = verified(&emulator.account).await;
            assert_eq!(report.damage, []);
            checked = report.archived_files;
            if is_last {
                break;
            }
        }
    };
    tokio::join!(fill(&one, 200), fill(&two, 200), archives, checks);
    assert!(checked > 0);
}

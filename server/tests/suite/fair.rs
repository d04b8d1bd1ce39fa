//! Tenants that ask for all that they can: others go on meanwhile.

use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamkit_engine::*;
use streamkit_protocol::{Control, GetStatus, Request, Terminal};
use streamkit_server_core::Limits;
use tokio::sync::watch;
use uuid::Uuid;

use crate::peer::*;

const OTHER: Uuid = Uuid::from_u128(0x0b5e_77ed);

/// A real store that is watched. What `STORE` is asked for waits at a gate.
#[derive(Clone)]
struct Watched {
    store: Arc<dyn Store>,
    seen: Arc<Seen>,
}

/// What was seen of all stores.
#[derive(Default)]
struct Seen {
    gate: watch::Sender<bool>,
    /// The stores whose pages were read, in that order.
    pages: Mutex<Vec<StoreId>>,
    at_work: Most,
    readers: Most,
}

/// How many there are, and were at most.
#[derive(Default)]
struct Most(AtomicUsize, AtomicUsize);

struct Counted<'a>(&'a Most);

impl Most {
    fn count(&self) -> Counted<'_> {
        let now = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.1.fetch_max(now, Ordering::SeqCst);
        Counted(self)
    }

    fn most(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Watched {
    async fn wait(&self) {
        if self.id().0 == STORE {
            let mut gate = self.seen.gate.subscribe();
            gate.wait_for(|open| *open).await.unwrap();
        }
    }

    fn reader(&self, reader: Box<dyn EntryReader>) -> Box<dyn EntryReader> {
        if self.id().0 == STORE {
            std::mem::forget(self.seen.readers.count());
        }
        Box::new(WatchedReader(reader, self.clone()))
    }
}

struct WatchedReader(Box<dyn EntryReader>, Watched);

#[async_trait::async_trait]
impl EntryReader for WatchedReader {
    async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        self.1.wait().await;
        self.0.next_batch().await
    }
}

impl Drop for WatchedReader {
    fn drop(&mut self) {
        if self.1.id().0 == STORE {
            drop(Counted(&self.1.seen.readers));
        }
    }
}

#[async_trait::async_trait]
impl Store for Watched {
    fn id(&self) -> StoreId {
        self.store.id()
    }
    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        self.store.append(transaction).await
    }
    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError> {
        self.store.trim(path, first).await
    }
    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError> {
        self.store.delete(path).await
    }
    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.store.acquire_lease(key, holder, ttl).await
    }
    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.store.renew_lease(key, holder, ttl).await
    }
    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError> {
        self.store.release_lease(key, holder).await
    }
    async fn lease(&self, key: &Name) -> Result<Option<Lease>, ReadError> {
        self.store.lease(key).await
    }
    async fn peek(&self, path: &SegmentPath) -> Result<Option<Entry>, ReadError> {
        self.store.peek(path).await
    }
    fn read_segment(&self, read: SegmentRead) -> Box<dyn EntryReader> {
        self.reader(self.store.read_segment(read))
    }
    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader> {
        self.store.read_pieces(read)
    }
    async fn tail_cursor(&self) -> Result<LogCursor, ReadError> {
        self.store.tail_cursor().await
    }
    fn position(&self) -> u64 {
        self.store.position()
    }

    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader> {
        self.reader(self.store.read_spaces(read))
    }
    async fn spaces(&self) -> Result<Vec<Name>, ReadError> {
        self.store.spaces().await
    }
    async fn segments(&self, space: &Name, after: Bound<Name>, limit: usize) -> Result<Vec<SegmentStatus>, ReadError> {
        let hostile = (self.id().0 == STORE).then(|| self.seen.at_work.count());
        self.wait().await;
        self.seen.pages.lock().unwrap().push(self.id());
        let page = self.store.segments(space, after, limit).await;
        drop(hostile);
        page
    }
    async fn segment_status(&self, path: &SegmentPath) -> Result<Option<SegmentStatus>, ReadError> {
        self.store.segment_status(path).await
    }
    async fn status(&self) -> Result<StoreStatus, ReadError> {
        self.store.status().await
    }
    fn durable_tail(&self) -> watch::Receiver<TailMark> {
        self.store.durable_tail()
    }
    fn writable(&self) -> Result<(), StorageError> {
        self.store.writable()
    }
}

struct WatchedStores(Engine, Arc<Seen>);

#[async_trait::async_trait]
impl Stores for WatchedStores {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        let (store, seen) = (self.0.store(id).await?, self.1.clone());
        Ok(Arc::new(Watched { store, seen }))
    }
    fn ready(&self) -> Result<(), StorageError> {
        self.0.ready()
    }
    async fn close(&self) {
        self.0.close().await;
    }
}

/// A host whose two stores have one entry each.
async fn watched(limits: Limits) -> (Host, Arc<Seen>) {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig::new(dir.path());
    let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = opened.unwrap().unwrap();
    let seen = Arc::<Seen>::default();
    let stores = Arc::new(WatchedStores(engine.clone(), seen.clone()));
    let host = Host::over(stores, engine, dir, limits, "127.0.0.1:0").await;
    let mut peer = host.connect().await;
    for store in [STORE, OTHER] {
        let head = peer.open_in(store, &produce("s", "a")).await;
        peer.send(head, record(1).as_bytes()).await;
        peer.send(head, &Terminal::Close.encode()).await;
        assert_eq!(peer.finish(head).await.1, Terminal::Close);
    }
    (host, seen)
}

async fn until(holds: impl Fn() -> bool) {
    let soon = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, soon).await.expect("it does not come");
}

/// How many channels end cleanly, of so many.
async fn clean(peer: &mut Peer, channels: usize) -> usize {
    let (mut ended, mut clean) = (0, 0);
    while ended < channels {
        let frame = peer.frame().await.expect("the connection ended");
        let refused = frame.control == Control::Error;
        let end = Terminal::decode(&frame.message());
        ended += usize::from(end.is_some() || refused);
        clean += usize::from(end == Some(Terminal::Close));
    }
    clean
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_asks_for_many_statuses_has_one_at_work_and_lets_others_in_between() {
    let (host, seen) = watched(Limits::default()).await;
    let (mut hostile, mut healthy) = (host.connect().await, host.connect().await);
    let status = Request::GetStatus(GetStatus {
        space: "s".into(),
        ..GetStatus::default()
    });
    for _ in 0..200 {
        hostile.open(&status).await;
    }
    hostile.answers_ping().await;
    until(|| seen.at_work.most() > 0).await;
    let head = healthy.open_in(OTHER, &status).await;
    // With one processor it waits, but no longer than for that one; with more it may be answered before.
    host.connect().await.answers_ping().await;
    seen.gate.send_replace(true);
    assert_eq!(healthy.finish(head).await.1, Terminal::Close);
    assert_eq!(clean(&mut hostile, 200).await, 200);
    assert_eq!(seen.at_work.most(), 1);
    let pages = seen.pages.lock().unwrap();
    let before = pages.iter().position(|store| store.0 == OTHER).unwrap();
    assert!(before < 10 && pages.len() == 201, "{before} parts came before it");
}

#[tokio::test]
async fn open_readers_are_bounded_and_another_store_reads_while_one_has_all_it_may() {
    let (host, seen) = watched(Limits {
        inbound_bytes: 64 << 20,
        ..Limits::default()
    })
    .await;
    let mut hostile = host.connect().await;
    let read = Request::ConsumeSegment(consume("s", "a"));
    for _ in 0..600 {
        hostile.open(&read).await;
    }
    hostile.answers_ping().await;
    until(|| seen.readers.most() >= 256).await;
    let mut more = host.connect().await;
    for _ in 0..300 {
        more.open(&read).await;
    }
    let mut healthy = host.connect().await;
    let head = healthy.open_in(OTHER, &read).await;
    let (entries, end) = healthy.finish(head).await;
    assert_eq!((entries.len(), end), (1, Terminal::Close));
    seen.gate.send_replace(true);
    assert_eq!(clean(&mut hostile, 600).await, 600, "they wait for each other");
    assert!(clean(&mut more, 300).await < 300, "a store's part is half of 32 MiB");
    let most = seen.readers.most();
    assert!((256..=(16 << 20) / (40 << 10)).contains(&most), "{most}");
}

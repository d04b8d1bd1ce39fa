//! Two hosts in one process over one engine, with a link between them: `here` forwards, `there` serves its link.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use streamkit_engine::*;
use streamkit_hosts::choose::preferred;
use streamkit_hosts::forwarding::{Contended, Forwarding, ForwardingSettings};
use streamkit_hosts::host::{Host, HostId};
use streamkit_hosts::link::{HostSecret, server};
use streamkit_server_core::{InProcess, Limits, Server};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";

pub fn secret(secret: &[u8]) -> HostSecret {
    HostSecret::new(secret).unwrap()
}

/// The two.
pub struct Pair {
    pub here: HostId,
    pub there: HostId,
    pub forwarding: Forwarding,
    engine: Engine,
    own: Arc<Counted>,
    theirs: Arc<Counted>,
    address: SocketAddr,
    serving: Option<(Server, JoinHandle<()>)>,
    tells: watch::Sender<Arc<[Host]>>,
    _dir: tempfile::TempDir,
}

/// A store that host `id` is to write, of these two.
pub fn store_among(id: HostId, hosts: [HostId; 2]) -> StoreId {
    let mut stores = (1..).map(|n| StoreId(Uuid::from_u128(n)));
    stores.find(|store| preferred(*store, hosts) == Some(id)).unwrap()
}

/// A store that a host of the pair is to write.
pub fn store_of(id: &HostId) -> StoreId {
    store_among(*id, [HostId(Uuid::from_u128(1)), HostId(Uuid::from_u128(2))])
}

impl Pair {
    pub async fn new() -> Self {
        // A machine that is busy with other tests is slow, which is no failure.
        Self::with_patience(Duration::from_secs(60)).await
    }

    pub async fn with_patience(patience: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(dir.path());
        let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
        let engine = engine.unwrap().unwrap();
        let (here, there) = (HostId(Uuid::from_u128(1)), HostId(Uuid::from_u128(2)));
        let (own, theirs) = (Counted::of(&engine), Counted::of(&engine));
        let (tells, others) = watch::channel(Arc::from([]));
        let settings = ForwardingSettings {
            patience,
            ..ForwardingSettings::new(here, secret(SECRET))
        };
        let mut pair = Self {
            here,
            there,
            forwarding: Forwarding::new(own.clone(), settings, others, None),
            engine,
            own,
            theirs,
            address: "127.0.0.1:0".parse().unwrap(),
            serving: None,
            tells,
            _dir: dir,
        };
        pair.there_starts().await;
        pair.tells.send_replace([pair.host_there()].into());
        pair
    }

    pub async fn store(&self, id: StoreId) -> Arc<dyn Store> {
        self.forwarding.store(id).await.unwrap()
    }

    /// The same store, as the engine has it.
    pub async fn direct(&self, id: StoreId) -> Arc<dyn Store> {
        self.engine.store(id).await.unwrap()
    }

    pub fn stores_here(&self) -> Arc<dyn Stores> {
        self.own.clone()
    }

    pub fn stores_there(&self) -> Arc<dyn Stores> {
        self.theirs.clone()
    }

    pub fn host_there(&self) -> Host {
        Host::new(self.there, Uuid::nil(), &format!("ws://{}", self.address), "").unwrap()
    }

    /// The own stores, and another host's id at the address of the one that is there.
    pub fn as_another_host(&self, id: Uuid) -> Forwarding {
        let host = Host::new(HostId(id), Uuid::nil(), &format!("ws://{}", self.address), "").unwrap();
        let (_tells, others) = watch::channel([host].into());
        let settings = ForwardingSettings::new(self.here, secret(SECRET));
        Forwarding::new(self.own.clone(), settings, others, None)
    }

    /// From now on this host knows how far a store has come only when it looks.
    pub fn here_only_looks(&self) {
        *self.own.knows.lock().unwrap() = Some(0);
    }

    pub fn appended_here(&self) -> usize {
        self.own.count.load(Ordering::SeqCst)
    }

    pub fn appended_there(&self) -> usize {
        self.theirs.count.load(Ordering::SeqCst)
    }

    /// From now on the other host does not come to what it is sent.
    pub fn there_waits(&self) {
        self.theirs.waits.send_replace(true);
    }

    /// Once an append was forwarded: what is sent from now on goes over a connection that is there.
    pub async fn is_connected(&self) {
        let store = self.store(store_of(&self.there)).await;
        let path = SegmentPath::new("s", "connected").unwrap();
        while self.forwarding.forwarding().forwarded == 0 {
            store.publish(&path, vec![Record::new("x")]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The own stores, as those of a host that loses races.
    pub fn contended(&self, contended: Arc<dyn Contended>) -> Forwarding {
        let settings = ForwardingSettings {
            patience: Duration::from_secs(60),
            ..ForwardingSettings::new(self.here, secret(SECRET))
        };
        Forwarding::new(self.own.clone(), settings, self.tells.subscribe(), Some(contended))
    }

    /// All stores are the other host's to write.
    pub async fn writing_elsewhere() -> Self {
        struct There(HostId);
        impl Contended for There {
            fn winner(&self, _: StoreId) -> Option<HostId> {
                Some(self.0)
            }
        }
        let mut pair = Self::new().await;
        pair.forwarding = pair.contended(Arc::new(There(pair.there)));
        pair
    }

    /// It comes to all that it was sent, which are so many calls or more. Returns once that is done.
    pub async fn there_goes_on(&self, calls: usize) {
        let mut waiting = self.theirs.under_way.subscribe();
        waiting.wait_for(|waiting| *waiting >= calls).await.unwrap();
        self.theirs.waits.send_replace(false);
        let mut under_way = self.theirs.under_way.subscribe();
        under_way.wait_for(|calls| *calls == 0).await.unwrap();
    }

    /// It dies: its connections break, and nobody listens.
    pub fn there_dies(&mut self) {
        let (server, serving) = self.serving.take().unwrap();
        serving.abort();
        // Its sessions end, with or without an answer.
        tokio::spawn(async move { server.shutdown().await });
    }

    /// It starts, at the same address.
    pub async fn there_starts(&mut self) {
        let limits = Limits {
            shutdown_deadline: Duration::from_millis(10),
            ..Limits::default()
        };
        let stores = self.theirs.clone();
        let server = server(
            stores,
            &secret(SECRET),
            self.there,
            limits,
            Arc::new(InProcess::default()),
        );
        let listener = loop {
            match tokio::net::TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        self.address = listener.local_addr().unwrap();
        let accepting = server.clone();
        let serving = tokio::spawn(async move { accepting.serve(listener).await });
        self.serving = Some((server, serving));
    }
}

/// The stores of an engine, as one of the two hosts has them.
pub struct Counted {
    stores: Engine,
    count: AtomicUsize,
    /// What this host knows of how far stores have come, if it does not hear at once.
    knows: std::sync::Mutex<Option<u64>>,
    waits: Arc<watch::Sender<bool>>,
    under_way: Arc<watch::Sender<usize>>,
    own: std::sync::Weak<Counted>,
}

impl Counted {
    fn of(engine: &Engine) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            stores: engine.clone(),
            count: AtomicUsize::new(0),
            knows: std::sync::Mutex::default(),
            waits: Arc::new(watch::Sender::new(false)),
            under_way: Arc::new(watch::Sender::new(0)),
            own: own.clone(),
        })
    }
}

#[async_trait]
impl Stores for Counted {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        let store = self.stores.store(id).await?;
        let host = self.own.upgrade().unwrap();
        Ok(Arc::new(CountedStore { store, host }))
    }

    fn ready(&self) -> Result<(), StorageError> {
        self.stores.ready()
    }

    async fn close(&self) {
        self.stores.close().await;
    }
}

struct CountedStore {
    store: Arc<dyn Store>,
    host: Arc<Counted>,
}

#[async_trait]
impl Store for CountedStore {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        self.host.under_way.send_modify(|calls| *calls += 1);
        let mut waits = self.host.waits.subscribe();
        waits.wait_for(|waits| !waits).await.unwrap();
        let appended = self.store.append(transaction).await;
        if appended.is_ok() {
            self.host.count.fetch_add(1, Ordering::SeqCst);
        }
        self.host.under_way.send_modify(|calls| *calls -= 1);
        appended
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
        self.store.read_segment(read)
    }

    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader> {
        self.store.read_spaces(read)
    }

    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader> {
        self.store.read_pieces(read)
    }

    async fn catch_up(&self) -> Result<(), ReadError> {
        if let Some(known) = &mut *self.host.knows.lock().unwrap() {
            *known = self.store.position();
        }
        Ok(())
    }

    async fn tail_cursor(&self) -> Result<LogCursor, ReadError> {
        self.catch_up().await?;
        self.store.tail_cursor().await
    }

    fn position(&self) -> u64 {
        self.host.knows.lock().unwrap().unwrap_or_else(|| self.store.position())
    }

    async fn spaces(&self) -> Result<Vec<Name>, ReadError> {
        self.store.spaces().await
    }

    async fn segments(
        &self,
        space: &Name,
        after: std::ops::Bound<Name>,
        limit: usize,
    ) -> Result<Vec<SegmentStatus>, ReadError> {
        self.store.segments(space, after, limit).await
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

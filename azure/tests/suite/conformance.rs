//! Shared stores keep the promises of every store: one host of them, and three of which another one is asked each time.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use streamkit_azure::log::Settings;
use streamkit_conformance::Fixture;
use streamkit_engine::*;
use tokio::sync::watch;

use crate::hosts::{Host, Turns};
use crate::support::OnEmulator;

fn hosts(count: usize) -> (Vec<Host>, OnEmulator) {
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async {
            let emulator = OnEmulator::new().await;
            // Small extents, so that logs go on in others.
            let settings = Settings {
                extent_slots: 16,
                ..Settings::default()
            };
            let hosts = (0..count).map(|_| Host::start(&emulator.account, settings)).collect();
            (hosts, emulator)
        })
    })
}

mod one_host {
    fn fixture() -> streamkit_conformance::Fixture {
        let (mut hosts, emulator) = super::hosts(1);
        let host = hosts.pop().unwrap();
        streamkit_conformance::Fixture::new(std::sync::Arc::new(host.stores.clone()), (host, emulator))
    }

    streamkit_conformance::suite!(super::fixture);
}

mod three_hosts {
    fn fixture() -> streamkit_conformance::Fixture {
        super::in_turn()
    }

    streamkit_conformance::suite!(super::fixture);
}

fn in_turn() -> Fixture {
    let (hosts, emulator) = hosts(3);
    let stores = hosts.iter().map(|host| host.stores.clone()).collect();
    Fixture::new(Arc::new(InTurn(stores)), (hosts, emulator))
}

/// The stores of several hosts, of which another one is asked each time.
struct InTurn(Vec<streamkit_azure::store::SharedStores>);

struct StoreInTurn {
    hosts: Vec<Arc<dyn Store>>,
    turns: Turns,
}

impl StoreInTurn {
    fn next(&self) -> &Arc<dyn Store> {
        &self.hosts[self.turns.next(self.hosts.len())]
    }
}

#[async_trait]
impl Stores for InTurn {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        let mut hosts = Vec::new();
        for host in &self.0 {
            hosts.push(host.store(id).await?);
        }
        let turns = Turns::default();
        Ok(Arc::new(StoreInTurn { hosts, turns }))
    }

    fn ready(&self) -> Result<(), StorageError> {
        self.0.iter().try_for_each(|host| host.ready())
    }

    async fn close(&self) {
        for host in &self.0 {
            host.close().await;
        }
    }
}

#[async_trait]
impl Store for StoreInTurn {
    fn id(&self) -> StoreId {
        self.hosts[0].id()
    }

    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        self.next().append(transaction).await
    }

    async fn publish(&self, path: &SegmentPath, records: Vec<Record>) -> Result<Committed, AppendError> {
        self.next().publish(path, records).await
    }

    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError> {
        self.next().trim(path, first).await
    }

    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError> {
        self.next().delete(path).await
    }

    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.next().acquire_lease(key, holder, ttl).await
    }

    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.next().renew_lease(key, holder, ttl).await
    }

    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError> {
        self.next().release_lease(key, holder).await
    }

    async fn lease(&self, key: &Name) -> Result<Option<Lease>, ReadError> {
        self.next().lease(key).await
    }

    async fn peek(&self, path: &SegmentPath) -> Result<Option<Entry>, ReadError> {
        self.next().peek(path).await
    }

    fn read_segment(&self, read: SegmentRead) -> Box<dyn EntryReader> {
        self.next().read_segment(read)
    }

    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader> {
        self.next().read_spaces(read)
    }

    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader> {
        self.next().read_pieces(read)
    }

    async fn catch_up(&self) -> Result<(), ReadError> {
        self.next().catch_up().await
    }

    async fn tail_cursor(&self) -> Result<LogCursor, ReadError> {
        self.next().tail_cursor().await
    }

    fn position(&self) -> u64 {
        self.hosts.iter().map(|host| host.position()).max().unwrap_or(0)
    }

    async fn spaces(&self) -> Result<Vec<Name>, ReadError> {
        self.next().spaces().await
    }

    async fn segments(&self, space: &Name, after: Bound<Name>, limit: usize) -> Result<Vec<SegmentStatus>, ReadError> {
        self.next().segments(space, after, limit).await
    }

    async fn segment_status(&self, path: &SegmentPath) -> Result<Option<SegmentStatus>, ReadError> {
        self.next().segment_status(path).await
    }

    async fn status(&self) -> Result<StoreStatus, ReadError> {
        self.next().status().await
    }

    fn durable_tail(&self) -> watch::Receiver<TailMark> {
        self.hosts[0].durable_tail()
    }

    async fn changed_since(&self, mark: TailMark) -> Result<Changes, ReadError> {
        // It knows of what others of them did.
        self.hosts[0].status().await?;
        self.hosts[0].changed_since(mark).await
    }

    fn writable(&self) -> Result<(), StorageError> {
        self.next().writable()
    }
}

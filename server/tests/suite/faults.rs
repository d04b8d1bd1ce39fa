//! A store that fails in the middle: the peer is told, and never shown an end.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::*;
use streamkit_protocol::{Request, Terminal};
use streamkit_server_core::Limits;

use crate::peer::{Host, consume, refused};
use crate::via::Via;

/// A real store whose reads break after their first batch, whose list of spaces panics, and whose appends fail as the
/// segment's name says.
struct Faulty(Arc<dyn Store>);

struct Breaks(Box<dyn EntryReader>, bool);

#[async_trait::async_trait]
impl EntryReader for Breaks {
    async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        if std::mem::replace(&mut self.1, true) {
            return Err(ReadError::Storage(StorageError::Closed));
        }
        self.0.next_batch().await
    }
}

#[async_trait::async_trait]
impl Store for Faulty {
    fn id(&self) -> StoreId {
        self.0.id()
    }
    async fn append(&self, transaction: Transaction) -> Result<Committed, AppendError> {
        match transaction.segments[0].path.segment.as_str() {
            "unknown" => Err(AppendError::Indeterminate(StorageError::Closed)),
            "stored" => {
                self.0.append(transaction).await?;
                Err(AppendError::Indeterminate(StorageError::Closed))
            }
            "overtaken" => {
                let mut other = transaction;
                other.segments[0].records = vec![Record::new("another's"); 3];
                self.0.append(other).await?;
                Err(AppendError::Indeterminate(StorageError::Closed))
            }
            "full" => Err(Rejection::DiskFull.into()),
            "overloaded" => Err(Rejection::QueueFull {
                waited: std::time::Duration::from_secs(20),
                full: FullQueue::OfAll(256 << 20),
            }
            .into()),
            "halted" => {
                let cause = "sync: I/O error".to_owned();
                let store = self.id();
                Err(Rejection::Storage(StorageError::Halted { store, cause }).into())
            }
            _ => self.0.append(transaction).await,
        }
    }
    async fn trim(&self, path: &SegmentPath, first: Sequence) -> Result<SegmentStatus, AppendError> {
        self.0.trim(path, first).await
    }
    async fn delete(&self, path: &SegmentPath) -> Result<(), AppendError> {
        self.0.delete(path).await
    }
    async fn acquire_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.0.acquire_lease(key, holder, ttl).await
    }
    async fn renew_lease(&self, key: &Name, holder: &Name, ttl: Duration) -> Result<Option<Lease>, AppendError> {
        self.0.renew_lease(key, holder, ttl).await
    }
    async fn release_lease(&self, key: &Name, holder: &Name) -> Result<Option<Lease>, AppendError> {
        self.0.release_lease(key, holder).await
    }
    async fn lease(&self, key: &Name) -> Result<Option<Lease>, ReadError> {
        self.0.lease(key).await
    }
    async fn peek(&self, path: &SegmentPath) -> Result<Option<Entry>, ReadError> {
        self.0.peek(path).await
    }
    fn read_segment(&self, read: SegmentRead) -> Box<dyn EntryReader> {
        Box::new(Breaks(self.0.read_segment(read), false))
    }
    fn read_pieces(&self, read: PiecesRead) -> Box<dyn PieceReader> {
        self.0.read_pieces(read)
    }
    async fn tail_cursor(&self) -> Result<LogCursor, ReadError> {
        self.0.tail_cursor().await
    }
    fn position(&self) -> u64 {
        self.0.position()
    }

    fn read_spaces(&self, read: SpacesRead) -> Box<dyn EntryReader> {
        Box::new(Breaks(self.0.read_spaces(read), false))
    }
    async fn spaces(&self) -> Result<Vec<Name>, ReadError> {
        panic!("on purpose")
    }
    async fn segments(&self, space: &Name, after: Bound<Name>, limit: usize) -> Result<Vec<SegmentStatus>, ReadError> {
        self.0.segments(space, after, limit).await
    }
    async fn segment_status(&self, path: &SegmentPath) -> Result<Option<SegmentStatus>, ReadError> {
        self.0.segment_status(path).await
    }
    async fn status(&self) -> Result<StoreStatus, ReadError> {
        self.0.status().await
    }
    fn durable_tail(&self) -> tokio::sync::watch::Receiver<TailMark> {
        self.0.durable_tail()
    }
    fn writable(&self) -> Result<(), StorageError> {
        self.0.writable()
    }
}

struct FaultyStores(Engine);

#[async_trait::async_trait]
impl Stores for FaultyStores {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        Ok(Arc::new(Faulty(self.0.store(id).await?)))
    }
    fn ready(&self) -> Result<(), StorageError> {
        self.0.ready()
    }
    async fn close(&self) {
        self.0.close().await;
    }
}

#[tokio::test]
async fn a_failing_read_and_a_panic_end_their_channel_with_an_error() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig::new(dir.path());
    let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = opened.unwrap().unwrap();
    let stores = Arc::new(FaultyStores(engine.clone()));
    let host = Host::over(stores, engine, dir, Limits::default(), "127.0.0.1:0").await;
    let mut peer = host.connect().await;
    let one = crate::peer::record(1);
    assert_eq!(peer.produce("s", "a", &[&one]).await.1, Terminal::Close);
    for request in [
        Request::ConsumeSegment(consume("s", "a")),
        Request::ConsumeSpace(streamkit_protocol::ConsumeSpace {
            space: "s".into(),
            ..Default::default()
        }),
        Request::Consume(streamkit_protocol::Consume {
            offsets: ["s", "t"].map(|space| (space.to_owned(), Default::default())).into(),
            ..Default::default()
        }),
    ] {
        let (entries, end) = peer.call(&request).await;
        assert_eq!(entries.len(), 1);
        assert!(matches!(end, Terminal::CloseError(why) if why.contains("the store is closed")));
    }
    assert_eq!(
        peer.call(&Request::GetSpaces).await,
        (
            vec![],
            refused("panic: the server failed at this request, and its log says how")
        )
    );
    peer.answers_ping().await;
    let mut host = host;
    for via in [Via::Sockets, Via::InProcess, Via::V1] {
        host = host.by(via);
        a_client_is_told_what_is_known(&host).await;
        a_save_whose_outcome_is_unknown_looks_for_its_events(&host).await;
    }
}

async fn a_client_is_told_what_is_known(host: &Host) {
    let store = crate::served::client::client(host).store(crate::peer::STORE);
    let publish = async |segment| {
        let record = streamkit_client::NewRecord::new("x");
        store.produce_all("s", segment, 1, [record]).await.unwrap_err()
    };
    use streamkit_client::Error;
    assert!(matches!(publish("unknown").await, Error::Unknown(why) if why == "the store is closed"));
    for segment in ["full", "halted", "overloaded"] {
        let error = publish(segment).await;
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
}

/// Events have ids, so they are found again, or others in their place.
async fn a_save_whose_outcome_is_unknown_looks_for_its_events(host: &Host) {
    use streamkit_client::Error;
    use streamkit_client::es::SaveError;
    // A store of its own for each way.
    let store = crate::served::client::client(host).store(uuid::Uuid::new_v4());
    let accounts = crate::served::es::accounts(&store);
    let save = async |id| accounts.append(id, 0, &crate::served::es::deposits([1, 2])).await;
    assert_eq!(save("stored").await.unwrap(), 2);
    assert_eq!(store.status("accounts", "stored").await.unwrap().entry_count, 2);
    let overtaken = save("overtaken").await;
    assert!(
        matches!(overtaken, Err(SaveError::Conflict { expected: 0, head: 3 })),
        "{overtaken:?}"
    );
    let unknown = save("unknown").await;
    assert!(
        matches!(&unknown, Err(SaveError::Store(error @ Error::Unknown(_))) if !error.is_not_stored()),
        "{unknown:?}"
    );
}

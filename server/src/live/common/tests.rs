//! One who reads for many.

use std::sync::atomic::{AtomicUsize, Ordering};

use streamkit_engine::{
    Engine, EngineConfig, Name, PiecesRead, ReadSource, Record, SegmentPath, StoreId, Stores as _, Wanted,
};

use super::*;

/// A store that is followed in common, and how often a reader was opened for that.
struct Host {
    _dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    common: Arc<Common>,
    opened: AtomicUsize,
}

fn look(behind: LogCursor, store: Arc<dyn Store>) -> Looking {
    let parts = vec![Wanted::Space(Name::new("s").unwrap())];
    let reader = store.read_pieces(PiecesRead::all(ReadSource::Log(parts, behind)));
    Looking { reader, store }
}

impl Host {
    async fn start(budget_bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(dir.path());
        let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
        let store = engine.unwrap().unwrap().store(StoreId(uuid::Uuid::from_u128(1))).await;
        Self {
            _dir: dir,
            store: store.unwrap(),
            common: Arc::new(Common::new(Followed::default(), Budget::new(budget_bytes))),
            opened: AtomicUsize::new(0),
        }
    }

    async fn commits(&self, space: &str) {
        let path = SegmentPath::new(space, "a").unwrap();
        self.store.publish(&path, vec![Record::new("x")]).await.unwrap();
    }

    /// What is committed behind a place, read alone; and the end.
    async fn alone(&self, behind: LogCursor) -> (Option<PieceBatch>, LogCursor) {
        let mut own = look(behind, self.store.clone());
        let batch = own.reader.next_batch().await.unwrap();
        if batch.is_some() {
            assert!(own.reader.next_batch().await.unwrap().is_none());
        }
        (batch, own.reader.cursor())
    }

    /// What a member finds next once it was read, who wants all that is there.
    async fn reads(&self, member: &Member) -> NextCommon {
        let until = self.store.position();
        let room = async { Budget::new(1).take(1).await };
        let store = async { Ok::<_, ReadError>(self.store.clone()) };
        let open = |behind, store| {
            self.opened.fetch_add(1, Ordering::Relaxed);
            look(behind, store)
        };
        let encode = |batch: &PieceBatch| Bytes::from(vec![b'x'; batch.bytes()]);
        let read = member.read::<ReadError, _>(until, room, store, open, encode);
        read.await.unwrap();
        member.next(until)
    }
}

#[tokio::test]
async fn a_batch_is_read_once_for_all_and_the_end_is_looked_for_once() {
    let host = Host::start(1 << 20).await;
    host.commits("s").await;
    let (batch, end) = host.alone(LogCursor::default()).await;
    let told = batch.unwrap().pieces.last().map(Piece::number);
    let mut first = host.common.join(&end, told, 0).unwrap();
    host.commits("elsewhere").await;
    // Who comes later stands elsewhere in the log, and has the same behind him.
    let (none, later) = host.alone(end.clone()).await;
    assert!(none.is_none() && later != end);
    let mut second = host.common.join(&later, told, 0).unwrap();
    assert!(host.common.join(&later, None, 0).is_none(), "nobody knows what he has");
    host.commits("s").await;
    let NextCommon::Batch(batch) = host.reads(&first).await else {
        panic!()
    };
    let NextCommon::Batch(same) = host.reads(&second).await else {
        panic!()
    };
    assert!(Arc::ptr_eq(&batch, &same));
    for member in [&mut first, &mut second] {
        member.took();
        assert!(matches!(host.reads(member).await, NextCommon::End(at) if at == batch.cursor));
    }
    // Something stands behind what was read, and may be wanted: it is looked at.
    host.commits("s").await;
    host.commits("elsewhere").await;
    assert!(matches!(host.reads(&first).await, NextCommon::Batch(_)));
    first.took();
    assert!(matches!(first.next(host.store.position()), NextCommon::Unread));
    assert!(matches!(host.reads(&first).await, NextCommon::End(_)));
    // Nothing comes but what is elsewhere.
    host.commits("elsewhere").await;
    assert!(matches!(first.next(host.store.position()), NextCommon::Unread));
    assert!(matches!(host.reads(&first).await, NextCommon::End(at) if at != batch.cursor));
    assert_eq!(host.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn one_who_reads_alone_joins_where_others_were_and_has_the_rest_from_them() {
    let host = Host::start(1 << 20).await;
    let (_, end) = host.alone(LogCursor::default()).await;
    let mut first = host.common.join(&end, None, 0).unwrap();
    host.commits("s").await;
    let NextCommon::Batch(one) = host.reads(&first).await else {
        panic!()
    };
    first.took();
    host.commits("s").await;
    host.commits("s").await;
    let mut own = host.alone(end).await.0.unwrap();
    assert_eq!(own.entries, 3);
    let second = host.common.join_within(&mut own).unwrap();
    assert_eq!((own.pieces.len(), &own.cursor), (1, &one.cursor));
    // He knows that there is more, though nobody has read it for all.
    assert!(matches!(second.next(host.store.position()), NextCommon::Unread));
    let NextCommon::Batch(two) = host.reads(&second).await else {
        panic!()
    };
    assert!(matches!(first.next(host.store.position()), NextCommon::Batch(same) if Arc::ptr_eq(&same, &two)));
    // Who is there already, or has more to come, stays on his own.
    let mut rest = host.alone(one.cursor.clone()).await.0.unwrap();
    assert!(host.common.join_within(&mut rest).is_none() && rest.pieces.len() == 2);
}

#[tokio::test]
async fn nothing_is_kept_without_room_for_it_nor_for_one_who_is_slow_or_for_nobody() {
    let host = Host::start(1).await;
    let (_, end) = host.alone(LogCursor::default()).await;
    let member = host.common.join(&end, None, 0).unwrap();
    host.commits("s").await;
    assert!(matches!(host.reads(&member).await, NextCommon::Gone));
    drop(member);
    let host = Host::start(1 << 20).await;
    let mut fast = host.common.join(&end, None, 0).unwrap();
    let slow = host.common.join(&end, None, 0).unwrap();
    for _ in 0..=BATCHES_MAX {
        host.commits("s").await;
        assert!(matches!(host.reads(&fast).await, NextCommon::Batch(_)));
        fast.took();
    }
    assert!(matches!(slow.next(host.store.position()), NextCommon::Gone));
    assert!(fast.rest(Duration::from_secs(600)).is_some());
    assert!(host.common.budget.held() > 0);
    assert!(fast.rest(Duration::ZERO).is_none());
    assert_eq!(host.common.budget.held(), 0);
    host.commits("s").await;
    assert!(matches!(host.reads(&fast).await, NextCommon::Batch(_)));
    drop((fast, slow));
    assert_eq!(host.common.budget.held(), 0);
}

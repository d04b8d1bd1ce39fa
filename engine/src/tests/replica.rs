//! Replicas: what they land, what they refuse, and that two of them are the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::disk::Disk;
use crate::format::transaction::Encoded;
use crate::simulation::Simulated;
use crate::*;

const DIR: &str = "/data";
const STORE: StoreId = StoreId(Uuid::from_u128(7));

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn path(segment: &str) -> SegmentPath {
    SegmentPath::new("orders", segment).unwrap()
}

fn open(disk: &Simulated) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: 4 * limits::EXTENT_BYTES_MIN,
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(DIR)
    })
    .unwrap()
}

fn replica(engine: &Engine) -> Replica {
    Replica::of(engine.open_store(STORE).unwrap())
}

/// A log as it comes from elsewhere: transactions in pieces.
struct Elsewhere(Vec<Vec<u8>>);

impl Elsewhere {
    /// Appends, trims, deletes and leases, over some extents.
    fn of_all_kinds() -> Self {
        let mut all = vec![
            append("a", 1, &[b"first", b"second"]),
            append("b", 1, &[b"gone"]),
            Encoded::lease(&lease(10)),
        ];
        for sequence in 3..60 {
            all.push(append("a", sequence, &[&[7; 30_000]]));
        }
        all.push(Encoded::trim(&path("a"), Sequence(2), Timestamp(1_001)));
        all.push(Encoded::delete(&path("b")));
        all.push(append("b", 1, &[b"again"]));
        all.push(Encoded::release(&lease(10).key, &lease(10).holder, FencingToken(10)));
        all.push(Encoded::lease(&lease(11)));
        let mut number = 0;
        let committed = all.into_iter().map(|mut transaction| {
            number += 1;
            transaction.commit(number, Timestamp(1_000 + number as i64)).to_vec()
        });
        // One, two, three at a time.
        let mut pieces = vec![Vec::new()];
        for (at, transaction) in committed.enumerate() {
            pieces.last_mut().unwrap().extend(transaction);
            if at % 5 == 0 || at % 5 == 2 {
                pieces.push(Vec::new());
            }
        }
        Self(pieces)
    }

    fn land_all(&self, replica: &Replica) {
        for piece in &self.0 {
            replica.land(piece).unwrap();
        }
    }
}

fn append(segment: &str, first: u64, payloads: &[&[u8]]) -> Encoded {
    let records = payloads.iter().map(|payload| Record::new(payload.to_vec())).collect();
    Encoded::data(&Transaction::single(path(segment), Sequence(first), records))
}

fn lease(token: u64) -> Lease {
    Lease {
        key: name("key"),
        holder: name("holder"),
        token: FencingToken(token),
        ttl: Duration::from_secs(60),
    }
}

/// All entries in log order, and the cursor behind the last.
async fn read(store: &dyn Store, behind: LogCursor) -> (Vec<Entry>, LogCursor) {
    let wanted = vec![Wanted::Space(name("orders"))];
    let mut reader = store.read_pieces(PiecesRead::all(ReadSource::Log(wanted, behind.clone())));
    let (mut entries, mut cursor) = (Vec::new(), behind);
    while let Some(batch) = reader.next_batch().await.unwrap() {
        batch
            .pieces
            .iter()
            .try_for_each(|piece| piece.entries(&mut entries))
            .unwrap();
        cursor = batch.cursor;
    }
    (entries, cursor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_landed_is_there_after_a_kill_and_power_loss_and_verify_agrees() {
    let disk = Simulated::default();
    let engine = open(&disk);
    let one = replica(&engine);
    Elsewhere::of_all_kinds().land_all(&one);
    let last = one.last();
    for disk in [disk.copy(), disk.after_kill(), disk.after_worst_power_loss()] {
        let engine = open(&disk);
        let again = replica(&engine);
        assert_eq!(again.last(), last);
        let store = again.store();
        let status = store.segment_status(&path("a")).await.unwrap().unwrap();
        assert_eq!(
            (status.first_sequence, status.last_sequence),
            (Sequence(2), Sequence(59))
        );
        assert_eq!(store.peek(&path("b")).await.unwrap().unwrap().payload, "again");
        assert_eq!(store.lease(&name("key")).await.unwrap(), Some(lease(11)));
        let next = last.number + 1;
        again
            .land(append("a", 60, &[b"next"]).commit(next, last.timestamp))
            .unwrap();
        assert_eq!(store.peek(&path("a")).await.unwrap().unwrap().payload, "next");
        drop(again);
        engine.close().await;
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let report = verify_on(&shared, Path::new(DIR), &mut |_| {}).unwrap();
        assert!(report.stores.iter().all(|store| store.damage.is_empty()), "{report:?}");
    }
}

/// One opens again and again in between, and its disk is full for a while: it does not make smaller extents then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_one_replica_is_good_on_every_other_however_they_came_to_be() {
    let log = Elsewhere::of_all_kinds();
    let (steady, restless) = (Simulated::default(), Simulated::new(99));
    let engine = open(&steady);
    let one = replica(&engine);
    let mut cursors = Vec::new();
    let mut refusals = 0;
    let mut other_engine = open(&restless);
    let mut other = replica(&other_engine);
    for (at, piece) in log.0.iter().enumerate() {
        one.land(piece).unwrap();
        if at == 20 {
            // Room for the smallest extent, and not for the next one.
            restless.set_room(Some(restless.used() + limits::EXTENT_BYTES_MIN as usize * 3 / 2));
        }
        if let Err(error) = other.land(piece) {
            assert!(error.is_full(), "{error}");
            refusals += 1;
            restless.set_room(None);
            other.land(piece).unwrap();
        }
        assert_eq!(one.last(), other.last());
        let (_, cursor) = read(one.store(), LogCursor::default()).await;
        assert_eq!(read(other.store(), LogCursor::default()).await.1, cursor, "piece {at}");
        cursors.push(cursor);
        if at % 3 == 0 {
            drop(other);
            other_engine.close().await;
            other_engine = open(&restless);
            other = replica(&other_engine);
        }
    }
    assert_eq!(refusals, 1, "the disk was full once");
    let (all, _) = read(one.store(), LogCursor::default()).await;
    for cursor in cursors {
        let rest = read(one.store(), cursor.clone()).await.0;
        assert_eq!(read(other.store(), cursor).await.0, rest);
        assert!(all.ends_with(&rest));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_transactions_or_do_not_follow_are_refused_and_land_nothing() {
    let disk = Simulated::default();
    let engine = open(&disk);
    let one = replica(&engine);
    one.land(append("a", 1, &[b"x"]).commit(1, Timestamp(10))).unwrap();
    let mut next = append("a", 2, &[b"y", b"z"]);
    let good = next.commit(2, Timestamp(11)).to_vec();
    let refused = |bytes: &[u8]| {
        let error = one.land(bytes).unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        assert_eq!(one.last().number, 1);
    };
    for end in 1..good.len() {
        refused(&good[..end]);
    }
    for byte in 0..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 0x10;
        refused(&bad);
    }
    refused(append("a", 2, &[b"y"]).commit(3, Timestamp(11)));
    refused(append("a", 2, &[b"y"]).commit(1, Timestamp(11)));
    refused(append("a", 2, &[b"y"]).commit(2, Timestamp(9)));
    refused(Encoded::open().commit(2, Timestamp(11)));
    // The first of them is good, and is not landed without the second.
    refused(&[&good[..], &good].concat());
    one.land(&[]).unwrap();
    one.land(&good).unwrap();
    assert_eq!(one.store().peek(&path("a")).await.unwrap().unwrap().payload, "z");
    let own = Transaction::single(path("a"), Sequence(4), vec![Record::new("own")]);
    let refused = one.store().append(own).await;
    let closed = matches!(
        &refused,
        Err(AppendError::Rejected(Rejection::Storage(StorageError::Closed)))
    );
    assert!(closed, "{refused:?}");
    assert!(one.store().delete(&path("a")).await.is_err());
    // It is whole, and contradicts what is there: nothing more is believed of that log.
    let contradicts = append("a", 9, &[b"?"]).commit(3, Timestamp(12)).to_vec();
    one.land(&contradicts).unwrap_err();
    assert_eq!(one.store().peek(&path("a")).await.unwrap().unwrap().payload, "z");
    one.land(append("a", 4, &[b"w"]).commit(3, Timestamp(12))).unwrap_err();
}

//! Replicas: what they land, what they refuse, and that two of them are the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::disk::Disk;
use crate::format::transaction::Encoded;
use crate::simulation::Simulated;
use crate::*;

pub(super) const DIR: &str = "/data";
pub(super) const STORE: StoreId = StoreId(Uuid::from_u128(7));

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn path(segment: &str) -> SegmentPath {
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

pub(super) fn replica(engine: &Engine) -> Replica {
    Replica::of(engine.open_store(STORE).unwrap())
}

/// A log as it comes from elsewhere: transactions in pieces.
pub(super) struct Elsewhere(pub(super) Vec<Vec<u8>>);

impl Elsewhere {
    /// Appends, trims, deletes and leases, over some extents.
    pub(super) fn of_all_kinds() -> Self {
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

pub(super) fn append(segment: &str, first: u64, payloads: &[&[u8]]) -> Encoded {
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
pub(super) async fn read(store: &dyn Store, behind: LogCursor) -> (Vec<Entry>, LogCursor) {
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

/// The files of what is sealed, by name.
fn sealed(disk: &Simulated) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = disk.files().into_iter().collect();
    files.retain(|(path, _)| path.extension().is_some_and(|kind| kind == "extent" || kind == "index"));
    let of = |kind: &str| {
        let all = files.iter().map(|(path, _)| path);
        all.filter(|path| path.extension().is_some_and(|found| found == kind))
            .count()
    };
    // One index file for each sealed extent.
    let count = of("index");
    assert!(count >= 3 && of("extent") > count, "{files:?}");
    let number = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<usize>().unwrap();
    files.retain(|(path, _)| number(path) <= count);
    files
}

/// One begins anew in the middle, once after power loss, and makes some of its index files from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sealed_files_of_all_replicas_of_a_log_are_equal() {
    let log = Elsewhere::of_all_kinds();
    let (steady, mut restless) = (Simulated::new(1), Simulated::new(2));
    let engine = open(&steady);
    let one = replica(&engine);
    log.land_all(&one);
    let mut other_engine = open(&restless);
    let mut other = replica(&other_engine);
    for (at, piece) in log.0.iter().enumerate() {
        if at % 7 == 3 {
            drop(other);
            if at % 2 == 0 {
                other_engine.close().await;
                let indexes = restless
                    .files()
                    .into_keys()
                    .filter(|path| path.extension().is_some_and(|kind| kind == "index"));
                indexes.for_each(|path| restless.remove(&path).unwrap());
            } else {
                drop(other_engine);
                restless = restless.after_power_loss();
            }
            other_engine = open(&restless);
            other = replica(&other_engine);
        }
        other.land(piece).unwrap();
    }
    assert_eq!(other.last(), one.last());
    drop((one, other));
    engine.close().await;
    other_engine.close().await;
    assert!(sealed(&steady) == sealed(&restless));
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

fn transaction(segment: &str, first: Sequence, payload: &'static str) -> Transaction {
    Transaction::single(path(segment), first, vec![Record::new(payload)])
}

fn proposal(transaction: &Transaction) -> Proposal {
    Proposal::append(transaction.clone()).unwrap()
}

/// Plans what fits of some transactions on one host, and lands it on all. Returns what was planned, and its answer.
fn commit(hosts: &[&Replica], transactions: &[Transaction]) -> Vec<(Transaction, Committed)> {
    let (mut plan, mut planned, mut fit) = (Plan::default(), Vec::new(), Vec::new());
    for transaction in transactions {
        let mut proposal = proposal(transaction);
        let admitted = hosts[0].admit(&mut plan, &mut proposal).unwrap();
        if matches!(admitted, Admission::Fits) {
            planned.push(proposal);
            fit.push(transaction.clone());
        }
    }
    let time = hosts[0].earliest(&planned).max(Timestamp(5_000));
    let bytes = hosts[0].transactions(0, &mut planned, time);
    hosts.iter().for_each(|host| host.land(&bytes).unwrap());
    let planned: Vec<&Proposal> = planned.iter().collect();
    fit.into_iter()
        .zip(hosts[0].landed(&planned).into_iter().map(of_append))
        .collect()
}

fn of_append(landed: Landed) -> Committed {
    match landed {
        Landed::Append(committed) => committed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_host_planned_every_host_answers_alike() {
    let (here, there) = (Simulated::default(), Simulated::new(5));
    let (one_engine, other_engine) = (open(&here), open(&there));
    let (one, other) = (replica(&one_engine), replica(&other_engine));
    let next = SegmentAppend::NEXT;
    let placed = transaction("a", Sequence(1), "first");
    let unplaced = transaction("a", next, "second");
    let conflicting = transaction("a", Sequence(7), "no");
    let twice = unplaced.clone();
    let all = vec![
        placed,
        unplaced,
        conflicting.clone(),
        twice,
        transaction("b", next, "third"),
    ];
    let committed = commit(&[&one, &other], &all);
    assert_eq!(
        committed.len(),
        3,
        "a repeated one waits, as one does that does not fit what is planned"
    );
    for (transaction, answer) in &committed {
        for host in [&one, &other] {
            // As its producer sends it again, without the sequences that it got.
            let mut again = proposal(transaction);
            let Admission::Stored(found) = host.admit(&mut Plan::default(), &mut again).unwrap() else {
                panic!("it is landed");
            };
            assert!(found.was_there);
            assert_eq!(
                (found.trx.number, found.timestamp),
                (answer.trx.number, answer.timestamp)
            );
            assert_eq!(found.segments[0].last_sequence, answer.segments[0].last_sequence);
            let mut other_records = transaction.clone();
            other_records.segments[0].records = vec![Record::new("other")];
            let admitted = host.admit(&mut Plan::default(), &mut proposal(&other_records)).unwrap();
            assert!(
                matches!(admitted, Admission::Refused(Rejection::OtherRecords { .. })),
                "{admitted:?}"
            );
            let admitted = host.admit(&mut Plan::default(), &mut proposal(&conflicting)).unwrap();
            let head = Sequence(2);
            assert!(
                matches!(admitted, Admission::Refused(Rejection::Conflict { head: found, .. }) if found == head),
                "{admitted:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_another_host_overtook_is_made_anew_behind_what_that_one_landed() {
    let disk = Simulated::default();
    let engine = open(&disk);
    let one = replica(&engine);
    let wanted = [
        transaction("a", SegmentAppend::NEXT, "any"),
        transaction("a", Sequence(2), "exact"),
    ];
    let [mut any, mut exact] = wanted.each_ref().map(proposal);
    let mut plan = Plan::default();
    assert!(matches!(one.admit(&mut plan, &mut any).unwrap(), Admission::Fits));
    assert!(matches!(one.admit(&mut plan, &mut exact).unwrap(), Admission::Fits));
    let lost = one.transactions(0, [&mut any, &mut exact], Timestamp(5_000));
    one.land(append("a", 1, &[b"another's"]).commit(1, Timestamp(5_001)))
        .unwrap();
    one.land(&lost).unwrap_err();
    let again = commit(&[&one], &wanted);
    let firsts: Vec<_> = again
        .iter()
        .map(|(_, answer)| (answer.segments[0].last_sequence, answer.timestamp))
        .collect();
    // What takes any sequence was asked for first, and the other one's sequence is taken now.
    assert_eq!(firsts, [(Sequence(2), Timestamp(5_001))]);
    let entries = read(one.store(), LogCursor::default()).await.0;
    let payloads: Vec<_> = entries.iter().map(|entry| &entry.payload[..]).collect();
    assert_eq!(payloads, [&b"another's"[..], b"any"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_begins_anew_behind_its_deletion_and_a_fence_holds_as_the_log_says() {
    let disk = Simulated::default();
    let engine = open(&disk);
    let one = replica(&engine);
    one.land(append("a", 1, &[b"x"]).commit(1, Timestamp(5_000))).unwrap();
    one.land(Encoded::delete(&path("a")).commit(2, Timestamp(5_000)))
        .unwrap();
    let (_, anew) = &commit(&[&one], &[transaction("a", Sequence(1), "anew")])[0];
    assert_eq!(anew.timestamp, Timestamp(5_001));
    let number = one.last().number;
    one.land(Encoded::lease(&lease(10)).commit(number + 1, Timestamp(6_000)))
        .unwrap();
    for (token, holds) in [(10, true), (9, false)] {
        let mut fenced = Transaction::single(path("a"), SegmentAppend::NEXT, vec![Record::new("fenced")]);
        fenced.fence = Some(Fence {
            key: name("key"),
            token: FencingToken(token),
        });
        let admitted = one.admit(&mut Plan::default(), &mut proposal(&fenced)).unwrap();
        let refused = matches!(admitted, Admission::Refused(Rejection::FencedOff(_)));
        assert_eq!(!refused, holds, "{admitted:?}");
    }
}

/// Rules on one proposal alone, lands what it makes on all, and returns its answer.
fn change(hosts: &[&Replica], mut proposal: Proposal) -> Landed {
    let admitted = hosts[0].admit(&mut Plan::default(), &mut proposal).unwrap();
    assert!(matches!(admitted, Admission::Fits), "{admitted:?}");
    let bytes = hosts[0].transactions(0, [&mut proposal], Timestamp(5_000));
    hosts.iter().for_each(|host| host.land(&bytes).unwrap());
    hosts[0].landed(&[&proposal]).remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trims_deletions_and_leases_are_ruled_on_as_by_a_store_of_its_own_and_go_alone() {
    let (here, there) = (Simulated::default(), Simulated::new(5));
    let (one_engine, other_engine) = (open(&here), open(&there));
    let (one, other) = (replica(&one_engine), replica(&other_engine));
    let hosts = [&one, &other];
    let next = SegmentAppend::NEXT;
    commit(&hosts, &[transaction("a", next, "1"), transaction("a", next, "2")]);
    let mut plan = Plan::default();
    let admits = |plan: &mut Plan, mut proposal| one.admit(plan, &mut proposal).unwrap();
    // Behind what is planned it waits, and nothing overtakes it.
    let appended = proposal(&transaction("a", next, "3"));
    assert!(matches!(admits(&mut plan, appended.clone()), Admission::Fits));
    assert!(matches!(
        admits(&mut plan, Proposal::trim(path("a"), Sequence(2))),
        Admission::Waits
    ));
    assert!(matches!(admits(&mut plan, appended), Admission::Waits));
    let Landed::Trim(Some(status)) = change(&hosts, Proposal::trim(path("a"), Sequence(2))) else {
        panic!("it is trimmed");
    };
    assert_eq!(status.first_sequence, Sequence(2));
    let again = admits(&mut Plan::default(), Proposal::trim(path("a"), Sequence(2)));
    assert!(matches!(again, Admission::Stands(Landed::Trim(Some(_)))), "{again:?}");
    let beyond = admits(&mut Plan::default(), Proposal::trim(path("a"), Sequence(9)));
    assert!(
        matches!(beyond, Admission::Refused(Rejection::NoSuchSequence(_))),
        "{beyond:?}"
    );

    let acquire = |holder| Proposal::acquire_lease(name("key"), name(holder), Duration::from_secs(60)).unwrap();
    let Landed::Lease(Some(granted)) = change(&hosts, acquire("a")) else {
        panic!("it is granted");
    };
    for host in hosts {
        assert_eq!(host.store().lease(&name("key")).await.unwrap(), Some(granted.clone()));
        let taken = host.admit(&mut Plan::default(), &mut acquire("b")).unwrap();
        assert!(matches!(taken, Admission::Stands(Landed::Lease(None))), "{taken:?}");
    }
    // Its holder asks another host.
    assert_eq!(
        change(&[&other, &one], acquire("a")),
        Landed::Lease(Some(granted.clone()))
    );
    let released = change(&[&other, &one], Proposal::release_lease(name("key"), name("a")));
    assert_eq!(released, Landed::Lease(Some(granted.clone())));
    let Landed::Lease(Some(later)) = change(&hosts, acquire("b")) else {
        panic!("it is free");
    };
    assert!(later.token > granted.token);

    assert_eq!(change(&hosts, Proposal::delete(path("a"))), Landed::Delete);
    let gone = admits(&mut Plan::default(), Proposal::delete(path("a")));
    assert!(
        matches!(gone, Admission::Refused(Rejection::NoSuchSequence(_))),
        "{gone:?}"
    );
}

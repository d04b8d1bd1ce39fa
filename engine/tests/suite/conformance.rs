//! The promises of the boundary, through the boundary.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use streamkit_engine::*;
use uuid::Uuid;

/// Where the stores under test come from: of many extents, so that every promise crosses some.
pub(crate) struct Fixture {
    stores: Arc<dyn Stores>,
    _dir: tempfile::TempDir,
}

pub(crate) async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mut config = EngineConfig::new(dir.path());
    (config.disk, config.extent_bytes) = (super::disk(), limits::EXTENT_BYTES_MIN);
    Fixture {
        stores: Arc::new(Engine::open(config).unwrap()),
        _dir: dir,
    }
}

impl Fixture {
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        self.stores.store(StoreId(Uuid::from_u128(7))).await.unwrap()
    }
}

pub(crate) fn path(space: &str, segment: &str) -> SegmentPath {
    SegmentPath::new(space, segment).unwrap()
}

pub(crate) fn records(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<Record> {
    texts.into_iter().map(|text| Record::new(text.into())).collect()
}

async fn append(store: &dyn Store, path: &SegmentPath, first: u64, texts: &[&str]) -> Result<Committed, AppendError> {
    store
        .append(Transaction::single(
            path.clone(),
            Sequence(first),
            records(texts.iter().copied()),
        ))
        .await
}

async fn drain(mut reader: Box<dyn EntryReader>) -> Vec<Entry> {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        assert!(!batch.is_empty());
        all.extend(batch);
    }
    all
}

pub(crate) async fn read_all(store: &dyn Store, path: &SegmentPath) -> Vec<Entry> {
    drain(store.read_segment(SegmentRead::all(path.clone()))).await
}

fn space(name: &str, cursor: Option<SpaceCursor>) -> SpacesRead {
    SpacesRead {
        spaces: BTreeMap::from([(Name::new(name).unwrap(), cursor)]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    }
}

fn cursor_of(entry: &Entry) -> SpaceCursor {
    SpaceCursor {
        timestamp: entry.timestamp,
        segment: entry.path.segment.clone(),
        sequence: entry.sequence,
    }
}

fn conflict(error: AppendError) -> (u64, u64) {
    match error {
        AppendError::Rejected(Rejection::Conflict { head, got, .. }) => (head.0, got.0),
        other => panic!("expected a conflict, got {other}"),
    }
}

#[tokio::test]
async fn what_was_appended_is_read_back_whole() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("orders", "order-1");
    let metadata = Metadata::from_pairs([("b", "2"), ("a", "1")]);
    let record = Record {
        payload: "placed".into(),
        metadata: metadata.clone(),
    };
    let trx = Transaction::single(p.clone(), Sequence(1), vec![record, Record::default()]);
    let committed = store.append(trx.clone()).await.unwrap();
    assert_eq!(committed.segments[0].last_sequence, Sequence(2));
    let entries = read_all(&*store, &p).await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].metadata.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    assert!(entries[1].payload.is_empty() && entries[1].metadata.is_empty());
    assert!(
        entries
            .iter()
            .all(|e| e.trx.id == trx.id && e.timestamp == committed.timestamp)
    );
}

#[tokio::test]
async fn names_are_exact() {
    let f = fixture().await;
    let store = f.store().await;
    append(&*store, &path("s", "order-12"), 1, &["twelve"]).await.unwrap();
    append(&*store, &path("sp", "order-1"), 1, &["other space"])
        .await
        .unwrap();
    let one = path("s", "order-1");
    assert_eq!(store.peek(&one).await.unwrap(), None);
    assert!(read_all(&*store, &one).await.is_empty());
    append(&*store, &one, 1, &["one"]).await.unwrap();
    assert_eq!(read_all(&*store, &one).await[0].payload, "one");
    assert_eq!(drain(store.read_spaces(space("s", None))).await.len(), 2);
}

#[tokio::test]
async fn losers_are_told_the_actual_head() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "a");
    append(&*store, &p, 1, &["1", "2"]).await.unwrap();
    for first in [1, 2, 4] {
        assert_eq!(
            conflict(append(&*store, &p, first, &["x"]).await.unwrap_err()),
            (2, first)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_racers_exactly_one_wins_each_sequence() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "raced");
    let mut tasks = Vec::new();
    for racer in 0..32 {
        let (store, p) = (store.clone(), p.clone());
        tasks.push(tokio::spawn(async move {
            let mut won = Vec::new();
            let mut next = 1;
            while next <= 50 {
                match append(&*store, &p, next, &[&format!("{racer}")]).await {
                    Ok(_) => {
                        won.push(next);
                        next += 1;
                    }
                    Err(error) => {
                        let (head, _) = conflict(error);
                        assert!(head >= next, "a head of {head} is no reason to refuse {next}");
                        next = head + 1;
                    }
                }
            }
            (racer, won)
        }));
    }
    let mut winners = BTreeMap::new();
    for task in tasks {
        let (racer, won) = task.await.unwrap();
        for sequence in won {
            assert_eq!(winners.insert(sequence, racer), None, "two winners of {sequence}");
        }
    }
    let entries = read_all(&*store, &p).await;
    let stored: BTreeMap<u64, i32> = entries
        .iter()
        .map(|e| (e.sequence.0, std::str::from_utf8(&e.payload).unwrap().parse().unwrap()))
        .collect();
    assert_eq!(stored, winners);
}

#[tokio::test]
async fn a_retry_of_the_same_transaction_is_a_success() {
    let f = fixture().await;
    let store = f.store().await;
    let trx = Transaction::single(path("s", "a"), Sequence(1), records(["x", "y"]));
    let first = store.append(trx.clone()).await.unwrap();
    let again = store.append(trx.clone()).await.unwrap();
    assert_eq!(first, again);
    let mut other = trx.clone();
    other.segments[0].records[1] = Record::new("z");
    assert_eq!(conflict(store.append(other).await.unwrap_err()), (2, 1));
    let (a, b) = tokio::join!(
        store.append(Transaction {
            id: Uuid::from_u128(1),
            ..trx_at(3)
        }),
        store.append(Transaction {
            id: Uuid::from_u128(1),
            ..trx_at(3)
        })
    );
    assert_eq!(a.unwrap(), b.unwrap());
}

fn trx_at(first: u64) -> Transaction {
    Transaction::single(path("s", "a"), Sequence(first), records(["w"]))
}

#[tokio::test]
async fn a_transaction_over_several_segments_is_all_or_nothing() {
    let f = fixture().await;
    let store = f.store().await;
    let part = |segment: &str, first| SegmentAppend {
        path: path("s", segment),
        first_sequence: Sequence(first),
        records: records(["r"]),
    };
    let both = |b| Transaction {
        id: Uuid::new_v4(),
        segments: vec![part("a", 1), part("b", b)],
    };
    assert_eq!(conflict(store.append(both(2)).await.unwrap_err()), (0, 2));
    assert_eq!(store.peek(&path("s", "a")).await.unwrap(), None);
    let committed = store.append(both(1)).await.unwrap();
    assert_eq!(committed.segments.len(), 2);
    let all = drain(store.read_spaces(space("s", None))).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].trx, all[1].trx);
}

#[tokio::test]
async fn bounds_are_inclusive_by_sequence_and_exclusive_below_by_time() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "a");
    let texts: Vec<String> = (1..=10).map(|n| n.to_string()).collect();
    let committed = store
        .append(Transaction::single(p.clone(), Sequence(1), records(texts)))
        .await
        .unwrap();
    let read = |from, to, limit| SegmentRead {
        from: Sequence(from),
        to: Sequence(to),
        limit,
        ..SegmentRead::all(p.clone())
    };
    let sequences = async |read| {
        drain(store.read_segment(read))
            .await
            .iter()
            .map(|e| e.sequence.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(sequences(read(0, u64::MAX, u64::MAX)).await.len(), 10);
    assert_eq!(sequences(read(3, 3, u64::MAX)).await, [3]);
    assert_eq!(sequences(read(3, 5, u64::MAX)).await, [3, 4, 5]);
    assert_eq!(sequences(read(9, 15, u64::MAX)).await, [9, 10]);
    assert_eq!(sequences(read(11, u64::MAX, u64::MAX)).await, [0u64; 0]);
    assert_eq!(sequences(read(5, 3, u64::MAX)).await, [0u64; 0]);
    assert_eq!(sequences(read(1, u64::MAX, 3)).await, [1, 2, 3]);
    let at = committed.timestamp;
    let timed = |after, until| SegmentRead {
        time: TimeRange { after, until },
        ..SegmentRead::all(p.clone())
    };
    assert_eq!(sequences(timed(at, Timestamp(i64::MAX))).await.len(), 0);
    assert_eq!(sequences(timed(Timestamp(at.0 - 1), at)).await.len(), 10);
    assert_eq!(sequences(timed(Timestamp(0), Timestamp(at.0 - 1))).await.len(), 0);
}

#[tokio::test]
async fn a_space_is_read_in_log_order_and_resumes_after_any_entry_without_gap_or_repeat() {
    let f = fixture().await;
    let store = f.store().await;
    let mut expected = Vec::new();
    for round in 0..60u64 {
        for segment in ["z", "a", "m"] {
            let text = format!("{segment}{round}-{}", "x".repeat(700));
            append(&*store, &path("s", segment), round * 2 + 1, &[&text, "second"])
                .await
                .unwrap();
            append(&*store, &path("t", segment), round + 1, &["other"])
                .await
                .unwrap();
            expected.push((segment.to_owned(), round * 2 + 1));
            expected.push((segment.to_owned(), round * 2 + 2));
        }
    }
    let all = drain(store.read_spaces(space("s", None))).await;
    let key = |e: &Entry| (e.path.segment.as_str().to_owned(), e.sequence.0);
    assert_eq!(all.iter().map(key).collect::<Vec<_>>(), expected);
    assert!(
        all.windows(2)
            .all(|w| w[0].timestamp <= w[1].timestamp && w[0].trx.number <= w[1].trx.number)
    );
    for at in 0..all.len() {
        let rest = drain(store.read_spaces(space("s", Some(cursor_of(&all[at]))))).await;
        assert_eq!(rest[..], all[at + 1..], "after entry {at}");
    }
}

#[tokio::test]
async fn several_spaces_are_merged_in_log_order_each_after_its_own_cursor() {
    let f = fixture().await;
    let store = f.store().await;
    for n in 1..=40 {
        for s in ["s", "t", "u"] {
            append(&*store, &path(s, "a"), n, &["e"]).await.unwrap();
        }
    }
    let s_all = drain(store.read_spaces(space("s", None))).await;
    let t_all = drain(store.read_spaces(space("t", None))).await;
    let read = SpacesRead {
        spaces: BTreeMap::from([
            (Name::new("s").unwrap(), Some(cursor_of(&s_all[9]))),
            (Name::new("t").unwrap(), Some(cursor_of(&t_all[29]))),
            (Name::new("missing").unwrap(), None),
        ]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    };
    let got = drain(store.read_spaces(read.clone())).await;
    let mut expected: Vec<Entry> = s_all[10..].iter().chain(&t_all[30..]).cloned().collect();
    expected.sort_by_key(|e| e.trx.number);
    assert_eq!(got, expected);
    let limited = drain(store.read_spaces(SpacesRead { limit: 7, ..read })).await;
    assert_eq!(limited[..], expected[..7]);
}

#[tokio::test]
async fn a_cursor_whose_entry_never_was_goes_on_by_its_time() {
    let f = fixture().await;
    let store = f.store().await;
    for n in 1..=5 {
        append(&*store, &path("s", "b"), n, &["e"]).await.unwrap();
    }
    let all = drain(store.read_spaces(space("s", None))).await;
    let before = SpaceCursor {
        timestamp: Timestamp(0),
        segment: Name::new("b").unwrap(),
        sequence: Sequence(1),
    };
    assert_eq!(drain(store.read_spaces(space("s", Some(before)))).await, all);
    let after = SpaceCursor {
        timestamp: Timestamp(all[4].timestamp.0 + 1),
        segment: Name::new("a").unwrap(),
        sequence: Sequence(1),
    };
    assert!(drain(store.read_spaces(space("s", Some(after)))).await.is_empty());
}

#[tokio::test]
async fn a_cursor_whose_entry_is_gone_skips_nothing_that_was_committed_with_it() {
    let f = fixture().await;
    let store = f.store().await;
    let part = |segment: &str, sequence| SegmentAppend {
        path: path("s", segment),
        first_sequence: Sequence(sequence),
        records: vec![Record::new("x")],
    };
    for sequence in 1..=3 {
        let segments = vec![part("b", sequence), part("c", sequence), part("a", sequence)];
        let id = uuid::Uuid::new_v4();
        store.append(Transaction { id, segments }).await.unwrap();
    }
    let all = drain(store.read_spaces(space("s", None))).await;
    let [seen, rest] = [all[4].clone(), all[5].clone()];
    assert_eq!((seen.path.segment.as_str(), rest.path.segment.as_str()), ("c", "a"));
    // Trimmed, its place is still known: nothing is repeated.
    store.trim(&seen.path, Sequence(3)).await.unwrap();
    let after = drain(store.read_spaces(space("s", Some(cursor_of(&seen))))).await;
    assert_eq!(after, all[5..]);
    store.delete(&seen.path).await.unwrap();
    let after = drain(store.read_spaces(space("s", Some(cursor_of(&seen))))).await;
    assert!(after.contains(&rest), "skipped");
}

#[tokio::test]
async fn lists_are_sorted_by_bytes_and_paged() {
    let f = fixture().await;
    let store = f.store().await;
    for segment in ["b", "a", "é", "B", "a-1"] {
        append(&*store, &path("s", segment), 1, &["e"]).await.unwrap();
    }
    append(&*store, &path("S", "x"), 1, &["e"]).await.unwrap();
    let names = |page: Vec<SegmentStatus>| {
        page.iter()
            .map(|s| s.path.segment.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let s = Name::new("s").unwrap();
    let all = names(store.segments(&s, Bound::Unbounded, usize::MAX).await.unwrap());
    assert_eq!(all, ["B", "a", "a-1", "b", "é"]);
    let page = store
        .segments(&s, Bound::Excluded(Name::new("a").unwrap()), 2)
        .await
        .unwrap();
    assert_eq!(names(page), ["a-1", "b"]);
    assert_eq!(
        store
            .spaces()
            .await
            .unwrap()
            .iter()
            .map(Name::as_str)
            .collect::<Vec<_>>(),
        ["S", "s"]
    );
    assert_eq!(store.status().await.unwrap().segment_count, 6);
}

#[tokio::test]
async fn a_read_that_was_given_up_half_way_never_looks_ended() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "a");
    append(&*store, &p, 1, &["x"; 9000]).await.unwrap();
    let mut reader = store.read_segment(SegmentRead::all(p));
    // Given up as soon as it has to wait.
    let all = async { while reader.next_batch().await.unwrap().is_some() {} };
    tokio::select!(biased; () = all => panic!("it never had to wait"), () = std::future::ready(()) => {});
    for _ in 0..2 {
        let next = reader.next_batch().await;
        assert!(
            matches!(next, Err(ReadError::Storage(StorageError::Interrupted))),
            "{next:?}"
        );
    }
}

#[tokio::test]
async fn missing_things_are_empty_not_errors() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("no", "where");
    assert_eq!(store.peek(&p).await.unwrap(), None);
    assert!(read_all(&*store, &p).await.is_empty());
    assert!(drain(store.read_spaces(space("no", None))).await.is_empty());
    assert!(store.spaces().await.unwrap().is_empty());
    assert_eq!(store.segment_status(&p).await.unwrap(), None);
}

#[tokio::test]
async fn limits_are_refused_before_anything_is_written() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "a");
    let refused = async |segments| {
        let error = store
            .append(Transaction {
                id: Uuid::new_v4(),
                segments,
            })
            .await
            .unwrap_err();
        match error {
            AppendError::Rejected(Rejection::Invalid(invalid)) => invalid,
            other => panic!("{other}"),
        }
    };
    let part = |first, records| SegmentAppend {
        path: p.clone(),
        first_sequence: Sequence(first),
        records,
    };
    let big = Record::new(vec![0u8; limits::RECORD_BYTES_MAX + 1]);
    assert_eq!(refused(vec![part(1, vec![])]).await, InvalidTransaction::Empty);
    assert_eq!(refused(vec![]).await, InvalidTransaction::Empty);
    assert!(matches!(
        refused(vec![part(1, vec![big])]).await,
        InvalidTransaction::RecordTooLarge(_)
    ));
    let many = vec![Record::default(); limits::TRANSACTION_RECORDS_MAX + 1];
    assert!(matches!(
        refused(vec![part(1, many)]).await,
        InvalidTransaction::TooManyRecords(_)
    ));
    let heavy = vec![Record::new(vec![0u8; limits::RECORD_BYTES_MAX]); 5];
    assert!(matches!(
        refused(vec![part(1, heavy)]).await,
        InvalidTransaction::TooLarge(_)
    ));
    let one = || part(1, records(["x"]));
    assert_eq!(refused(vec![one(), one()]).await, InvalidTransaction::RepeatedSegment);
    assert_eq!(
        refused(vec![part(0, records(["x"]))]).await,
        InvalidTransaction::SequenceOutOfRange
    );
    assert_eq!(
        refused(vec![part(u64::MAX, records(["x"]))]).await,
        InvalidTransaction::SequenceOutOfRange
    );
    assert_eq!(store.peek(&p).await.unwrap(), None);
}

#[tokio::test]
async fn the_largest_records_and_transactions_are_read_back() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "large");
    let heavy = vec![Record::new(vec![7u8; limits::RECORD_BYTES_MAX]); 4];
    store
        .append(Transaction::single(p.clone(), Sequence(1), heavy))
        .await
        .unwrap();
    let many = vec![Record::new("x"); limits::TRANSACTION_RECORDS_MAX];
    store
        .append(Transaction::single(p.clone(), Sequence(5), many))
        .await
        .unwrap();
    let entries = read_all(&*store, &p).await;
    assert_eq!(entries.len(), 4 + limits::TRANSACTION_RECORDS_MAX);
    assert!(entries.iter().zip(1..).all(|(e, n)| e.sequence == Sequence(n)));
    assert!(
        entries[..4]
            .iter()
            .all(|e| e.payload.len() == limits::RECORD_BYTES_MAX && e.payload[9] == 7)
    );
    assert_eq!(drain(store.read_spaces(space("s", None))).await, entries);
}

#[tokio::test]
async fn trimmed_entries_are_gone_and_the_head_stays() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "a");
    for n in 1..=5 {
        append(&*store, &p, n, &["e"]).await.unwrap();
    }
    let status = store.trim(&p, Sequence(4)).await.unwrap();
    assert_eq!(
        (status.first_sequence, status.last_sequence),
        (Sequence(4), Sequence(5))
    );
    let sequences: Vec<u64> = read_all(&*store, &p).await.iter().map(|e| e.sequence.0).collect();
    assert_eq!(sequences, [4, 5]);
    let by_space = drain(store.read_spaces(space("s", None))).await;
    assert_eq!(by_space.iter().map(|e| e.sequence.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(status.first_timestamp, by_space[0].timestamp);
    assert_eq!(store.status().await.unwrap().entry_count, 2);
    assert!(store.trim(&p, Sequence(6)).await.is_err());
    assert_eq!(store.trim(&p, Sequence(2)).await.unwrap(), status);
    append(&*store, &p, 6, &["e"]).await.unwrap();
}

#[tokio::test]
async fn a_deleted_segment_is_gone_and_may_begin_again() {
    let f = fixture().await;
    let store = f.store().await;
    let p = path("s", "a");
    append(&*store, &p, 1, &["old", "old"]).await.unwrap();
    append(&*store, &path("s", "b"), 1, &["kept"]).await.unwrap();
    store.delete(&p).await.unwrap();
    assert!(store.delete(&p).await.is_err());
    assert_eq!(store.peek(&p).await.unwrap(), None);
    append(&*store, &p, 1, &["new"]).await.unwrap();
    let payloads: Vec<_> = drain(store.read_spaces(space("s", None)))
        .await
        .iter()
        .map(|e| e.payload.clone())
        .collect();
    assert_eq!(payloads, ["kept", "new"]);
    assert_eq!(read_all(&*store, &p).await.len(), 1);
    assert_eq!(store.status().await.unwrap().entry_count, 2);
}

#[tokio::test]
async fn the_tail_moves_with_each_commit() {
    let f = fixture().await;
    let store = f.store().await;
    let mut tail = store.durable_tail();
    let before = *tail.borrow_and_update();
    append(&*store, &path("s", "a"), 1, &["e"]).await.unwrap();
    assert!(tail.has_changed().unwrap());
    assert!(*tail.borrow_and_update() > before);
}

#[tokio::test]
async fn stores_do_not_see_each_other() {
    let f = fixture().await;
    let (a, b) = (
        f.store().await,
        f.stores.store(StoreId(Uuid::from_u128(8))).await.unwrap(),
    );
    append(&*a, &path("s", "a"), 1, &["e"]).await.unwrap();
    assert!(b.spaces().await.unwrap().is_empty());
    append(&*b, &path("s", "a"), 1, &["e"]).await.unwrap();
}

#[tokio::test]
async fn a_closed_store_refuses_and_says_so() {
    let f = fixture().await;
    let store = f.store().await;
    append(&*store, &path("s", "a"), 1, &["e"]).await.unwrap();
    f.stores.close().await;
    assert!(f.stores.ready().is_err());
    assert!(append(&*store, &path("s", "a"), 2, &["e"]).await.is_err());
}

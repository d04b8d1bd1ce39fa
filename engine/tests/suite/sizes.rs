//! Transactions of every legal size, and of the first illegal one. Each reads back as written, after a reopen too,
//! wherever it stands in the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use streamkit_engine::limits::*;
use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(7));

/// Where in the log a transaction is put.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// First of its store, whose first extent is smaller than most of what comes here.
    First,
    /// After others, in extents of the smallest size: whatever does not fit rolls.
    Rolls,
    /// After others, in extents that grow as they do by default.
    Grows,
}

const PLACES: [Place; 3] = [Place::First, Place::Rolls, Place::Grows];

impl Place {
    fn open(self, dir: &tempfile::TempDir) -> Engine {
        let mut config = EngineConfig::new(dir.path());
        config.disk = super::disk();
        // The largest must fit into the smallest queue.
        config.queue_bytes = TRANSACTION_ENCODED_BYTES_MAX;
        if let Place::Rolls = self {
            config.extent_bytes = EXTENT_BYTES_MIN;
        }
        Engine::open(config).unwrap()
    }

    async fn prepare(self, store: &dyn Store) {
        if let Place::First = self {
            return;
        }
        for sequence in 1..=3 {
            let before = vec![Record::new(vec![1; 20_000])];
            let before = Transaction::single(path("before", "it"), Sequence(sequence), before);
            store.append(before).await.unwrap();
        }
    }
}

fn path(space: &str, segment: &str) -> SegmentPath {
    SegmentPath::new(space, segment).unwrap()
}

fn transaction(records: Vec<Record>) -> Transaction {
    Transaction::single(path("s", "a"), Sequence::FIRST, records)
}

/// Bytes that differ from record to record and within one.
fn filled(seed: usize, bytes: usize) -> Record {
    let bytes: Vec<u8> = (0..bytes).map(|n| (n / 251 + n + seed) as u8).collect();
    Record::new(bytes)
}

fn of_metadata(bytes: usize) -> Record {
    let metadata = |value: usize| Metadata::from_pairs([("key", "v".repeat(value))]);
    let overhead = metadata(0).encoded().len();
    Record {
        payload: Default::default(),
        metadata: metadata(bytes - overhead),
    }
}

async fn read(store: &dyn Store, path: &SegmentPath) -> Vec<Entry> {
    drain(store.read_segment(SegmentRead::all(path.clone()))).await
}

async fn drain(mut reader: Box<dyn EntryReader>) -> Vec<Entry> {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        all.extend(batch);
    }
    all
}

/// Segments that are also read each by itself. A read checks the whole transaction that it needs a part of.
const READ_ALONE: usize = 8;

async fn is_as_written(store: &dyn Store, written: &Transaction) {
    let spaces = written.segments.iter().map(|part| (part.path.space.clone(), None));
    let all = SpacesRead {
        spaces: BTreeMap::from_iter(spaces),
        time: TimeRange::ALL,
        limit: u64::MAX,
    };
    let mut found: BTreeMap<SegmentPath, Vec<Entry>> = BTreeMap::new();
    for entry in drain(store.read_spaces(all)).await {
        found.entry(entry.path.clone()).or_default().push(entry);
    }
    assert_eq!(found.len(), written.segments.len());
    let step = written.segments.len().div_ceil(READ_ALONE);
    for (n, part) in written.segments.iter().enumerate() {
        let entries = &found[&part.path];
        assert_eq!(entries.len(), part.records.len());
        for (n, (entry, record)) in entries.iter().zip(&part.records).enumerate() {
            assert_eq!((entry.sequence.0, entry.trx.id), (n as u64 + 1, written.id));
            assert!(entry.payload == record.payload && entry.metadata == record.metadata);
        }
        if n % step == 0 {
            assert!(read(store, &part.path).await == *entries);
            assert_eq!(store.peek(&part.path).await.unwrap(), entries.last().cloned());
        }
    }
}

/// Appends it at every place, once through each door, and reads it back before and after a reopen. What comes after it is
/// read as well.
async fn holds(written: Transaction) {
    for (n, place) in PLACES.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let engine = place.open(&dir);
        let store = engine.open_store(STORE).unwrap();
        place.prepare(&store).await;
        let committed = match n % 2 {
            0 => store.append(written.clone()).await,
            _ => store.append_blocking(written.clone()),
        };
        let committed = committed.unwrap_or_else(|error| panic!("{place:?}: {error}"));
        assert_eq!(committed.segments.len(), written.segments.len());
        is_as_written(&store, &written).await;
        let after = Transaction::single(path("after", "it"), Sequence::FIRST, vec![Record::new("x")]);
        store.append(after.clone()).await.unwrap();
        drop(store);
        engine.close().await;
        drop(engine);
        // Once from its checkpoint, once from the log alone.
        for checkpoint in [true, false] {
            if !checkpoint {
                let file = dir.path().join("stores").join(STORE.to_string()).join("checkpoint");
                std::fs::remove_file(file).unwrap();
            }
            let engine = place.open(&dir);
            let store = engine.store(STORE).await.unwrap();
            is_as_written(&*store, &written).await;
            is_as_written(&*store, &after).await;
            // The same again is known to be there already.
            let again = store.append(written.clone()).await.unwrap();
            assert_eq!(again.trx, committed.trx);
            engine.close().await;
        }
        let found = verify(dir.path(), &mut |_| {}).unwrap();
        assert!(found.stores.iter().all(|store| store.damage.is_empty()), "{place:?}");
    }
}

#[tokio::test]
async fn as_many_records_as_may_be() {
    let records = (0..TRANSACTION_RECORDS_MAX).map(|n| filled(n, 100)).collect();
    holds(transaction(records)).await;
}

#[tokio::test]
async fn records_of_one_byte() {
    let records = (0..TRANSACTION_RECORDS_MAX).map(|n| filled(n, 1)).collect();
    holds(transaction(records)).await;
    holds(transaction(vec![filled(7, 1)])).await;
}

#[tokio::test]
async fn records_without_a_byte() {
    holds(transaction(vec![Record::default(); TRANSACTION_RECORDS_MAX])).await;
    holds(transaction(vec![Record::default()])).await;
}

#[tokio::test]
async fn as_many_bytes_as_may_be_in_as_few_records() {
    let records = (0..TRANSACTION_BYTES_MAX / RECORD_BYTES_MAX).map(|n| filled(n, RECORD_BYTES_MAX));
    holds(transaction(records.collect())).await;
}

#[tokio::test]
async fn the_largest_record_alone_be_it_payload_or_metadata() {
    holds(transaction(vec![filled(3, RECORD_BYTES_MAX)])).await;
    holds(transaction(vec![of_metadata(RECORD_BYTES_MAX)])).await;
}

/// As many bytes, records, segments and names as there may be, all at once: nothing takes more in the log.
fn largest() -> Transaction {
    let bytes = TRANSACTION_BYTES_MAX / TRANSACTION_RECORDS_MAX;
    let rest = TRANSACTION_BYTES_MAX % TRANSACTION_RECORDS_MAX;
    let name = |n: usize| format!("{n:0NAME_BYTES_MAX$}");
    let segments = (0..TRANSACTION_RECORDS_MAX).map(|n| SegmentAppend {
        // Of a few spaces: a reader of many is another matter.
        path: path(&name(n % 5), &name(n)),
        first_sequence: Sequence::FIRST,
        records: vec![filled(n, if n == 0 { bytes + rest } else { bytes })],
    });
    Transaction {
        id: Uuid::new_v4(),
        segments: segments.collect(),
        fence: None,
        conditions: Vec::new(),
    }
}

#[tokio::test]
async fn as_many_segments_as_may_be_with_the_longest_names_and_as_many_bytes() {
    let written = largest();
    written.validate().unwrap();
    holds(written).await;
}

#[tokio::test]
async fn many_segments_of_one_space_with_nothing_in_them_but_a_record_each() {
    let segments = (0..TRANSACTION_RECORDS_MAX).map(|n| SegmentAppend {
        path: path("s", &n.to_string()),
        first_sequence: Sequence::FIRST,
        records: vec![Record::default()],
    });
    holds(Transaction {
        id: Uuid::new_v4(),
        segments: segments.collect(),
        fence: None,
        conditions: Vec::new(),
    })
    .await;
}

#[tokio::test]
async fn names_of_the_shortest_and_of_the_longest_are_read_back_and_others_are_refused_by_name() {
    // As many bytes as may be, of three-byte characters but for two.
    let wide = format!("{}ab", "€".repeat(NAME_BYTES_MAX / 3));
    assert_eq!(wide.len(), NAME_BYTES_MAX);
    let longest = "n".repeat(NAME_BYTES_MAX);
    for name in ["n", &longest, &wide, "/", "\u{1}", "…"] {
        let records = vec![filled(1, 10)];
        holds(Transaction::single(path(name, name), Sequence::FIRST, records)).await;
    }
    let one_more = NAME_BYTES_MAX + 1;
    let refused = [
        (String::new(), NameError::Empty),
        ("n".repeat(one_more), NameError::TooLong(one_more)),
        (format!("{wide}c"), NameError::TooLong(one_more)),
        ("a\0b".to_owned(), NameError::Nul),
        ("\0".to_owned(), NameError::Nul),
    ];
    for (name, expected) in refused {
        assert_eq!(Name::new(&name).unwrap_err(), expected);
        assert_eq!(SegmentPath::new(&name, "a").unwrap_err(), expected);
        assert_eq!(SegmentPath::new("s", &name).unwrap_err(), expected);
    }
    assert_eq!(Name::from_bytes(&[0xff]).unwrap_err(), NameError::NotUtf8);
}

/// Neither alone is too large.
#[tokio::test]
async fn payload_and_metadata_count_together() {
    let with = |payload: usize| Record {
        payload: vec![7; payload].into(),
        ..of_metadata(RECORD_BYTES_MAX / 2)
    };
    let fits = with(RECORD_BYTES_MAX / 2);
    assert_eq!(fits.len(), RECORD_BYTES_MAX);
    holds(transaction(vec![fits])).await;
    let dir = tempfile::tempdir().unwrap();
    let store = Place::First.open(&dir).open_store(STORE).unwrap();
    let refused = store.append(transaction(vec![with(RECORD_BYTES_MAX / 2 + 1)])).await;
    let Err(AppendError::Rejected(Rejection::Invalid(why))) = refused else {
        panic!("it is one byte too large");
    };
    assert_eq!(why, InvalidTransaction::RecordTooLarge(RECORD_BYTES_MAX + 1));
    assert_eq!(store.status().await.unwrap(), StoreStatus::default());
}

#[tokio::test]
async fn one_more_than_any_limit_allows_is_refused_by_name_and_changes_nothing() {
    let quarter = || filled(0, RECORD_BYTES_MAX);
    let mut too_many_segments = largest();
    too_many_segments.segments.push(SegmentAppend {
        path: path("one", "more"),
        first_sequence: Sequence::FIRST,
        records: vec![Record::default()],
    });
    let (many, large, record) = (
        TRANSACTION_RECORDS_MAX + 1,
        TRANSACTION_BYTES_MAX + 1,
        RECORD_BYTES_MAX + 1,
    );
    let refused = [
        (
            transaction(vec![Record::default(); many]),
            InvalidTransaction::TooManyRecords(many),
        ),
        (too_many_segments, InvalidTransaction::TooManyRecords(many)),
        (
            transaction([vec![quarter(); 4], vec![filled(0, 1)]].concat()),
            InvalidTransaction::TooLarge(large),
        ),
        (
            transaction(vec![filled(0, record)]),
            InvalidTransaction::RecordTooLarge(record),
        ),
        (
            transaction(vec![of_metadata(record)]),
            InvalidTransaction::RecordTooLarge(record),
        ),
        (transaction(vec![]), InvalidTransaction::Empty),
    ];
    let dir = tempfile::tempdir().unwrap();
    let engine = Place::First.open(&dir);
    let store = engine.open_store(STORE).unwrap();
    for (transaction, expected) in refused {
        for answer in [
            store.append(transaction.clone()).await,
            store.append_blocking(transaction),
        ] {
            match answer {
                Err(AppendError::Rejected(Rejection::Invalid(why))) => assert_eq!(why, expected),
                other => panic!("expected {expected:?}, got {:?}", other.map(|committed| committed.trx)),
            }
        }
    }
    assert_eq!(store.status().await.unwrap(), StoreStatus::default());
    let folder = dir.path().join("stores").join(STORE.to_string());
    assert!(!folder.exists(), "a store that was never written to takes no disk");
    let store: Arc<dyn Store> = Arc::new(store);
    store.append(transaction(vec![Record::default()])).await.unwrap();
    engine.close().await;
}

//! A cursor goes on exactly behind its place, wherever that stands, or says that it is of another log.

use streamkit_engine::*;
use uuid::Uuid;

use super::model::{Model, STORE, all_spaces, decoded, engine};

/// Where the number of its transaction and its place stand in a cursor.
const NUMBER: usize = 1;
const EXTENT: usize = 13;
const BYTE: usize = 21;

/// The cursor with other bytes at a place.
fn changed(cursor: &LogCursor, at: usize, bytes: &[u8]) -> LogCursor {
    let mut changed = cursor.bytes().to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    LogCursor::new(changed.into()).unwrap()
}

async fn read_behind(store: &dyn Store, cursor: LogCursor) -> Result<Vec<Entry>, ReadError> {
    let mut reader = store.read_pieces(all_spaces(cursor));
    let mut got = Vec::new();
    while let Some(batch) = reader.next_batch().await? {
        got.extend(decoded(&batch));
    }
    Ok(got)
}

fn is_of_another_log(read: &Result<Vec<Entry>, ReadError>) -> bool {
    matches!(read, Err(ReadError::Storage(StorageError::OtherLog)))
}

#[tokio::test]
async fn a_cursor_finds_its_transaction_by_its_number_wherever_that_stands() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let mut dice = Dice::new(6);
    let mut model = Model::default();
    for _ in 0..60 {
        model.change(&*store, &mut dice).await;
        model.check(&*store, &mut dice, 1).await;
    }
    assert!(model.cursors.len() > 20);
    for (place, cursor) in &model.cursors {
        let expected = model.expected(&all_spaces(LogCursor::default()), *place);
        let elsewhere = [
            (1, 4096),
            (1, 4097),
            (1, 5000),
            (2, 4096),
            (9, 70_000),
            (0, 0),
            (u64::MAX, u32::MAX),
        ];
        for (extent, byte) in elsewhere {
            let moved = changed(cursor, EXTENT, &u64::to_le_bytes(extent));
            let moved = changed(&moved, BYTE, &u32::to_le_bytes(byte));
            assert!(
                read_behind(&*store, moved).await.unwrap() == expected,
                "{extent} {byte}"
            );
        }
    }
}

#[tokio::test]
async fn a_cursor_of_another_log_is_an_error_and_never_an_end() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = engine(dir.path());
    let store = source.store(STORE).await.unwrap();
    let mut dice = Dice::new(8);
    let mut model = Model::default();
    for _ in 0..20 {
        model.append(&*store, &mut dice).await;
    }
    let target = copy.path().join("backup");
    backup::backup(&source, &disk::best(), &target, &mut |_| {}).unwrap();
    let mut reader = store.read_pieces(all_spaces(LogCursor::default()));
    let mut last = LogCursor::default();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        last = batch.cursor;
    }
    model.append(&*store, &mut dice).await;
    let behind = reader
        .next_batch()
        .await
        .unwrap()
        .expect("something was appended")
        .cursor;
    assert!(read_behind(&*store, behind.clone()).await.unwrap().is_empty());
    let other = source.store(StoreId(Uuid::from_u128(8))).await.unwrap();
    assert!(is_of_another_log(&read_behind(&*other, last.clone()).await));
    for byte in NUMBER..EXTENT {
        let wrong = changed(&last, byte, &[last.bytes()[byte] ^ 1]);
        assert!(is_of_another_log(&read_behind(&*store, wrong).await), "{byte}");
    }
    let cut = LogCursor::new(last.bytes().slice(..last.bytes().len() - 1)).unwrap();
    assert!(is_of_another_log(&read_behind(&*store, cut).await));
    let restored = copy.path().join("restored");
    backup::restore(&disk::best(), &target, &restored, &mut |_| {}).unwrap();
    let restored = engine(&restored);
    let store = restored.store(STORE).await.unwrap();
    assert!(read_behind(&*store, last.clone()).await.unwrap().is_empty());
    assert!(is_of_another_log(&read_behind(&*store, behind.clone()).await));
    for _ in 0..20 {
        model.append(&*store, &mut dice).await;
    }
    assert!(!read_behind(&*store, last).await.unwrap().is_empty());
    assert!(is_of_another_log(&read_behind(&*store, behind).await));
}

#[tokio::test]
async fn a_cursor_is_good_in_a_log_that_repair_wrote_anew() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = engine(dir.path());
    let store = source.store(STORE).await.unwrap();
    let mut dice = Dice::new(7);
    let mut model = Model::default();
    for _ in 0..60 {
        model.change(&*store, &mut dice).await;
        model.check(&*store, &mut dice, 1).await;
    }
    drop(store);
    source.close().await;
    drop(source);
    let target = copy.path().join("repaired");
    repair_on(&disk::best(), dir.path(), &target, Keep::default(), &mut |_| {}).unwrap();
    let repaired = engine(&target);
    let store = repaired.store(STORE).await.unwrap();
    for (place, cursor) in &model.cursors {
        let expected = model.expected(&all_spaces(LogCursor::default()), *place);
        assert!(
            read_behind(&*store, cursor.clone()).await.unwrap() == expected,
            "{place:?}"
        );
    }
}

#[tokio::test]
async fn a_cursor_is_found_behind_much_of_an_extent() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineConfig::new(dir.path())).unwrap();
    let store = engine.store(STORE).await.unwrap();
    let path = SegmentPath::new("s", "a").unwrap();
    for n in 1..=12 {
        let records = vec![Record::new(vec![n as u8; 1 << 20])];
        let transaction = Transaction::single(path.clone(), Sequence(n), records);
        store.append(transaction).await.unwrap();
    }
    let mut reader = store.read_pieces(all_spaces(LogCursor::default()));
    let mut seen = 0;
    while let Some(batch) = reader.next_batch().await.unwrap() {
        seen += batch.entries;
        let moved = changed(&batch.cursor, BYTE, &u32::to_le_bytes(5000));
        let rest = read_behind(&*store, moved.clone()).await.unwrap();
        assert!(rest.iter().map(|entry| entry.sequence.0).eq(seen + 1..=12));
        let mut newest = store.read_pieces(PiecesRead {
            is_backwards: true,
            ..all_spaces(moved)
        });
        assert_eq!(newest.next_batch().await.unwrap().is_none(), seen == 12);
    }
    assert_eq!(seen, 12);
}

/// Entries of a store, one a letter: each transaction as segments and their next sequences.
async fn lettered(store: &dyn Store, transactions: &[&[(&str, u64)]]) {
    for transaction in transactions {
        let segments = transaction.iter().map(|&(segment, first)| SegmentAppend {
            path: SegmentPath::new("s", segment).unwrap(),
            first_sequence: Sequence(first),
            records: vec![Record::new("x")],
        });
        let transaction = Transaction {
            id: Uuid::new_v4(),
            segments: segments.collect(),
            fence: None,
            conditions: Vec::new(),
        };
        store.append(transaction).await.unwrap();
    }
}

fn names(entries: &[Entry]) -> Vec<String> {
    let name = |entry: &Entry| format!("{}{}", entry.path.segment, entry.sequence);
    entries.iter().map(name).collect()
}

#[tokio::test]
async fn a_cursor_behind_what_a_repair_left_out_is_of_another_log() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = engine(dir.path());
    let store = source.store(STORE).await.unwrap();
    let all: [&[(&str, u64)]; 5] = [
        &[("a", 1)],
        &[("a", 2)],
        &[("a", 3), ("b", 1)],
        &[("b", 2)],
        &[("a", 4), ("c", 1)],
    ];
    lettered(&*store, &all).await;
    let mut cursors = vec![(Vec::new(), LogCursor::default())];
    for count in 1..=7 {
        let read = PiecesRead {
            entries: count,
            ..all_spaces(LogCursor::default())
        };
        let batch = store.read_pieces(read).next_batch().await.unwrap().unwrap();
        cursors.push((names(&decoded(&batch)), batch.cursor));
    }
    drop(store);
    source.close().await;
    drop(source);
    // The second transaction is lost.
    let at = |place: usize| cursors[2].1.bytes().slice(place..place + 4).to_vec();
    let byte = u32::from_le_bytes(at(BYTE).try_into().unwrap()) as usize + 4;
    let file = dir.path().join("stores").join(STORE.to_string());
    let mut files = std::fs::read_dir(file).unwrap().map(|file| file.unwrap().path());
    let extent = files.find(|path| path.extension().is_some_and(|kind| kind == "extent"));
    let extent = extent.unwrap();
    let mut bytes = std::fs::read(&extent).unwrap();
    bytes[byte] ^= 1;
    std::fs::write(&extent, bytes).unwrap();
    for (keep, left) in [
        (Keep::Oldest, vec!["a1", "b1", "b2", "c1"]),
        (Keep::Newest, vec!["a3", "b1", "b2", "a4", "c1"]),
    ] {
        let target = copy.path().join(format!("{keep:?}"));
        repair_on(&disk::best(), dir.path(), &target, keep, &mut |_| {}).unwrap();
        let repaired = engine(&target);
        let store = repaired.store(STORE).await.unwrap();
        let mut good = 0;
        for (seen, cursor) in &cursors {
            match read_behind(&*store, cursor.clone()).await {
                Ok(rest) => {
                    good += 1;
                    let expected = left.iter().filter(|name| !seen.iter().any(|seen| seen == *name));
                    assert!(names(&rest).iter().eq(expected), "{keep:?} behind {seen:?}: {rest:?}");
                }
                other => assert!(is_of_another_log(&other), "{other:?}"),
            }
        }
        println!("{keep:?}: {good} of {} go on", cursors.len());
        let left_out = read_behind(&*store, cursors[3].1.clone()).await;
        assert!(keep == Keep::Newest || is_of_another_log(&left_out));
        drop(store);
        repaired.close().await;
    }
}

#[tokio::test]
async fn a_place_behind_a_delete_is_none_of_the_log_before_it_after_a_restart_too() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = engine(dir.path());
    let store = source.store(STORE).await.unwrap();
    lettered(&*store, &[&[("a", 1)], &[("b", 1)]]).await;
    let target = copy.path().join("backup");
    backup::backup(&source, &disk::best(), &target, &mut |_| {}).unwrap();
    store.delete(&SegmentPath::new("s", "b").unwrap()).await.unwrap();
    drop(store);
    source.close().await;
    drop(source);
    let source = engine(dir.path());
    let store = source.store(STORE).await.unwrap();
    let tail = store.tail_cursor().await.unwrap();
    let mut reader = store.read_pieces(all_spaces(LogCursor::default()));
    while reader.next_batch().await.unwrap().is_some() {}
    assert_eq!(reader.cursor(), tail);
    assert!(read_behind(&*store, tail.clone()).await.unwrap().is_empty());
    let restored = copy.path().join("restored");
    backup::restore(&disk::best(), &target, &restored, &mut |_| {}).unwrap();
    let restored = engine(&restored);
    let store = restored.store(STORE).await.unwrap();
    assert!(is_of_another_log(&read_behind(&*store, tail).await));
}

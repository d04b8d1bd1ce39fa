//! Reads of pieces, beside a model that keeps all entries in a list.

mod cursors;
mod model;

use streamkit_engine::*;
use uuid::Uuid;

use crate::gated::Gated;
use model::{Model, STORE, all_spaces, decoded, engine};

#[tokio::test]
async fn each_read_is_what_a_list_of_all_entries_says_whatever_was_removed_and_over_restarts() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut dice = Dice::new(seed);
        let mut model = Model::default();
        for _ in 0..3 {
            let engine = engine(dir.path());
            let store = engine.store(STORE).await.unwrap();
            for _ in 0..6 {
                for _ in 0..8 {
                    model.change(&*store, &mut dice).await;
                }
                model.check(&*store, &mut dice, 12).await;
            }
            drop(store);
            engine.close().await;
        }
    }
}

#[tokio::test]
async fn a_read_of_the_log_goes_on_with_what_is_committed_later() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let mut dice = Dice::new(3);
    let mut model = Model::default();
    let mut reader = store.read_pieces(all_spaces(LogCursor::default()));
    let mut got = Vec::new();
    for _ in 0..60 {
        assert_eq!(reader.next_batch().await.unwrap(), None);
        model.append(&*store, &mut dice).await;
        while let Some(batch) = reader.next_batch().await.unwrap() {
            got.extend(decoded(&batch));
        }
        assert!(got == model.expected(&all_spaces(LogCursor::default()), (0, 0)));
    }
}

#[tokio::test]
async fn what_is_committed_between_two_batches_comes_with_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let mut reader = store.read_pieces(all_spaces(LogCursor::default()));
    let path = SegmentPath::new("s", "a").unwrap();
    let mut seen = 0;
    for n in 0..50 {
        for first in [n * 3 + 1, n * 3 + 2, n * 3 + 3] {
            let transaction = Transaction::single(path.clone(), Sequence(first), vec![Record::new("x")]);
            store.append(transaction).await.unwrap();
        }
        // It was not asked whether there is more.
        seen += reader.next_batch().await.unwrap().map_or(0, |batch| batch.entries);
        assert_eq!(seen, n * 3 + 3);
    }
}

#[tokio::test]
async fn transactions_of_which_all_is_wanted_come_as_they_stand_in_the_log_and_cursors_are_small() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let store = engine.store(STORE).await.unwrap();
    let mut dice = Dice::new(4);
    let mut model = Model::default();
    for _ in 0..40 {
        model.append(&*store, &mut dice).await;
    }
    let mut reader = store.read_pieces(all_spaces(LogCursor::default()));
    let mut whole = 0;
    while let Some(batch) = reader.next_batch().await.unwrap() {
        assert!((1..=LogCursor::BYTES_MAX).contains(&batch.cursor.bytes().len()));
        assert!(batch.pieces.iter().all(|piece| matches!(piece, Piece::Whole(_))));
        whole += batch.pieces.len();
    }
    assert_eq!(whole, 40);
}

#[tokio::test]
async fn newest_first_a_limit_holds_within_a_transaction_that_is_larger_than_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineConfig::new(dir.path())).unwrap();
    let store = engine.store(STORE).await.unwrap();
    let part = |segment: &str, count: usize| SegmentAppend {
        path: SegmentPath::new("s", segment).unwrap(),
        first_sequence: Sequence::FIRST,
        records: (0..count).map(|_| Record::new(vec![1; 1000])).collect(),
    };
    for segments in [vec![part("a", 300), part("b", 100), part("c", 100)], vec![part("d", 1)]] {
        let transaction = Transaction {
            id: Uuid::new_v4(),
            segments,
            fence: None,
            conditions: Vec::new(),
        };
        store.append(transaction).await.unwrap();
    }
    for limit in [1, 101, 102, 450, 451, 501, 600] {
        let mut reader = store.read_pieces(PiecesRead {
            is_backwards: true,
            entries: limit,
            ..all_spaces(LogCursor::default())
        });
        let mut got = 0;
        while let Some(batch) = reader.next_batch().await.unwrap() {
            got += batch.entries;
        }
        assert_eq!(got, limit.min(501));
    }
}

#[tokio::test]
async fn the_newest_entries_of_much_are_read_from_its_end() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Gated::default());
    let engine = Engine::open(EngineConfig {
        disk: std::sync::Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    });
    let engine = engine.unwrap();
    let store = engine.store(STORE).await.unwrap();
    let path = SegmentPath::new("s", "a").unwrap();
    for n in 0..40 {
        let records = (0..100).map(|_| Record::new(vec![0; 1000])).collect();
        let transaction = Transaction::single(path.clone(), Sequence(n * 100 + 1), records);
        store.append(transaction).await.unwrap();
    }
    let segment = ReadSource::Segment(path, Sequence(1), Sequence(u64::MAX));
    let log = all_spaces(LogCursor::default()).source;
    for source in [segment, log] {
        disk.take_bytes_read();
        let mut reader = store.read_pieces(PiecesRead {
            is_backwards: true,
            entries: 3,
            ..PiecesRead::all(source)
        });
        let newest = decoded(&reader.next_batch().await.unwrap().unwrap());
        assert!(newest.iter().map(|entry| entry.sequence.0).eq(3998..=4000));
        assert_eq!(reader.next_batch().await.unwrap(), None);
        let read = disk.take_bytes_read();
        assert!(read < 1_000_000, "{read} bytes of 4 MB for three entries");
    }
}

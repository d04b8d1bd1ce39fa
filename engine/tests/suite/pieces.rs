//! Reads of pieces, beside a model that keeps all entries in a list.

mod cursors;
mod model;

use streamkit_engine::*;

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

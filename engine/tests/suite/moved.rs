//! Data directories that are deleted, renamed or replaced while an engine works in them.

use std::path::Path;

use streamkit_engine::backup;
use streamkit_engine::boundary::backup::BackupError;
use streamkit_engine::*;
use uuid::Uuid;

const STORE: StoreId = StoreId(Uuid::from_u128(7));
const OTHER: StoreId = StoreId(Uuid::from_u128(8));

fn path() -> SegmentPath {
    SegmentPath::new("space", "segment").unwrap()
}

async fn append(store: &dyn Store, sequence: u64) -> Result<Committed, AppendError> {
    let record = Record::new(format!("entry {sequence}"));
    store
        .append(Transaction::single(path(), Sequence(sequence), vec![record]))
        .await
}

fn open(dir: &Path) -> Engine {
    Engine::open(EngineConfig::new(dir)).unwrap()
}

/// An engine at work in a folder, with an open store of two entries.
async fn at_work(dir: &Path) -> (Engine, std::sync::Arc<dyn Store>) {
    let engine = open(dir);
    let store = engine.store(STORE).await.unwrap();
    for sequence in 1..=2 {
        append(&*store, sequence).await.unwrap();
    }
    (engine, store)
}

/// Appends until that is refused because the folder is gone; the last one that was acknowledged.
async fn refused_from(store: &dyn Store, first: u64) -> Sequence {
    for sequence in first.. {
        match append(store, sequence).await {
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            Err(AppendError::Rejected(Rejection::Storage(StorageError::Gone(_)))) => return Sequence(sequence - 1),
            Err(AppendError::Indeterminate(StorageError::Gone(_))) => return Sequence(sequence - 1),
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!()
}

async fn not_ready(engine: &Engine) -> String {
    loop {
        match engine.ready() {
            Ok(()) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            Err(error) => return error.to_string(),
        }
    }
}

#[tokio::test]
async fn a_folder_in_use_stays_in_use_when_its_lock_file_is_deleted_and_its_owner_stops_writing() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = at_work(dir.path()).await;
    std::fs::remove_file(dir.path().join("lock")).unwrap();
    let refused = Engine::open(EngineConfig::new(dir.path())).err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    let said = refused.to_string();
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    assert!(said.contains("never the answer"), "{said}");
    assert!(
        engine.store(OTHER).await.is_err(),
        "no store is made where another may be at work"
    );
    let last = refused_from(&*store, 3).await;
    assert!(not_ready(&engine).await.contains("lock was deleted"));
    engine.close().await;
    drop((store, engine));
    let store = open(dir.path()).store(STORE).await.unwrap();
    assert!(store.segment_status(&path()).await.unwrap().unwrap().last_sequence >= last);
}

#[tokio::test]
async fn nothing_is_made_where_a_renamed_folder_was_and_what_was_acknowledged_went_with_it() {
    let top = tempfile::tempdir().unwrap();
    let (own, moved) = (top.path().join("own"), top.path().join("moved"));
    let (engine, store) = at_work(&own).await;
    std::fs::rename(&own, &moved).unwrap();
    let refused = engine.store(OTHER).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::Storage(StorageError::Gone(_))),
        "{refused:?}"
    );
    assert!(!own.exists());
    let source: &dyn backup::Source = &engine;
    let refused = source.stores().unwrap_err();
    assert!(
        matches!(refused, BackupError::Storage(StorageError::Gone(_))),
        "{refused:?}"
    );
    let last = refused_from(&*store, 3).await;
    assert!(not_ready(&engine).await.contains("deleted or moved away"));
    engine.close().await;
    drop((store, engine));
    assert!(!own.exists());
    let store = open(&moved).store(STORE).await.unwrap();
    assert!(store.segment_status(&path()).await.unwrap().unwrap().last_sequence >= last);
}

#[tokio::test]
async fn no_append_is_acknowledged_into_a_file_that_was_deleted() {
    for what in ["", "stores", "stores/00000000-0000-0000-0000-000000000007"] {
        let top = tempfile::tempdir().unwrap();
        let own = top.path().join("own");
        let (engine, store) = at_work(&own).await;
        std::fs::remove_dir_all(own.join(what)).unwrap();
        let refused = append(&*store, 3).await.unwrap_err();
        assert!(refused.to_string().contains("deleted or moved away"), "{refused}");
        let refused = append(&*store, 3).await.unwrap_err();
        assert!(matches!(
            refused,
            AppendError::Rejected(Rejection::Storage(StorageError::Gone(_)))
        ));
        not_ready(&engine).await;
        engine.close().await;
        assert!(!own.join("stores").join(STORE.to_string()).exists(), "{what}");
    }
}

/// An error never looks like an end of stream.
#[tokio::test]
async fn a_store_that_is_looked_for_in_another_folder_than_was_opened_is_not_taken_for_an_empty_one() {
    let top = tempfile::tempdir().unwrap();
    let (own, moved) = (top.path().join("own"), top.path().join("moved"));
    let (engine, store) = at_work(&own).await;
    engine.close().await;
    drop((store, engine));
    for replaced in [false, true] {
        let engine = open(&own);
        std::fs::rename(&own, &moved).unwrap();
        if replaced {
            open(&own).close().await;
        }
        let refused = engine.store(STORE).await.err().unwrap();
        assert!(
            matches!(refused, OpenError::Storage(StorageError::Gone(_))),
            "{refused:?}"
        );
        drop(engine);
        if replaced {
            std::fs::remove_dir_all(&own).unwrap();
        }
        std::fs::rename(&moved, &own).unwrap();
    }
}

#[tokio::test]
async fn a_store_whose_folder_was_moved_stops_writing_and_others_go_on() {
    let top = tempfile::tempdir().unwrap();
    let own = top.path().join("own");
    let (engine, store) = at_work(&own).await;
    let other = engine.store(OTHER).await.unwrap();
    append(&*other, 1).await.unwrap();
    std::fs::rename(own.join("stores").join(STORE.to_string()), top.path().join("away")).unwrap();
    refused_from(&*store, 3).await;
    append(&*other, 2).await.unwrap();
    let source: &dyn backup::Source = &engine;
    assert!(
        source.stores().unwrap().contains(&STORE),
        "a backup names every store that is open"
    );
    assert!(source.prefix(STORE).is_err());
}

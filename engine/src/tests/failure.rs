//! The cost of each failed call: a failed write stops writing until the store is opened again, a full disk stops
//! nothing, and reads go on either way.

use std::path::PathBuf;
use std::sync::Arc;

use crate::simulation::{Fault, Faults, Simulated};
use crate::{
    AppendError, Engine, EngineConfig, Record, Rejection, SegmentPath, SegmentRead, Sequence, StorageError, Store,
    StoreId, Stores as _, Transaction, limits,
};

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(7));
const OTHER: StoreId = StoreId(uuid::Uuid::from_u128(6));

fn engine(disk: &Simulated) -> Engine {
    Engine::open(EngineConfig {
        disk: Arc::new(disk.clone()),
        extent_bytes: limits::EXTENT_BYTES_MIN,
        commit_threads: 1,
        read_threads: 1,
        keep_free_bytes: 0,
        ..EngineConfig::new(PathBuf::from("/data"))
    })
    .expect("nothing is damaged")
}

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

async fn append(store: &dyn Store, sequence: u64) -> Result<(), AppendError> {
    let records = vec![Record::new(format!("{sequence} {}", "x".repeat(3000)))];
    let appended = store.append(Transaction::single(path(), Sequence(sequence), records));
    appended.await.map(drop)
}

async fn head(store: &dyn Store) -> u64 {
    let mut reader = store.read_segment(SegmentRead::all(path()));
    let mut head = 0;
    while let Some(batch) = reader.next_batch().await.expect("reads go on") {
        for entry in batch {
            head += 1;
            assert_eq!(entry.sequence, Sequence(head));
            assert!(entry.payload.starts_with(format!("{head} ").as_bytes()));
        }
    }
    head
}

/// The call fails once; whatever came after it would succeed.
#[tokio::test]
async fn after_one_failed_write_or_sync_nothing_more_is_written_until_the_store_is_opened_again() {
    let (mut halted, mut survived) = (0, 0);
    for queue in [false, true] {
        for nth in 0..40 {
            let disk = Simulated::new(nth + 1);
            if queue {
                disk.queue_writes(true);
            }
            let running = engine(&disk);
            let store = running.store(STORE).await.unwrap();
            for sequence in 1..=3 {
                append(&*store, sequence).await.unwrap();
            }
            disk.set_faults(Faults {
                at: Some((disk.calls() + nth, Fault::Device, false)),
                ..Faults::default()
            });
            let mut acknowledged = 3;
            let failed = loop {
                match append(&*store, acknowledged + 1).await {
                    Ok(()) if acknowledged < 60 => acknowledged += 1,
                    Ok(()) => break None,
                    Err(error) => break Some(error),
                }
            };
            if store.writable().is_ok() {
                // It met what the log can do without, or what it has not come to yet: another file is made.
                survived += 1;
                assert!(
                    !matches!(failed, Some(AppendError::Indeterminate(_))),
                    "call {nth}: {failed:?}"
                );
                continue;
            }
            halted += 1;
            assert!(failed.is_some(), "call {nth}: it is told to whoever asked for it");
            // What was begun beside the commits comes to its end.
            let threads = running.open_store(STORE).unwrap().log().pools.upgrade().unwrap();
            threads.background.drain();
            drop(threads);
            let changes = disk.changes();
            for _ in 0..5 {
                let refused = append(&*store, acknowledged + 1).await.unwrap_err();
                let AppendError::Rejected(Rejection::Storage(StorageError::Halted { store, cause })) = refused else {
                    panic!("call {nth}: {refused}");
                };
                assert!(store == STORE && cause.contains("the device refuses"), "{cause}");
            }
            assert_eq!(disk.changes(), changes, "call {nth}: nothing is tried again");
            assert!(matches!(
                running.ready(),
                Err(StorageError::Halted { store: STORE, .. })
            ));
            let other = running.store(OTHER).await.unwrap();
            append(&*other, 1).await.expect("other stores go on");
            assert_eq!(head(&*store).await, acknowledged, "call {nth}: reads go on");
            drop((store, other));
            running.close().await;
            let reopened = engine(&disk.after_worst_power_loss());
            let store = reopened.store(STORE).await.expect("nothing is damaged");
            let there = head(&*store).await;
            assert!(
                there == acknowledged || there == acknowledged + 1,
                "call {nth}: {there}"
            );
            append(&*store, there + 1).await.expect("it is right again");
            assert!(reopened.ready().is_ok());
            reopened.close().await;
        }
    }
    assert!(halted > 5 && survived > 5, "or nothing was tested: {halted} {survived}");
}

/// Of several, always the same one is told.
#[tokio::test]
async fn readiness_names_a_store_that_halted_and_why() {
    let disk = Simulated::default();
    let running = engine(&disk);
    let stores = [running.store(STORE).await.unwrap(), running.store(OTHER).await.unwrap()];
    for store in &stores {
        append(&**store, 1).await.unwrap();
    }
    disk.refuse_changes();
    for store in &stores {
        append(&**store, 2).await.unwrap_err();
    }
    disk.restore_power();
    for _ in 0..20 {
        let why = running.ready().unwrap_err().to_string();
        assert!(
            why.contains(&OTHER.to_string()) && why.contains("the device refuses"),
            "{why}"
        );
    }
}

/// Refused before it is written, wherever the room ends.
#[tokio::test]
async fn a_full_disk_is_a_rejection_that_leaves_nothing_behind_and_halts_nothing() {
    for queue in [false, true] {
        for extents in [0, 1, 3] {
            let disk = Simulated::default();
            if queue {
                disk.queue_writes(true);
            }
            let running = engine(&disk);
            let store = running.store(STORE).await.unwrap();
            disk.set_room(Some(disk.used() + extents * limits::EXTENT_BYTES_MIN as usize + 8192));
            let mut acknowledged = 0;
            let refused = loop {
                match append(&*store, acknowledged + 1).await {
                    Ok(()) => acknowledged += 1,
                    Err(error) => break error,
                }
            };
            for _ in 0..3 {
                let again = append(&*store, acknowledged + 1).await.unwrap_err();
                for error in [&refused, &again] {
                    assert!(matches!(error, AppendError::Rejected(Rejection::DiskFull)), "{error}");
                }
            }
            assert!(store.writable().is_ok() && running.ready().is_ok());
            assert_eq!(head(&*store).await, acknowledged);
            disk.set_room(None);
            append(&*store, acknowledged + 1).await.expect("there is room again");
            running.close().await;
            let reopened = engine(&disk.after_worst_power_loss());
            let store = reopened.store(STORE).await.expect("nothing is damaged");
            assert_eq!(head(&*store).await, acknowledged + 1);
        }
    }
}

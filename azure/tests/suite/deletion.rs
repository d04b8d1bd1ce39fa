//! A store that is deleted while hosts write it: it is gone for each of them, and stays gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use streamkit_azure::account::table::{Condition, Range, TableKey, Write};
use streamkit_azure::log::Settings;
use streamkit_azure::tools::{LogUnread, delete, standing};
use streamkit_engine::*;
use uuid::Uuid;

use crate::hosts::Host;
use crate::support::{OnEmulator, key};

fn path() -> SegmentPath {
    SegmentPath::new("orders", "one").unwrap()
}

fn small() -> Settings {
    Settings {
        extent_slots: 8,
        ..Settings::default()
    }
}

async fn append(store: &Arc<dyn Store>) -> Result<Committed, AppendError> {
    // Some are too large for a slot, and have a blob.
    let is_large = Uuid::new_v4().as_u128().is_multiple_of(20);
    let payload = vec![b'x'; if is_large { 4 << 20 } else { 10 }];
    store.publish(&path(), vec![Record::new(payload)]).await
}

/// Appends until it is told to stop, or fails for good.
async fn produce(store: Arc<dyn Store>, is_deleted: Arc<AtomicBool>, late: Arc<AtomicU64>) -> Option<AppendError> {
    loop {
        let began_late = is_deleted.load(Ordering::SeqCst);
        match append(&store).await {
            Ok(_) => _ = late.fetch_add(began_late.into(), Ordering::SeqCst),
            Err(AppendError::Rejected(Rejection::Busy(_))) => {}
            Err(error) if began_late => return Some(error),
            // Under way when the store went.
            Err(_) if is_deleted.load(Ordering::SeqCst) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// How many rows stand in the partitions of a store but the tombstones.
async fn left(on: &OnEmulator, store: StoreId) -> Vec<String> {
    let mut rows = Vec::new();
    let mut behind = None;
    while let Some(partition) = on.account.table().partition_behind(behind.as_ref()).await.unwrap() {
        if partition.as_str().starts_with(&store.to_string()) {
            let range = Range {
                partition: partition.clone(),
                from: key("!"),
                to: key("~"),
            };
            let page = on.account.table().keys(&range, 1000, None).await.unwrap();
            rows.extend(
                page.rows
                    .iter()
                    .map(|key| format!("{} {}", partition.as_str(), key.as_str())),
            );
        }
        behind = Some(partition);
    }
    rows.retain(|row| !row.ends_with(" s00000000000000000000") && !row.ends_with(" root"));
    rows.extend(on.account.blobs().list(&store.to_string(), 1000).await.unwrap());
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_deleted_is_gone_for_all_hosts_and_no_append_is_acknowledged_after_it() {
    let on = OnEmulator::new().await;
    let id = StoreId(Uuid::new_v4());
    let hosts = [0; 2].map(|_| Host::start(&on.account, small()));
    let (is_deleted, late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut producers = Vec::new();
    for host in &hosts {
        let store = host.stores.store(id).await.unwrap();
        for _ in 0..3 {
            let produce = produce(store.clone(), is_deleted.clone(), late.clone());
            producers.push(tokio::spawn(produce));
        }
    }
    let store = hosts[0].stores.store(id).await.unwrap();
    let mut tail = store.durable_tail();
    while store.status().await.unwrap().entry_count < 30 {
        tail.changed().await.unwrap();
    }

    let removed = delete(&on.account, id, &mut |_| ()).await.unwrap();
    is_deleted.store(true, Ordering::SeqCst);
    assert!(removed.extents > 0, "{removed:?}");
    for producer in producers {
        let error = producer.await.unwrap().expect("it is refused");
        let is_told = matches!(
            &error,
            AppendError::Rejected(Rejection::Storage(StorageError::StoreDeleted(_)))
                | AppendError::Indeterminate(StorageError::StoreDeleted(_))
        );
        assert!(is_told, "{error:?}");
    }
    assert_eq!(
        late.load(Ordering::SeqCst),
        0,
        "appends were acknowledged that began later"
    );
    // Whoever follows it is woken, and told.
    let mark = *tail.borrow_and_update();
    tail.changed().await.unwrap();
    let looked = store.changed_since(mark).await.map(|_| ());
    assert!(
        matches!(looked, Err(ReadError::Storage(StorageError::StoreDeleted(_)))),
        "{looked:?}"
    );
    // Whoever comes later finds no store, and makes none.
    let fresh = Host::start(&on.account, small());
    for host in hosts.iter().chain([&fresh]) {
        let store = host.stores.store(id).await.unwrap();
        let read = store.status().await;
        assert!(
            matches!(read, Err(ReadError::Storage(StorageError::StoreDeleted(_)))),
            "{read:?}"
        );
        append(&store).await.unwrap_err();
    }
    delete(&on.account, id, &mut |_| ()).await.unwrap();
    assert_eq!(left(&on, id).await, Vec::<String>::new());
    assert_eq!(standing(&on.account, id).await, Err(LogUnread::Deleted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_store_without_a_root_can_be_deleted_and_what_was_never_there_cannot() {
    let on = OnEmulator::new().await;
    let id = StoreId(Uuid::new_v4());
    assert_eq!(delete(&on.account, id, &mut |_| ()).await, Err(LogUnread::NoStore));
    let host = Host::start(&on.account, small());
    let store = host.stores.store(id).await.unwrap();
    for _ in 0..20 {
        append(&store).await.unwrap();
    }
    host.stores.close().await;
    let root = Write::Delete(key("root"), Condition::Exists);
    let partition = TableKey::new(id.to_string()).unwrap();
    on.account.table().write(&partition, &root).await.unwrap();
    assert!(matches!(standing(&on.account, id).await, Err(LogUnread::Damaged(_))));
    delete(&on.account, id, &mut |_| ()).await.unwrap();
    assert_eq!(left(&on, id).await, Vec::<String>::new());
    assert_eq!(standing(&on.account, id).await, Err(LogUnread::Deleted));
}

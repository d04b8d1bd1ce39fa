//! What a host keeps of a shared log, over its starts.

use std::sync::Arc;

use streamkit_azure::account::Account;
use streamkit_azure::log::Settings;
use streamkit_engine::*;
use uuid::Uuid;

use crate::hosts::Host;
use crate::support::OnEmulator;

const STORE: StoreId = StoreId(Uuid::from_u128(9));

fn path() -> SegmentPath {
    SegmentPath::new("orders", "one").unwrap()
}

async fn append(store: &Arc<dyn Store>, payload: String) -> Sequence {
    let committed = store.publish(&path(), vec![Record::new(payload)]).await.unwrap();
    committed.segments[0].last_sequence
}

async fn payloads(store: &Arc<dyn Store>) -> Vec<String> {
    let mut reader = store.read_segment(SegmentRead::all(path()));
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().await.unwrap() {
        all.extend(
            batch
                .iter()
                .map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()),
        );
    }
    all
}

fn small() -> Settings {
    Settings {
        extent_slots: 8,
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_starts_again_goes_on_where_it_was_with_or_without_its_bookmark_or_copy() {
    let emulator = OnEmulator::new().await;
    let mut one = Host::start(&emulator.account, small());
    let two = Host::start(&emulator.account, small());
    let mut wanted = Vec::new();
    for round in 0..4 {
        for number in 0..20 {
            let payload = format!("{round} {number}");
            let host = if number % 3 == 0 { &two } else { &one };
            let store = host.stores.store(STORE).await.unwrap();
            append(&store, payload.clone()).await;
            wanted.push(payload);
        }
        one.stores.close().await;
        drop(one.stores);
        // While it is away, others go on.
        let payload = format!("{round} meanwhile");
        append(&two.stores.store(STORE).await.unwrap(), payload.clone()).await;
        wanted.push(payload);
        match round {
            0 => {}
            1 => std::fs::remove_dir_all(one.dir.path().join("bookmarks")).unwrap(),
            2 => std::fs::remove_dir_all(one.dir.path().join("copies")).unwrap(),
            _ => {
                std::fs::remove_dir_all(one.dir.path().join("bookmarks")).unwrap();
                std::fs::remove_dir_all(one.dir.path().join("copies")).unwrap();
            }
        }
        one = Host::again(&emulator.account, small(), one.dir);
        let store = one.stores.store(STORE).await.unwrap();
        assert_eq!(payloads(&store).await, wanted, "round {round}");
    }
    assert_eq!(payloads(&two.stores.store(STORE).await.unwrap()).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_log_that_is_not_there_any_more_is_an_error_and_never_an_empty_store() {
    let emulator = OnEmulator::new().await;
    let one = Host::start(&emulator.account, small());
    let store = one.stores.store(STORE).await.unwrap();
    for number in 0..10 {
        append(&store, number.to_string()).await;
    }
    drop(store);
    one.stores.close().await;
    drop(one.stores);
    let another = OnEmulator::new().await;
    let one = Host::again(&another.account, small(), one.dir);
    let store = one.stores.store(STORE).await.unwrap();
    let read = store.read_segment(SegmentRead::all(path())).next_batch().await;
    assert!(read.is_err(), "{read:?}");
    let appended = store.publish(&path(), vec![Record::new("x")]).await;
    assert!(appended.is_err(), "{appended:?}");
    // Somebody else makes a new one there, and comes further than the copy.
    let two = Host::start(&another.account, small());
    let fresh = two.stores.store(STORE).await.unwrap();
    for number in 0..20 {
        append(&fresh, format!("other {number}")).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let read = store.read_segment(SegmentRead::all(path())).next_batch().await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_nobody_wrote_to_reads_as_empty_and_leaves_nothing_in_the_account() {
    let emulator = OnEmulator::new().await;
    let one = Host::start(&emulator.account, small());
    let store = one.stores.store(STORE).await.unwrap();
    assert_eq!(payloads(&store).await, Vec::<String>::new());
    assert_eq!(store.status().await.unwrap().segment_count, 0);
    use streamkit_azure::medium::Medium as _;
    let medium = streamkit_azure::medium::azure::AzureMedium::new(emulator.account.clone(), STORE);
    assert_eq!(medium.read_root().await.unwrap(), None);
    // Another host makes it, and this one sees that.
    let two = Host::start(&emulator.account, small());
    append(&two.stores.store(STORE).await.unwrap(), "first".to_owned()).await;
    assert_eq!(payloads(&store).await, ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_an_account_that_is_away_is_bounded_over_all_stores() {
    // It takes connections, and answers nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let account = Account::new(&crate::support::settings(port, port)).unwrap();
    let most = limits::TRANSACTION_ENCODED_BYTES_MAX;
    let host = Host::with(&Arc::new(account), tempfile::tempdir().unwrap(), |engine| {
        engine.queues_bytes = most;
        engine.queue_deadline = std::time::Duration::from_secs(1);
    });
    let payload = bytes::Bytes::from(vec![7; limits::RECORD_BYTES_MAX / 2]);
    let records = (4 << 20) / payload.len() + 1;
    let mut waiting = tokio::task::JoinSet::new();
    let offered = most / (payload.len() * records) + 8;
    for number in 0..offered {
        let id = StoreId(Uuid::from_u128(1 + number as u128 % 4));
        let (store, payload) = (host.stores.store(id).await.unwrap(), payload.clone());
        waiting.spawn(async move { store.publish(&path(), vec![Record::new(payload); records]).await });
    }
    let refused = waiting.join_next().await.unwrap().unwrap();
    let is_full = matches!(refused, Err(AppendError::Rejected(Rejection::QueueFull { .. })));
    assert!(is_full, "{refused:?}");
    let queued = host.stores.queued_bytes().unwrap();
    assert!(queued > most / 4 && queued <= most, "{queued} of {most}");
    waiting.shutdown().await;
}

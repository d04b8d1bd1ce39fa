//! An account from which something was taken: no host, old or fresh, takes what is left for a whole store, and `verify` finds it.

use std::sync::Arc;

use streamkit_azure::account::table::{Cell, Condition, TableKey, Write};
use streamkit_azure::log::{Settings, StoreRoot};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{Medium as _, SlotNumber};
use streamkit_azure::tools::{Transactions, verify};
use streamkit_engine::*;
use uuid::Uuid;

use crate::hosts::Host;
use crate::support::OnEmulator;

const STORE: StoreId = StoreId(Uuid::from_u128(9));

fn path() -> SegmentPath {
    SegmentPath::new("orders", "one").unwrap()
}

async fn read(host: &Host) -> Result<usize, String> {
    let store = host.stores.store(STORE).await.map_err(|error| error.to_string())?;
    let mut reader = store.read_segment(SegmentRead::all(path()));
    let mut count = 0;
    while let Some(batch) = reader.next_batch().await.map_err(|error| error.to_string())? {
        count += batch.len();
    }
    Ok(count)
}

async fn append(host: &Host, payload: String) -> Result<(), String> {
    let store = host.stores.store(STORE).await.map_err(|error| error.to_string())?;
    let appended = store.publish(&path(), vec![Record::new(payload)]).await;
    appended.map(|_| ()).map_err(|error| error.to_string())
}

/// An account with a store of some entries, and the host that wrote them and left.
async fn written(settings: Settings) -> (OnEmulator, tempfile::TempDir) {
    let emulator = OnEmulator::new().await;
    let host = Host::start(&emulator.account, settings);
    for number in 0..10 {
        append(&host, number.to_string()).await.unwrap();
    }
    host.stores.close().await;
    (emulator, host.dir)
}

/// The partition of the only extent.
async fn extent(emulator: &OnEmulator) -> TableKey {
    let root = TableKey::new(STORE.0.to_string()).unwrap();
    let behind = emulator.account.table().partition_behind(Some(&root)).await.unwrap();
    behind.expect("an extent")
}

async fn take(emulator: &OnEmulator, partition: &TableKey, key: &str) {
    let delete = Write::Delete(TableKey::new(key).unwrap(), Condition::Exists);
    emulator.account.table().write(partition, &delete).await.unwrap();
}

async fn take_slots(emulator: &OnEmulator, slots: impl IntoIterator<Item = u64>) {
    let extent = extent(emulator).await;
    for slot in slots {
        take(emulator, &extent, &format!("s{slot:020}")).await;
    }
}

/// The header of the only extent becomes one of a host of before, which names no slot.
async fn make_older(emulator: &OnEmulator) {
    let cells = [("format".to_owned(), Cell::Number(1))].into();
    let replace = Write::Replace(TableKey::new("z").unwrap(), cells, Condition::Exists);
    let extent = extent(emulator).await;
    emulator.account.table().write(&extent, &replace).await.unwrap();
}

/// Neither reads nor writes, and says what is wrong.
async fn refuses(host: &Host) -> String {
    let said = read(host).await.expect_err("a read");
    append(host, "lost".to_owned()).await.expect_err("an append");
    said
}

async fn verify_finds(emulator: &OnEmulator) {
    let medium = AzureMedium::new(Arc::clone(&emulator.account), STORE);
    let report = verify(&medium, Settings::DEPTH, &mut Transactions::default(), &mut |_| {})
        .await
        .unwrap();
    assert!(report.damaged > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_slot_before_others_is_damage_and_not_the_end() {
    let (emulator, old) = written(Settings::default()).await;
    let fresh = Host::start(&emulator.account, Settings::default());
    take(&emulator, &extent(&emulator).await, "s00000000000000000004").await;
    verify_finds(&emulator).await;
    let said = refuses(&fresh).await;
    assert!(said.contains("slot 4"), "{said}");
    // Who has all of it goes on.
    let old = Host::again(&emulator.account, Settings::default(), old);
    append(&old, "more".to_owned()).await.unwrap();
    assert_eq!(read(&old).await, Ok(11));
}

fn space() -> Name {
    Name::new("orders").unwrap()
}

/// How many entries came until the read ended, or why it broke off.
async fn counted(mut next: impl AsyncFnMut() -> Result<Option<u64>, ReadError>) -> (u64, Option<String>) {
    let mut count = 0;
    loop {
        match next().await {
            Ok(Some(entries)) => count += entries,
            Ok(None) => return (count, None),
            Err(error) => {
                next().await.expect_err("every later call fails too");
                return (count, Some(error.to_string()));
            }
        }
    }
}

async fn entries(mut reader: Box<dyn EntryReader>) -> (u64, Option<String>) {
    counted(async || Ok(reader.next_batch().await?.map(|batch| batch.len() as u64))).await
}

async fn pieces(store: &Arc<dyn Store>, read: PiecesRead) -> (u64, Option<String>) {
    let mut reader = store.read_pieces(read);
    counted(async || Ok(reader.next_batch().await?.map(|batch| batch.entries))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_before_damage_is_read_and_then_the_damage_is_told_and_no_end() {
    let (emulator, _) = written(Settings::default()).await;
    take(&emulator, &extent(&emulator).await, "s00000000000000000004").await;
    let fresh = Host::start(&emulator.account, Settings::default());
    let store = fresh.stores.store(STORE).await.unwrap();
    let broken_off = |(count, said): (u64, Option<String>)| {
        assert_eq!(count, 3, "{said:?}");
        let said = said.expect("no end");
        assert!(said.contains("slot 4"), "{said}");
    };
    let whole = |(count, said): (u64, Option<String>), most: u64| assert_eq!((count, said), (most, None));
    let segment = |to, limit| SegmentRead {
        to: Sequence(to),
        limit,
        ..SegmentRead::all(path())
    };
    for read in [segment(u64::MAX, u64::MAX), segment(u64::MAX, 4), segment(4, u64::MAX)] {
        broken_off(entries(store.read_segment(read)).await);
    }
    // What was asked for is all there.
    whole(entries(store.read_segment(segment(u64::MAX, 3))).await, 3);
    whole(entries(store.read_segment(segment(2, u64::MAX))).await, 2);
    let spaces = |limit| SpacesRead {
        spaces: [(space(), None)].into(),
        time: TimeRange::ALL,
        limit,
    };
    broken_off(entries(store.read_spaces(spaces(4))).await);
    whole(entries(store.read_spaces(spaces(3))).await, 3);

    let log = PiecesRead::all(ReadSource::Log(vec![Wanted::Space(space())], LogCursor::default()));
    let one = PiecesRead::all(ReadSource::Segment(path(), Sequence(1), Sequence(3)));
    broken_off(pieces(&store, log.clone()).await);
    whole(pieces(&store, one).await, 3);
    let two = PiecesRead {
        entries: 2,
        ..log.clone()
    };
    whole(pieces(&store, two).await, 2);
    // The newest entry is not known.
    let newest = PiecesRead {
        is_backwards: true,
        ..log
    };
    let (count, said) = pieces(&store, newest).await;
    assert!(count == 0 && said.is_some(), "{count} {said:?}");
    store.peek(&path()).await.expect_err("the newest entry");
    store.segment_status(&path()).await.expect_err("the head");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_its_root_is_damage_and_not_an_empty_store() {
    let (emulator, old) = written(Settings::default()).await;
    let root = TableKey::new(STORE.0.to_string()).unwrap();
    take(&emulator, &root, "root").await;
    verify_finds(&emulator).await;
    for host in [
        Host::start(&emulator.account, Settings::default()),
        Host::again(&emulator.account, Settings::default(), old),
    ] {
        let said = refuses(&host).await;
        assert!(said.contains("root"), "{said}");
    }
    let medium = AzureMedium::new(emulator.account.clone(), STORE);
    assert!(medium.read_root().await.is_err(), "nobody made another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_has_a_copy_makes_no_store_in_an_account_that_has_none() {
    let (_emulator, old) = written(Settings::default()).await;
    let other = OnEmulator::new().await;
    let old = Host::again(&other.account, Settings::default(), old);
    append(&old, "lost".to_owned()).await.expect_err("an append");
    refuses(&old).await;
    let medium = AzureMedium::new(other.account.clone(), STORE);
    assert_eq!(medium.read_root().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extent_without_its_header_is_damage_and_nobody_waits_for_it() {
    let (emulator, old) = written(Settings::default()).await;
    take(&emulator, &extent(&emulator).await, "z").await;
    verify_finds(&emulator).await;
    for host in [
        Host::start(&emulator.account, Settings::default()),
        Host::again(&emulator.account, Settings::default(), old),
    ] {
        let said = refuses(&host).await;
        assert!(said.contains("header"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_slots_that_are_gone_are_damage_and_not_an_earlier_end() {
    for first in [10, 8, 1] {
        let emulator = OnEmulator::new().await;
        let full = Host::start(&emulator.account, Settings::default());
        for number in 0..5 {
            append(&full, number.to_string()).await.unwrap();
        }
        let older = Host::start(&emulator.account, Settings::default());
        assert_eq!(read(&older).await, Ok(5));
        older.stores.close().await;
        for number in 5..10 {
            append(&full, number.to_string()).await.unwrap();
        }
        full.stores.close().await;
        take_slots(&emulator, first..=10).await;
        verify_finds(&emulator).await;
        for host in [
            Host::start(&emulator.account, Settings::default()),
            Host::again(&emulator.account, Settings::default(), older.dir),
            Host::again(&emulator.account, Settings::default(), full.dir),
        ] {
            let said = refuses(&host).await;
            assert!(said.contains("slot 10"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_at_work_whose_last_slot_is_gone_acknowledges_nothing_behind_it() {
    let emulator = OnEmulator::new().await;
    let hosts = [(); 2].map(|()| Host::start(&emulator.account, Settings::default()));
    for number in 0..10 {
        append(&hosts[0], number.to_string()).await.unwrap();
    }
    assert_eq!(read(&hosts[1]).await, Ok(10));
    let (partition, last) = (extent(&emulator).await, TableKey::new("s00000000000000000010").unwrap());
    let row = emulator.account.table().get(&partition, &last).await.unwrap().unwrap();
    take_slots(&emulator, [10]).await;
    for host in &hosts {
        let store = host.stores.store(STORE).await.unwrap();
        let appended = store.publish(&path(), vec![Record::new("behind it")]).await;
        let found = match appended {
            // Sent, and refused for what is missing.
            Err(AppendError::Indeterminate(StorageError::Corrupt { found, .. })) => found,
            // Not even sent by a host that looked before.
            Err(AppendError::Rejected(Rejection::Storage(StorageError::Corrupt { found, .. }))) => found,
            appended => panic!("{appended:?}"),
        };
        assert!(found.contains("slot 10"), "{found}");
        assert!(matches!(store.writable(), Err(StorageError::Corrupt { .. })));
        refuses(host).await;
    }
    verify_finds(&emulator).await;
    let medium = AzureMedium::new(emulator.account.clone(), STORE);
    let root = StoreRoot::decode(&medium.read_root().await.unwrap().unwrap().bytes).unwrap();
    let behind = medium.read_from(root.live.extent, SlotNumber(11), usize::MAX).await;
    assert_eq!(behind.unwrap().rows, [], "nothing was inserted behind the hole");
    // Once it is put back, everybody goes on.
    let put_back = Write::Insert(last, row.cells);
    emulator.account.table().write(&partition, &put_back).await.unwrap();
    for host in &hosts {
        while append(host, "behind it".to_owned()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    assert_eq!(read(&hosts[0]).await, Ok(12));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extent_whose_seal_is_gone_is_damage_and_not_the_end() {
    let settings = Settings {
        extent_slots: 4,
        ..Settings::default()
    };
    let (emulator, old) = written(settings).await;
    let medium = AzureMedium::new(emulator.account.clone(), STORE);
    let root = StoreRoot::decode(&medium.read_root().await.unwrap().unwrap().bytes).unwrap();
    let first = TableKey::new(format!("{}!{}", STORE.0, root.live.extent)).unwrap();
    take(&emulator, &first, "s00000000000000000004").await;
    verify_finds(&emulator).await;
    let said = refuses(&Host::start(&emulator.account, settings)).await;
    assert!(said.contains("slot 4"), "{said}");
    // Who has it goes on in the last extent.
    let old = Host::again(&emulator.account, settings, old);
    append(&old, "more".to_owned()).await.unwrap();
    assert_eq!(read(&old).await, Ok(11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_before_claims_nothing_and_the_next_insert_says_more() {
    let (emulator, old) = written(Settings::default()).await;
    make_older(&emulator).await;
    let fresh = Host::start(&emulator.account, Settings::default());
    assert_eq!(read(&fresh).await, Ok(10));
    let old = Host::again(&emulator.account, Settings::default(), old);
    append(&old, "more".to_owned()).await.unwrap();
    assert_eq!(read(&fresh).await, Ok(11));
    take_slots(&emulator, [11]).await;
    let said = refuses(&Host::start(&emulator.account, Settings::default())).await;
    assert!(said.contains("slot 11"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_went_on_from_two_ends_of_a_log_are_told_as_soon_as_one_sees_the_other() {
    let emulator = OnEmulator::new().await;
    let one = Host::start(&emulator.account, Settings::default());
    for number in 0..10 {
        append(&one, number.to_string()).await.unwrap();
    }
    // Who knows nothing else, also from the header, takes the slot before for the last one.
    take_slots(&emulator, [10]).await;
    make_older(&emulator).await;
    let two = Host::start(&emulator.account, Settings::default());
    append(&two, "again".to_owned()).await.unwrap();
    append(&one, "behind what is gone".to_owned()).await.unwrap();
    let said = refuses(&two).await;
    assert!(said.contains("slot 11"), "{said}");
    verify_finds(&emulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_disk_is_full_says_so_and_does_not_call_the_log_damaged() {
    let (emulator, _old) = written(Settings::default()).await;
    let full = Host::with(&emulator.account, tempfile::tempdir().unwrap(), |engine| {
        engine.keep_free_bytes = u64::MAX / 2;
    });
    let store = full.stores.store(STORE).await.unwrap();
    let read = store.read_segment(SegmentRead::all(path())).next_batch().await;
    assert!(matches!(read, Err(ReadError::Busy(_))), "{read:?}");
    let appended = store.publish(&path(), vec![Record::new("more")]).await;
    assert!(
        matches!(appended, Err(AppendError::Rejected(Rejection::Busy(_)))),
        "{appended:?}"
    );
    append(
        &Host::start(&emulator.account, Settings::default()),
        "elsewhere".to_owned(),
    )
    .await
    .unwrap();
}

//! The promises of a medium, on the emulator.

use std::sync::Arc;

use bytes::Bytes;
use streamkit_azure::account::table::{Cell, Condition, TableKey, Write};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::conformance::PROMISES;
use streamkit_azure::medium::{Created, ExtentId, Inserted, Medium as _, RowsEnd, SlotBefore, SlotNumber, Unanswered};
use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::support::{OnEmulator, Proxied, key, number};

#[tokio::test]
async fn every_promise_is_kept() {
    let on = OnEmulator::new().await;
    for (name, promise) in PROMISES {
        let medium = AzureMedium::new(Arc::clone(&on.account), StoreId(Uuid::new_v4()));
        println!("{name}");
        promise(&medium).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn stores_of_one_account_share_nothing() {
    let on = OnEmulator::new().await;
    let medium = || AzureMedium::new(Arc::clone(&on.account), StoreId(Uuid::new_v4()));
    let (a, b) = (medium(), medium());
    let id = ExtentId(Uuid::new_v4());
    assert_eq!(a.create_extent(id, Bytes::from_static(b"a")).await, Ok(Created::Done));
    assert_eq!(b.create_extent(id, Bytes::from_static(b"b")).await, Ok(Created::Done));
    a.retire_extent(id).await.unwrap();
    a.swap_root(None, Bytes::from_static(b"root")).await.unwrap();
    assert_eq!(b.read_root().await, Ok(None));
    assert_eq!(
        b.insert_at(id, SlotNumber(1), Bytes::new(), SlotBefore::Known).await,
        Ok(Inserted::Done)
    );
}

#[tokio::test]
async fn damage_in_a_live_extent_is_told_and_not_taken_for_its_end() {
    let on = OnEmulator::new().await;
    let store = StoreId(Uuid::new_v4());
    let medium = AzureMedium::new(Arc::clone(&on.account), store);
    let id = ExtentId(Uuid::new_v4());
    medium.create_extent(id, Bytes::new()).await.unwrap();
    for slot in 1..=3 {
        medium
            .insert_at(id, SlotNumber(slot), Bytes::from(vec![7; 1_000_000]), SlotBefore::Known)
            .await
            .unwrap();
    }
    let partition = key(format!("{store}!{id}"));
    let change = async |write: Write| on.account.table().write(&partition, &write).await.unwrap();
    // A row of the second slot is gone.
    change(Write::Delete(key("s00000000000000000002.1"), Condition::Exists)).await;
    let error = medium.read_from(id, SlotNumber(1), usize::MAX).await.unwrap_err();
    assert!(
        matches!(&error, Unanswered::Damaged(why) if why.contains("slot 2")),
        "{error}"
    );
    // Its checksum is another one.
    let mut cells = number(0);
    cells.insert("checksum".to_owned(), streamkit_azure::account::table::Cell::Number(5));
    change(Write::Merge(key("s00000000000000000003"), cells, Condition::Exists)).await;
    let error = medium.read_from(id, SlotNumber(3), usize::MAX).await.unwrap_err();
    assert!(
        matches!(&error, Unanswered::Damaged(why) if why.contains("slot 3")),
        "{error}"
    );
    // In an extent that is being retired, rows go one after the other.
    change(Write::Delete(key("z"), Condition::Exists)).await;
    let rows = medium.read_from(id, SlotNumber(1), usize::MAX).await.unwrap();
    assert_eq!((rows.rows.len(), rows.end), (1, RowsEnd::Nothing));
}

/// An extent with so many slots of two bytes, and its partition.
async fn extent_of(medium: &AzureMedium, store: StoreId, slots: u64) -> (ExtentId, TableKey) {
    let id = ExtentId(Uuid::new_v4());
    medium.create_extent(id, Bytes::new()).await.unwrap();
    for slot in 1..=slots {
        assert_eq!(
            medium
                .insert_at(id, SlotNumber(slot), two(slot), SlotBefore::Known)
                .await,
            Ok(Inserted::Done)
        );
    }
    (id, key(format!("{store}!{id}")))
}

fn two(slot: u64) -> Bytes {
    Bytes::copy_from_slice(&slot.to_le_bytes()[..2])
}

fn is_damage_of<T: std::fmt::Debug>(slot: u64, said: Result<T, Unanswered>) {
    let slot = format!("slot {slot}:");
    assert!(
        matches!(&said, Err(Unanswered::Damaged(why)) if why.contains(&slot)),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_last_slot_that_was_deleted_is_damage_behind_all_that_is_there() {
    let on = OnEmulator::new().await;
    let store = StoreId(Uuid::new_v4());
    let medium = AzureMedium::new(Arc::clone(&on.account), store);
    let (id, partition) = extent_of(&medium, store, 40).await;
    let change = async |write: Write| on.account.table().write(&partition, &write).await.unwrap();
    for slot in 38..=40 {
        let row = key(format!("s{slot:020}"));
        change(Write::Delete(row, Condition::Exists)).await;
        for from in [1, 30, 37] {
            let rows = medium.read_from(id, SlotNumber(from), usize::MAX).await.unwrap();
            let last = if slot == 40 { 37 } else { 40 };
            let wanted: Vec<_> = (from..=last).filter(|number| *number <= 37 || *number > slot).collect();
            let found: Vec<_> = rows.rows.iter().map(|(slot, _)| slot.0).collect();
            assert_eq!(found, wanted);
            let end = if slot == 40 { RowsEnd::Early } else { RowsEnd::Header };
            assert_eq!(
                rows.end, end,
                "without the slot that the header names, nothing is said of the end"
            );
        }
    }
    for from in 38..=40 {
        is_damage_of(40, medium.read_from(id, SlotNumber(from), usize::MAX).await);
    }
    // Who is behind it reads nothing, and inserts nothing.
    let rows = medium.read_from(id, SlotNumber(41), usize::MAX).await.unwrap();
    assert_eq!((rows.rows.len(), rows.end), (0, RowsEnd::Header));
    for slot in [39, 40, 41] {
        is_damage_of(
            slot - 1,
            medium.insert_at(id, SlotNumber(slot), two(1), SlotBefore::Known).await,
        );
    }
    assert_eq!(
        medium.insert_at(id, SlotNumber(43), two(1), SlotBefore::Perhaps).await,
        Ok(Inserted::Done),
        "nobody says that slot 42 was there"
    );
    // In an extent that is being retired, rows go one after the other.
    change(Write::Delete(key("z"), Condition::Exists)).await;
    let rows = medium.read_from(id, SlotNumber(37), usize::MAX).await.unwrap();
    assert_eq!((rows.rows.len(), rows.end), (2, RowsEnd::Nothing));
    for before in [SlotBefore::Known, SlotBefore::Perhaps] {
        for slot in [1, 41, 44] {
            let inserted = medium.insert_at(id, SlotNumber(slot), two(1), before).await;
            assert_eq!(inserted, Ok(Inserted::Retired));
        }
    }
}

#[tokio::test]
async fn a_look_at_the_slot_before_changes_nothing_of_it_and_costs_no_request() {
    let on = Proxied::new().await;
    let store = StoreId(Uuid::new_v4());
    let medium = AzureMedium::new(Arc::clone(&on.account), store);
    let (id, partition) = extent_of(&medium, store, 1).await;
    let row = key("s00000000000000000001");
    let before = on.direct.table().get(&partition, &row).await.unwrap().unwrap();
    let seen = on.tables.seen();
    for (number, wanted) in [(2, Inserted::Done), (2, Inserted::Taken)] {
        let inserted = medium
            .insert_at(id, SlotNumber(number), two(9), SlotBefore::Known)
            .await;
        assert_eq!(inserted, Ok(wanted));
    }
    assert_eq!(on.tables.seen(), seen + 2);
    let after = on.direct.table().get(&partition, &row).await.unwrap().unwrap();
    assert_eq!(after.cells, before.cells);
    let rows = medium.read_from(id, SlotNumber(1), usize::MAX).await.unwrap();
    assert_eq!(rows.rows, [(SlotNumber(1), two(1)), (SlotNumber(2), two(9))]);
    assert_eq!(on.tables.seen(), seen + 3);
    // Not even of a slot that is retired since.
    medium.retire_extent(id).await.unwrap();
    let late = medium.insert_at(id, SlotNumber(2), two(9), SlotBefore::Known).await;
    assert_eq!(late, Ok(Inserted::Retired));
    assert_eq!(on.direct.table().get(&partition, &row).await.unwrap(), None);
}

#[tokio::test]
async fn a_header_names_a_slot_or_none_and_anything_else_is_damage() {
    let on = OnEmulator::new().await;
    let store = StoreId(Uuid::new_v4());
    let medium = AzureMedium::new(Arc::clone(&on.account), store);
    let (id, partition) = extent_of(&medium, store, 3).await;
    let named = async |cell: Option<Cell>| {
        let cells = cell.map(|cell| ("last".to_owned(), cell)).into_iter().collect();
        let write = Write::Replace(key("z"), cells, Condition::Exists);
        on.account.table().write(&partition, &write).await.unwrap();
        medium.read_from(id, SlotNumber(2), usize::MAX).await
    };
    for (cell, end) in [
        (None, RowsEnd::Header),
        // A slot came behind a later one.
        (Some(Cell::Number(0)), RowsEnd::Header),
        (Some(Cell::Number(2)), RowsEnd::Header),
        (Some(Cell::Number(4)), RowsEnd::Early),
        // Such a number is that of a slot, too.
        (Some(Cell::Number(-1)), RowsEnd::Early),
    ] {
        let rows = named(cell.clone()).await.unwrap();
        assert_eq!((rows.rows.len(), rows.end), (2, end), "{cell:?}");
    }
    let said = named(Some(Cell::Binary(Bytes::new()))).await.unwrap_err();
    assert!(
        matches!(&said, Unanswered::Damaged(why) if why.contains("header")),
        "{said}"
    );
    is_damage_of(u64::MAX, {
        named(Some(Cell::Number(-1))).await.unwrap();
        medium.read_from(id, SlotNumber(4), usize::MAX).await
    });
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let on = OnEmulator::new().await;
    let medium = AzureMedium::new(Arc::clone(&on.account), StoreId(Uuid::new_v4()));
    let id = ExtentId(Uuid::new_v4());
    let large = Bytes::from(vec![7; medium.slot_bytes_max() + 1]);
    assert!(matches!(
        medium.create_extent(id, large.clone()).await,
        Err(Unanswered::Refused(_))
    ));
    assert!(matches!(
        medium.insert_at(id, SlotNumber(1), large, SlotBefore::Known).await,
        Err(Unanswered::Refused(_))
    ));
    let root = Bytes::from(vec![7; 900 * 1024 + 1]);
    assert!(matches!(
        medium.swap_root(None, root).await,
        Err(Unanswered::Refused(_))
    ));
}

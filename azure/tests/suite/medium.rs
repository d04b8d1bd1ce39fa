//! The promises of a medium, on the emulator.

use std::sync::Arc;

use bytes::Bytes;
use streamkit_azure::account::table::{Condition, Write};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::conformance::PROMISES;
use streamkit_azure::medium::{Created, ExtentId, Inserted, Medium as _, RowsEnd, SlotNumber, Unanswered};
use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::support::{OnEmulator, key, number};

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
    assert_eq!(b.insert_at(id, SlotNumber(1), Bytes::new()).await, Ok(Inserted::Done));
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
            .insert_at(id, SlotNumber(slot), Bytes::from(vec![7; 1_000_000]))
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
        medium.insert_at(id, SlotNumber(1), large).await,
        Err(Unanswered::Refused(_))
    ));
    let root = Bytes::from(vec![7; 900 * 1024 + 1]);
    assert!(matches!(
        medium.swap_root(None, root).await,
        Err(Unanswered::Refused(_))
    ));
}

//! Tools that look at an account: they find each damage of a log by its place, none where there is none, and leave nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use streamkit_azure::account::Account;
use streamkit_azure::account::table::{Cell, Condition, TableKey, Write};
use streamkit_azure::log::Group;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{
    BlobKind, BlobName, Created, ExtentId, Inserted, Medium, MediumCall, MediumMeter, MeteredMedium, Put, Root,
    RootVersion, Rows, SlotBefore, SlotNumber, Swapped, Unanswered,
};
use streamkit_azure::tools::{Bodies, BodyCount, LogPlace, LogReport, LogUnread, Transactions, Trial};
use streamkit_azure::tools::{FoundStores, StoreState, delete, measure, sample, standing, stores, verify};
use streamkit_engine::archive::ArchivedFile;
use streamkit_engine::{StoreId, Timestamp};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::laid_out::{EXTENTS, HISTORY, LaidOut, SLOTS, Twist, VOID, large_body};
use crate::support::{OnEmulator, key};

/// Counts groups, and refuses a body that says so.
#[derive(Default)]
struct Counting {
    count: BodyCount,
    hidden: u64,
}

impl Bodies for Counting {
    fn check(&mut self, _: &Group, body: &Bytes) -> Result<(), String> {
        self.count.transactions += 1;
        self.count.entries += body.len() as u64;
        Ok(())
    }

    fn hide(&mut self) {
        self.hidden += 1;
    }

    fn archived(&self, _: &Bytes) -> Result<Vec<ArchivedFile>, String> {
        Ok(Vec::new())
    }

    fn count(&self) -> BodyCount {
        self.count
    }
}

/// What hosts have pinned that may lay such groups out as do not count.
const DEPTH: usize = 2;

async fn verified(medium: &dyn Medium) -> LogReport {
    verify(medium, DEPTH, &mut Counting::default(), &mut |_| {})
        .await
        .unwrap()
}

#[tokio::test]
async fn a_whole_log_has_no_damage_and_is_counted_from_its_first_group_to_its_last() {
    let on = OnEmulator::new().await;
    let laid = LaidOut::new(&on).await;
    let mut told = Vec::new();
    let report = verify(&laid.medium, DEPTH, &mut Counting::default(), &mut |progress| {
        told.push(progress)
    })
    .await
    .unwrap();
    assert_eq!(report.damage, []);
    assert_eq!((report.extents, report.history_extents), (EXTENTS, HISTORY));
    assert_eq!((report.slots, report.void_groups), (EXTENTS * SLOTS, EXTENTS));
    assert_eq!((report.groups, report.count.transactions), (16, 16));
    assert_eq!((report.manifest_pages, report.body_blobs), (1, 1));
    assert!(report.has_checkpoint && report.damaged == 0);
    assert_eq!(
        (report.first_time, report.last_time),
        (Some(Timestamp(2_000)), Some(Timestamp(21_000)))
    );
    assert!(
        told.windows(2).all(|pair| pair[0].checked < pair[1].checked),
        "{told:?}"
    );
    // A store whose last slot is empty, and none at all.
    let none = AzureMedium::new(on.account.clone(), StoreId(Uuid::new_v4()));
    let missing = verify(&none, DEPTH, &mut Counting::default(), &mut |_| {}).await;
    assert_eq!(missing.unwrap_err(), LogUnread::NoStore);
}

#[tokio::test]
async fn each_damage_of_a_blob_is_told_by_its_place() {
    let on = OnEmulator::new().await;
    let cases = [
        "its blob is not there",
        "another checksum",
        "is not there",
        "is another one than the group says",
        "not a whole checkpoint",
        "it is not there",
        "it is not there",
        "it is of another place",
    ];
    for (case, said) in cases.into_iter().enumerate() {
        let laid = LaidOut::new(&on).await;
        let (first, second) = (laid.history[0], laid.history[1]);
        let place = match case {
            0 => {
                laid.delete(BlobKind::History, second.blob).await;
                LogPlace::History {
                    ordinal: 2,
                    blob: second.blob,
                    slot: None,
                }
            }
            1 => {
                let other = laid.medium.get_blob(first.blob_name()).await.unwrap().unwrap();
                // The same groups, and something behind them, with a checksum of its own that is right.
                let mut slots = streamkit_azure::log::SealedExtent::decode(&other, first.extent).unwrap();
                slots.slots.truncate(SLOTS as usize - 1);
                laid.replace(BlobKind::History, first.blob, slots.encode()).await;
                LogPlace::History {
                    ordinal: 1,
                    blob: first.blob,
                    slot: None,
                }
            }
            2 | 3 => {
                match case {
                    2 => laid.delete(BlobKind::Body, laid.body_blob).await,
                    _ => {
                        laid.replace(BlobKind::Body, laid.body_blob, large_body().slice(1..))
                            .await
                    }
                }
                LogPlace::History {
                    ordinal: 1,
                    blob: first.blob,
                    slot: Some(SlotNumber(1)),
                }
            }
            4 => {
                let bytes = laid.checkpoint.encode();
                laid.replace(BlobKind::Checkpoint, laid.checkpoint_blob, bytes.slice(1..))
                    .await;
                LogPlace::Checkpoint(laid.checkpoint_blob)
            }
            5 => {
                laid.delete(BlobKind::Checkpoint, laid.checkpoint_blob).await;
                LogPlace::Checkpoint(laid.checkpoint_blob)
            }
            6 => {
                laid.delete(BlobKind::Manifest, laid.page).await;
                LogPlace::Manifest(laid.page)
            }
            _ => {
                let mut other = laid.checkpoint.clone();
                other.place = other.place.behind(None);
                laid.replace(BlobKind::Checkpoint, laid.checkpoint_blob, other.encode())
                    .await;
                LogPlace::Checkpoint(laid.checkpoint_blob)
            }
        };
        let report = verified(&laid.medium).await;
        let found = report.damage.iter().find(|damage| damage.place == place);
        let found = found.unwrap_or_else(|| panic!("{case}: {:?}", report.damage));
        assert!(found.what.contains(said), "{case}: {found}");
        // What is whole is read all the same, up to the last group.
        assert_eq!(report.last_time, Some(Timestamp(21_000)), "{case}");
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_told_by_its_place() {
    let on = OnEmulator::new().await;
    for (case, twist, said) in [
        (
            0,
            Twist {
                time_goes_back: true,
                ..Twist::default()
            },
            "commit time",
        ),
        (
            1,
            Twist {
                other_seal: true,
                ..Twist::default()
            },
            "the last of the history names",
        ),
        (
            2,
            Twist {
                other_predecessor: true,
                ..Twist::default()
            },
            "follows another group",
        ),
        (
            3,
            Twist {
                other_checkpoint: true,
                ..Twist::default()
            },
            "another group than the last one before",
        ),
    ] {
        let laid = LaidOut::twisted(&on, twist).await;
        let report = verified(&laid.medium).await;
        let place = match case {
            0 => LogPlace::Live {
                ordinal: EXTENTS,
                extent: *laid.extents.last().unwrap(),
                slot: Some(SlotNumber(SLOTS)),
            },
            3 => LogPlace::Checkpoint(laid.checkpoint_blob),
            _ => LogPlace::Root,
        };
        assert!(
            report
                .damage
                .iter()
                .any(|damage| damage.place == place && damage.what.contains(said)),
            "{case}: {:?}",
            report.damage
        );
    }
}

#[tokio::test]
async fn a_group_behind_one_that_is_not_there_is_damage_unless_hosts_may_have_pinned_both() {
    let on = OnEmulator::new().await;
    for (other_start, depth) in [(false, 1), (true, 1), (true, DEPTH)] {
        let twist = Twist {
            other_start,
            ..Twist::default()
        };
        let laid = LaidOut::twisted(&on, twist).await;
        let report = verify(&laid.medium, depth, &mut Counting::default(), &mut |_| {})
            .await
            .unwrap();
        let slot = Some(SlotNumber(VOID));
        let places: Vec<_> = (1..=EXTENTS)
            .map(|ordinal| match laid.history.get(ordinal as usize - 1) {
                Some(&listed) => LogPlace::History {
                    ordinal,
                    blob: listed.blob,
                    slot,
                },
                None => LogPlace::Live {
                    ordinal,
                    extent: laid.extents[ordinal as usize - 1],
                    slot,
                },
            })
            .collect();
        let told: Vec<_> = report.damage.iter().map(|damage| damage.place).collect();
        assert_eq!(told, places, "{:?}", report.damage);
        assert!(report.damage[0].what.contains("behind a group that is not there"));
        // Those behind it name the last group before it.
        assert_eq!(
            (report.groups, report.unproven_groups, report.void_groups),
            (16, EXTENTS, 0)
        );
    }
}

#[tokio::test]
async fn a_checkpoint_with_a_state_that_no_host_begins_with_is_damaged() {
    let on = OnEmulator::new().await;
    let laid = LaidOut::new(&on).await;
    let report = verify(&laid.medium, DEPTH, &mut Transactions::default(), &mut |_| {})
        .await
        .unwrap();
    let place = LogPlace::Checkpoint(laid.checkpoint_blob);
    assert!(
        report.damage.iter().any(|damage| damage.place == place),
        "{:?}",
        report.damage
    );
}

fn partition(laid: &LaidOut, extent: usize) -> TableKey {
    key(format!("{}!{}", laid.store, laid.extents[extent]))
}

async fn overwrite(account: &Account, partition: &TableKey, row: &str) {
    let mut cells = account.table().get(partition, &key(row)).await.unwrap().unwrap().cells;
    cells.insert("b00".to_owned(), Cell::Binary(Bytes::from_static(b"other bytes")));
    let write = Write::Replace(key(row), cells, Condition::Exists);
    account.table().write(partition, &write).await.unwrap();
}

#[tokio::test]
async fn damage_of_rows_is_told_and_what_stands_behind_it_is_read() {
    let on = OnEmulator::new().await;
    let laid = LaidOut::new(&on).await;
    let live = HISTORY as usize;
    overwrite(&on.account, &partition(&laid, live), &format!("s{:020}", 1)).await;
    let report = verified(&laid.medium).await;
    let place = LogPlace::Live {
        ordinal: HISTORY + 1,
        extent: laid.extents[live],
        slot: Some(SlotNumber(1)),
    };
    assert_eq!(
        report.damage.iter().map(|damage| damage.place).collect::<Vec<_>>(),
        [place]
    );
    assert_eq!(report.last_time, Some(Timestamp(21_000)));
    assert_eq!(report.slots, EXTENTS * SLOTS - 1);
    // Slot 3 stood behind the damaged one, and slot 4 names it; of slot 2 nobody knows, and it is void.
    assert_eq!((report.unproven_groups, report.groups), (2, 14));

    let laid = LaidOut::new(&on).await;
    overwrite(&on.account, &key(laid.store.to_string()), "root").await;
    let report = verified(&laid.medium).await;
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].place, LogPlace::Root);
    let refused = standing(&on.account, laid.store).await.unwrap_err();
    assert!(matches!(refused, LogUnread::Damaged(_)), "{refused}");

    // The last slots are gone, and then the seal of the extent before.
    let laid = LaidOut::new(&on).await;
    let mut told = Vec::new();
    for (extent, slots) in [(EXTENTS - 1, SLOTS - 1..=SLOTS), (HISTORY, SLOTS..=SLOTS)] {
        let first = *slots.start();
        for slot in slots {
            let delete = Write::Delete(key(format!("s{slot:020}")), Condition::Exists);
            let partition = partition(&laid, extent as usize);
            on.account.table().write(&partition, &delete).await.unwrap();
        }
        let report = verified(&laid.medium).await;
        told.push((report.damaged, report.slots));
        let place = LogPlace::Live {
            ordinal: extent + 1,
            extent: laid.extents[extent as usize],
            slot: Some(SlotNumber(first)),
        };
        assert_eq!(report.damage[0].place, place);
        assert!(report.damage[0].what.contains("slot 5"), "{}", report.damage[0]);
    }
    assert_eq!(told, [(1, EXTENTS * SLOTS - 2), (1, (HISTORY + 1) * SLOTS - 1)]);

    // Without its header an extent looks retired, and the history does not have it.
    let laid = LaidOut::new(&on).await;
    let header = Write::Delete(key("z"), Condition::Exists);
    on.account
        .table()
        .write(&partition(&laid, live), &header)
        .await
        .unwrap();
    overwrite(&on.account, &partition(&laid, live), &format!("s{:020}", SLOTS)).await;
    let report = verified(&laid.medium).await;
    assert!(report.damage[0].what.contains("header"), "{:?}", report.damage);
}

/// A medium whose third extent becomes history while it is read.
struct Moving {
    medium: AzureMedium,
    laid: Mutex<LaidOut>,
    is_moved: AtomicBool,
}

#[async_trait]
impl Medium for Moving {
    fn slot_bytes_max(&self) -> usize {
        self.medium.slot_bytes_max()
    }

    async fn create_extent(&self, extent: ExtentId, first: Bytes) -> Result<Created, Unanswered> {
        self.medium.create_extent(extent, first).await
    }

    async fn insert_at(
        &self,
        extent: ExtentId,
        slot: SlotNumber,
        bytes: Bytes,
        before: SlotBefore,
    ) -> Result<Inserted, Unanswered> {
        self.medium.insert_at(extent, slot, bytes, before).await
    }

    async fn read_from(&self, extent: ExtentId, from: SlotNumber, most: usize) -> Result<Rows, Unanswered> {
        if self.is_moved.swap(true, Ordering::Relaxed) {
            return self.medium.read_from(extent, from, most).await;
        }
        let mut rows = self.medium.read_from(extent, from, most).await?;
        self.laid.lock().await.collect().await;
        // Deletion had come to the third slot.
        rows.rows.truncate(2);
        rows.end = streamkit_azure::medium::RowsEnd::Nothing;
        Ok(rows)
    }

    async fn retire_extent(&self, extent: ExtentId) -> Result<(), Unanswered> {
        self.medium.retire_extent(extent).await
    }

    async fn read_root(&self) -> Result<Option<Root>, Unanswered> {
        self.medium.read_root().await
    }

    async fn swap_root(&self, expected: Option<RootVersion>, bytes: Bytes) -> Result<Swapped, Unanswered> {
        self.medium.swap_root(expected, bytes).await
    }

    async fn put_blob(&self, name: BlobName, bytes: Bytes) -> Result<Put, Unanswered> {
        self.medium.put_blob(name, bytes).await
    }

    async fn get_blob(&self, name: BlobName) -> Result<Option<Bytes>, Unanswered> {
        self.medium.get_blob(name).await
    }

    async fn delete_blob(&self, name: BlobName) -> Result<(), Unanswered> {
        self.medium.delete_blob(name).await
    }

    async fn service_time(&self) -> Result<Timestamp, Unanswered> {
        self.medium.service_time().await
    }
}

#[tokio::test]
async fn an_extent_that_becomes_history_while_it_is_read_is_read_on_there() {
    let on = OnEmulator::new().await;
    let laid = LaidOut::new(&on).await;
    let moving = Moving {
        medium: laid.medium.clone(),
        laid: Mutex::new(laid),
        is_moved: AtomicBool::new(false),
    };
    let report = verified(&moving).await;
    assert_eq!(report.damage, []);
    assert_eq!((report.slots, report.groups), (EXTENTS * SLOTS, 16));
    assert_eq!((report.extents, report.history_extents), (EXTENTS, HISTORY + 1));
}

#[tokio::test]
async fn the_stores_of_an_account_are_found_one_by_one_whatever_stands_between_them() {
    let on = OnEmulator::new().await;
    assert_eq!(stores(&on.account, 10).await.unwrap().stores, []);
    let mut laid = Vec::new();
    for _ in 0..3 {
        laid.push(LaidOut::new(&on).await.store);
    }
    laid.sort_by_key(|store| store.0);
    // Something of no store, before, between and behind them; and a store of which a tombstone is left.
    for partition in ["!", "8zzz", "probe!1", "zz"] {
        let write = Write::Insert(key("row"), [("n".to_owned(), Cell::Number(1))].into());
        on.account.table().write(&key(partition), &write).await.unwrap();
    }
    let gone = StoreId(Uuid::new_v4());
    let medium = AzureMedium::new(on.account.clone(), gone);
    let extent = ExtentId(Uuid::new_v4());
    medium.create_extent(extent, Bytes::from_static(b"x")).await.unwrap();
    medium.retire_extent(extent).await.unwrap();

    let found = stores(&on.account, 10).await.unwrap();
    assert!(!found.is_cut);
    let there = found.stores.iter().filter(|found| found.state == StoreState::There);
    assert_eq!(there.map(|found| found.store).collect::<Vec<_>>(), laid);
    let state = |found: &FoundStores, store| found.stores.iter().find(|found| found.store == store).unwrap().state;
    assert_eq!(state(&found, gone), StoreState::Rootless);
    delete(&on.account, laid[1], &mut |_| ()).await.unwrap();
    let found = stores(&on.account, 10).await.unwrap();
    assert_eq!(state(&found, laid[1]), StoreState::Deleted);
    assert_eq!(found.stores.len(), 4);
    let cut = stores(&on.account, 3).await.unwrap();
    assert!(cut.is_cut);
    assert_eq!(cut.stores, found.stores[..3]);
    assert!(!stores(&on.account, 4).await.unwrap().is_cut);
}

#[tokio::test]
async fn a_store_is_described_and_its_rate_is_that_of_its_last_groups() {
    let on = OnEmulator::new().await;
    let laid = LaidOut::new(&on).await;
    let found = standing(&on.account, laid.store).await.unwrap();
    assert_eq!(
        (found.live_ordinal, found.live_extents),
        (HISTORY + 1, EXTENTS - HISTORY)
    );
    assert_eq!((found.live_groups, found.live_void), (8, 2));
    assert!(found.is_whole && found.now.0 > 1_700_000_000_000);
    assert_eq!(found.last, Some(Timestamp(21_000)));
    let count = |kind| found.blobs.iter().find(|count| count.kind == kind).unwrap();
    assert_eq!(count(BlobKind::History).count, HISTORY);
    assert_eq!((count(BlobKind::Body).count, count(BlobKind::Body).bytes), (1, 10_000));
    assert_eq!(count(BlobKind::Manifest).count + count(BlobKind::Checkpoint).count, 2);
    assert_eq!(found.hosts.len(), 2);
    assert_eq!(found.hosts.iter().map(|host| host.groups).sum::<u64>(), 8);
    assert_eq!(found.hosts[0].last, Timestamp(21_000));

    let sampled = sample(&on.account, laid.store, 3).await.unwrap();
    assert_eq!((sampled.groups, sampled.from), (3, Timestamp(19_000)));
    assert!(sampled.to.0 > 1_700_000_000_000 && sampled.bytes > 0);
    assert!(sampled.blob_bytes > 10_000 && sampled.table_bytes > 0);
    let none = sample(&on.account, StoreId(Uuid::new_v4()), 3).await;
    assert_eq!(none.unwrap_err(), LogUnread::NoStore);
}

#[tokio::test]
async fn a_trial_of_latency_measures_each_call_and_leaves_nothing_behind() {
    let on = OnEmulator::new().await;
    let trial = Trial {
        calls: 3,
        bytes_max: 1 << 20,
    };
    let mut told = 0;
    let rows = measure(&on.account, &trial, &mut |_| told += 1).await.unwrap();
    assert_eq!(told, rows.len());
    for row in &rows {
        assert_eq!((row.calls, row.failed), (3, 0), "{row:?}");
        assert!(
            row.p50 <= row.p99 && row.p99 <= row.max && row.bytes <= 1 << 20,
            "{row:?}"
        );
    }
    for operation in [
        "group transaction",
        "read of the tail, from this size on",
        "put of a blob",
        "get of a blob",
        "read of the root",
        "change of the root",
    ] {
        assert!(rows.iter().any(|row| row.operation == operation), "{operation}");
    }
    assert_eq!(on.account.table().partition_behind(None).await.unwrap(), None);
    assert!(on.account.blobs().list("", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn calls_of_a_medium_are_counted_by_what_came_of_them() {
    let on = OnEmulator::new().await;
    let meter = Arc::new(MediumMeter::default());
    let store = AzureMedium::new(on.account.clone(), StoreId(Uuid::new_v4()));
    let medium = MeteredMedium::new(store, meter.clone());
    let extent = ExtentId(Uuid::new_v4());
    let bytes = Bytes::from_static(b"0123456789");
    assert_eq!(medium.create_extent(extent, bytes.clone()).await, Ok(Created::Done));
    for wanted in [Inserted::Done, Inserted::Taken] {
        assert_eq!(
            medium
                .insert_at(extent, SlotNumber(1), bytes.clone(), SlotBefore::Known)
                .await,
            Ok(wanted)
        );
    }
    let large = Bytes::from(vec![0; medium.slot_bytes_max() + 1]);
    let refused = medium
        .insert_at(extent, SlotNumber(2), large.clone(), SlotBefore::Known)
        .await;
    assert!(matches!(refused, Err(Unanswered::Refused(_))));
    medium.read_from(extent, SlotNumber(1), 100).await.unwrap();
    // Given up before there is an answer.
    let given_up = tokio::time::timeout(std::time::Duration::ZERO, medium.read_root()).await;
    assert!(given_up.is_err());
    let figures = meter.now();
    let insert = figures.of(MediumCall::InsertAt);
    assert_eq!(
        (insert.done, insert.conflicts, insert.refused, insert.unknown),
        (1, 1, 1, 0)
    );
    assert_eq!(insert.sent_bytes, 20 + large.len() as u64);
    assert_eq!(insert.nanos.counts.iter().sum::<u64>(), 3);
    assert_eq!(figures.of(MediumCall::ReadFrom).received_bytes, 10);
    assert_eq!(figures.of(MediumCall::ReadRoot).unknown, 1);
    assert_eq!(figures.of(MediumCall::CreateExtent).done, 1);
    assert_eq!(figures.of(MediumCall::PutBlob).nanos.counts.iter().sum::<u64>(), 0);
    let words: std::collections::BTreeSet<_> = MediumCall::ALL.map(MediumCall::word).into_iter().collect();
    assert_eq!(words.len(), MediumCall::ALL.len());
}

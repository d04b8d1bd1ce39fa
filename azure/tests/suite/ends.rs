//! The end of a log that is written all the time: whoever reads meanwhile, and whoever inserts several slots at once, hears of no damage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use streamkit_azure::driver::Driver;
use streamkit_azure::log::{Boot, Outcome, Settings};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{ExtentId, Inserted, Medium, RowsEnd, SlotBefore, SlotNumber, Unanswered};
use streamkit_azure::simulation::heads::{Entry, Heads};
use streamkit_engine::clock::SystemClock;
use streamkit_engine::{Record, SegmentPath, SegmentRead, StoreId, Stores as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::hosts::Host;
use crate::proxy::Fate;
use crate::support::{OnEmulator, Proxied};

const PATIENCE: Duration = Duration::from_secs(120);
/// Slots of an extent that is written while it is read.
const SLOTS: u64 = 300;

/// The answer to a call, which an emulator that has much to do may not give at once.
async fn known<T, F: Future<Output = Result<T, Unanswered>>>(mut call: impl FnMut() -> F) -> T {
    loop {
        match call().await {
            Err(Unanswered::Unknown(_)) => {}
            answer => return answer.unwrap(),
        }
    }
}

/// Each takes the next slot, or finds it taken.
async fn write(medium: AzureMedium, extent: ExtentId, written: Arc<AtomicU64>) {
    for slot in 1..=SLOTS {
        // One takes several rows.
        let length = if slot == 10 { 1_000_000 } else { 10 };
        let bytes = Bytes::from(vec![7; length]);
        let inserted = known(|| medium.insert_at(extent, SlotNumber(slot), bytes.clone(), SlotBefore::Known)).await;
        assert!(matches!(inserted, Inserted::Done | Inserted::Taken), "{inserted:?}");
        written.fetch_max(slot, Ordering::Relaxed);
    }
}

/// Reads the extent again and again, from so many slots before the end that was found last, until it is retired; returns the reads.
async fn read(medium: AzureMedium, extent: ExtentId, written: Arc<AtomicU64>, back: u64) -> u64 {
    let (mut from, mut reads) = (1, 0);
    loop {
        let there = written.load(Ordering::Relaxed);
        let rows = known(|| medium.read_from(extent, SlotNumber(from), usize::MAX)).await;
        reads += 1;
        let found = rows.rows.last().map_or(from - 1, |(slot, _)| slot.0);
        match rows.end {
            RowsEnd::Nothing => return reads,
            RowsEnd::Early => panic!("nothing is gone"),
            RowsEnd::Header => {
                assert_eq!(rows.rows.len() as u64, found + 1 - from, "without a hole");
                assert!(
                    found >= there,
                    "slot {there} was there, and {found} was the last that was read"
                );
            }
        }
        from = (found + 1).saturating_sub(back).max(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_an_extent_that_two_write_and_one_retires_hear_of_no_damage() {
    let on = OnEmulator::new().await;
    let medium = AzureMedium::new(on.account.clone(), StoreId(Uuid::new_v4()));
    for _ in 0..2 {
        let extent = ExtentId(Uuid::new_v4());
        medium.create_extent(extent, Bytes::new()).await.unwrap();
        let written = Arc::new(AtomicU64::new(0));
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        for _ in 0..2 {
            writers.spawn(write(medium.clone(), extent, written.clone()));
        }
        // Also from so far back that a read has several pages.
        for back in [0, 20, 100] {
            readers.spawn(read(medium.clone(), extent, written.clone(), back));
        }
        writers.join_all().await;
        medium.retire_extent(extent).await.unwrap();
        let reads = readers.join_all().await;
        assert!(reads.iter().all(|reads| *reads > 1), "{reads:?}");
    }
}

fn host(medium: Arc<dyn Medium>, depth: usize) -> Arc<Driver<Heads>> {
    let boot = Boot {
        host: Uuid::new_v4(),
        boot: Uuid::new_v4(),
    };
    let settings = Settings {
        depth,
        extent_slots: 64,
        // Each request makes a group.
        group_bytes: 1,
        slot_bytes: medium.slot_bytes_max(),
        ..Settings::default()
    };
    Arc::new(Driver::start(
        medium,
        settings,
        (),
        boot,
        7,
        Arc::new(SystemClock),
        Arc::default(),
    ))
}

async fn produce(host: Arc<Driver<Heads>>, segment: u64, count: u64) {
    for _ in 0..count {
        let entry = Entry {
            id: Uuid::new_v4(),
            segment,
            sequence: None,
            padding: 10,
        };
        match host.ask(entry, PATIENCE).await {
            Outcome::Durable(_) => {}
            Outcome::Refused(misfit) => panic!("{misfit:?}"),
            Outcome::NotStored(why) | Outcome::Unknown(_, why) => panic!("{why}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_with_several_groups_under_way_hear_of_no_damage_whatever_becomes_of_their_answers() {
    let on = Proxied::with_deadline(Duration::from_millis(1_000)).await;
    let store = StoreId(Uuid::new_v4());
    let through: Arc<dyn Medium> = Arc::new(AzureMedium::new(on.account.clone(), store));
    let direct: Arc<dyn Medium> = Arc::new(AzureMedium::new(on.direct.clone(), store));
    // One of the hosts is the only one that writes at first, so that groups behind others are not void.
    let hosts = [host(through, 4), host(direct, 4)];
    let mut producers = JoinSet::new();
    for segment in 0..8 {
        producers.spawn(produce(hosts[0].clone(), segment, 40));
    }
    for segment in 8..12 {
        producers.spawn(produce(hosts[1].clone(), segment, 20));
    }
    let fates = [Fate::LoseAnswer, Fate::Twice, Fate::LoseRequest, Fate::CutAnswer(20)];
    for fate in fates.into_iter().cycle().take(20) {
        on.tables.next([fate]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    producers.join_all().await;
    let late = host(Arc::new(AzureMedium::new(on.direct.clone(), store)), 4);
    for host in hosts.iter().chain([&late]) {
        host.look(PATIENCE).await.unwrap();
        host.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_reads_beside_two_that_write_hears_of_no_damage() {
    let on = OnEmulator::new().await;
    let settings = Settings {
        extent_slots: 50,
        ..Settings::default()
    };
    let hosts = [(); 3].map(|()| Arc::new(Host::start(&on.account, settings)));
    let store = StoreId(Uuid::new_v4());
    let path = SegmentPath::new("orders", "one").unwrap();
    let mut writers = JoinSet::new();
    for host in &hosts[..2] {
        let (host, path) = (host.clone(), path.clone());
        writers.spawn(async move {
            let store = host.stores.store(store).await.unwrap();
            for number in 0..150 {
                store
                    .publish(&path, vec![Record::new(number.to_string())])
                    .await
                    .unwrap();
            }
        });
    }
    let read = async |host: &Host| {
        let store = host.stores.store(store).await.unwrap();
        let mut reader = store.read_segment(SegmentRead::all(path.clone()));
        let mut count = 0;
        while let Some(batch) = reader.next_batch().await.unwrap() {
            count += batch.len();
        }
        count
    };
    let mut before = 0;
    while !writers.is_empty() {
        while let Some(ended) = writers.try_join_next() {
            ended.unwrap();
        }
        let now = read(&hosts[2]).await;
        assert!(now >= before, "{now} of {before}");
        before = now;
    }
    assert_eq!(read(&hosts[2]).await, 300);
    assert_eq!(read(&Host::start(&on.account, settings)).await, 300);
}

//! Three hosts at the log of one store, on the emulator.

use std::sync::Arc;
use std::time::Duration;

use streamkit_azure::driver::Driver;
use streamkit_azure::log::{Boot, Outcome, Settings, Why};
use streamkit_azure::medium::Medium;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::simulation::heads::{Entry, Heads, Misfit, Stored};
use streamkit_engine::StoreId;
use streamkit_engine::clock::SystemClock;
use uuid::Uuid;

use crate::proxy::Fate;
use crate::support::{OnEmulator, Proxied};

const PATIENCE: Duration = Duration::from_secs(120);

fn host(medium: Arc<dyn Medium>) -> Arc<Driver<Heads>> {
    let boot = Boot {
        host: Uuid::new_v4(),
        boot: Uuid::new_v4(),
    };
    // Small extents, so that some are sealed.
    let settings = Settings {
        extent_slots: 8,
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

fn entry(segment: u64, sequence: Option<u64>) -> Entry {
    Entry {
        id: Uuid::new_v4(),
        segment,
        sequence,
        padding: 300,
    }
}

async fn ask(host: &Driver<Heads>, entry: &Entry) -> Result<Stored, Misfit> {
    match host.ask(entry.clone(), PATIENCE).await {
        Outcome::Durable(stored) => Ok(stored),
        Outcome::Refused(misfit) => Err(misfit),
        Outcome::NotStored(why) | Outcome::Unknown(_, why) => panic!("{why}"),
    }
}

/// Appends so many entries to a segment that others extend, too: each behind the head that the last refusal told.
async fn produce(host: Arc<Driver<Heads>>, segment: u64, count: usize) -> Vec<(Entry, Stored)> {
    let (mut done, mut next) = (Vec::new(), 1);
    while done.len() < count {
        let entry = entry(segment, Some(next));
        match ask(&host, &entry).await {
            Ok(stored) => {
                assert_eq!((stored.segment, stored.sequence), (segment, next));
                next += 1;
                done.push((entry, stored));
            }
            Err(misfit) => {
                assert!(misfit.head + 1 != next, "it would have fitted");
                next = misfit.head + 1;
            }
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_producers_on_three_hosts_one_wins_each_sequence_and_every_host_knows_what_any_stored() {
    let on = OnEmulator::new().await;
    let medium = Arc::new(AzureMedium::new(on.account.clone(), StoreId(Uuid::new_v4())));
    let hosts: Vec<_> = (0..3).map(|_| host(medium.clone())).collect();
    let producers = (0..9).map(|number| tokio::spawn(produce(hosts[number % 3].clone(), number as u64 % 2, 10)));
    let mut all = Vec::new();
    for producer in producers.collect::<Vec<_>>() {
        all.extend(producer.await.unwrap());
    }
    for segment in 0..2 {
        let mut sequences: Vec<_> = all.iter().filter(|(_, stored)| stored.segment == segment).collect();
        sequences.sort_by_key(|(_, stored)| stored.sequence);
        let sequences: Vec<_> = sequences.iter().map(|(_, stored)| stored.sequence).collect();
        assert!(
            sequences.iter().copied().eq(1..=sequences.len() as u64),
            "{sequences:?}"
        );
    }
    // A new host finds the same as those that were there.
    let late = host(medium);
    for host in hosts.iter().chain([&late]) {
        host.look(PATIENCE).await.unwrap();
        for (entry, stored) in &all {
            assert_eq!(ask(host, entry).await, Ok(*stored), "asked for again");
        }
        host.leave().await;
        let closed = host.ask(all[0].0.clone(), PATIENCE).await;
        assert!(matches!(
            closed,
            Outcome::NotStored(Why::Closed) | Outcome::Unknown(_, Why::Closed)
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_found_out_and_a_host_that_is_dropped_leaves_its_place_to_others() {
    let through = Proxied::with_deadline(Duration::from_millis(500)).await;
    let store = StoreId(Uuid::new_v4());
    let cut = host(Arc::new(AzureMedium::new(through.account.clone(), store)));
    let steady = host(Arc::new(AzureMedium::new(through.direct.clone(), store)));
    let first = entry(1, None);
    assert_eq!(ask(&cut, &first).await.map(|stored| stored.sequence), Ok(1));
    let fates = [
        Fate::LoseAnswer,
        Fate::LoseRequest,
        Fate::Twice,
        Fate::CutAnswer(20),
        Fate::Silence,
    ];
    for (sequence, fate) in (2..).zip(fates) {
        through.tables.next([fate]);
        let entry = entry(1, Some(sequence));
        let stored = ask(&cut, &entry).await.unwrap();
        assert_eq!(stored.sequence, sequence, "once, whatever became of the answer");
        assert_eq!(ask(&steady, &entry).await, Ok(stored));
    }
    let given_up = tokio::time::timeout(Duration::ZERO, cut.ask(entry(1, None), PATIENCE)).await;
    assert!(given_up.is_err());
    drop(cut);
    let head = steady.look(PATIENCE).await.map(|()| steady.place().borrow().is_some());
    assert_eq!(head, Ok(true));
    let mut others = produce(steady.clone(), 1, 3).await;
    assert!(others.remove(0).1.sequence >= 7);
    steady.leave().await;
}

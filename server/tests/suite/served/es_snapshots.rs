//! Snapshots of aggregates: they save reading, and never decide what the state is.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamkit_client::es::*;
use streamkit_client::*;

use super::client::client;
use super::es::{Account, Moved, accounts, deposits, snapped};
use crate::fixture::{Host, Via, over_both};

const BESIDE: &str = "accounts.snapshots";

/// How many events a load lets happen one by one, and up to which one.
async fn applied(repository: &Repository<Account>) -> (usize, u64) {
    let loaded = repository.load("a").await.unwrap();
    assert_eq!(loaded.state().log.len() as u64, loaded.sequence());
    (loaded.state().applied, loaded.sequence())
}

async fn heads(store: &StoreClient) -> (u64, u64) {
    let head = async |space| store.peek(space, "a").await.unwrap().map_or(0, |entry| entry.sequence);
    (head("accounts").await, head(BESIDE).await)
}

async fn a_snapshot_is_written_every_so_many_events_and_saves_reading_them(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = snapped(&store, 5);
    let mut account = repository.load("a").await.unwrap();
    let mut written = Vec::new();
    // The last one passes two marks, for which one snapshot is enough.
    for count in [1, 3, 1, 4, 1, 2, 13] {
        let saved = repository.save(&mut account, &deposits(0..count)).await.unwrap();
        if let Some(snapshot) = saved.snapshot {
            snapshot.unwrap();
            written.push(saved.sequence);
        }
    }
    assert_eq!(written, [5, 10, 25]);
    assert_eq!(heads(&store).await, (25, 3));
    assert_eq!(applied(&repository).await, (0, 25));
    repository.append("a", 25, &deposits([1, 2])).await.unwrap();
    assert_eq!(applied(&repository).await, (2, 27));
    assert_eq!(applied(&accounts(&store)).await, (27, 27));
    // Whoever reads the events meets no snapshot.
    assert_eq!(store.segments("accounts").await.unwrap(), ["a"]);
    host.stop().await;
}

async fn what_is_no_snapshot_of_these_events_is_not_used(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = snapped(&store, 4);
    let mut account = repository.load("a").await.unwrap();
    repository.save(&mut account, &deposits(0..4)).await.unwrap();
    repository.append("a", 4, &deposits([4])).await.unwrap();
    assert_eq!(applied(&repository).await, (1, 5));
    let good = store.peek(BESIDE, "a").await.unwrap().unwrap().payload;
    let with = |member: &str, value: Value| {
        let mut snapshot: Value = serde_json::from_slice(&good).unwrap();
        assert_ne!(snapshot[member], value);
        snapshot[member] = value;
        snapshot.to_string().into_bytes()
    };
    let mut flipped = good.to_vec();
    flipped[good.len() / 2] ^= 0x80;
    for bad in [
        Vec::new(),
        b"null".to_vec(),
        flipped,
        good[..good.len() - 1].to_vec(),
        with("$type", json!("streamkit://es/v2/snapshot")),
        with("version", json!(1)),
        with("version", json!(3)),
        with("version", json!(null)),
        with("state", json!({"cents": "0"})),
        // Of the events, but not up to there.
        with("sequence", json!(3)),
        with("sequence", json!(5)),
        with("sequence", json!(6)),
        with("sequence", json!(7)),
        with("sequence", json!(0)),
        with("sequence", json!(-4)),
        with("sequence", json!(u64::MAX)),
        with("event_id", json!("00000000-0000-0000-0000-000000000000")),
        with("event_id", json!("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")),
    ] {
        let text = String::from_utf8_lossy(&bad).into_owned();
        store.publish(BESIDE, "a", NewRecord::new(bad)).await.unwrap();
        assert_eq!(applied(&repository).await, (5, 5), "{text}");
    }
    // The next one is used again.
    account = repository.load("a").await.unwrap();
    repository.save(&mut account, &deposits(5..8)).await.unwrap();
    assert_eq!(applied(&repository).await, (0, 8));
    host.stop().await;
}

async fn a_snapshot_of_a_history_that_was_begun_anew_is_not_used(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = snapped(&store, 4);
    let mut account = repository.load("a").await.unwrap();
    repository.save(&mut account, &deposits(0..6)).await.unwrap();
    store.delete("accounts", "a").await.unwrap();
    assert_eq!(applied(&repository).await, (0, 0));
    // As far as the snapshot goes, and further.
    for head in [6, 12] {
        repository.append("a", head - 6, &deposits(10..16)).await.unwrap();
        assert_eq!(applied(&repository).await, (head as usize, head));
    }
    // What somebody still holds is brought up to date as a whole.
    repository.refresh(&mut account).await.unwrap();
    assert_eq!(account, accounts(&store).load("a").await.unwrap());
    let lost = repository.save(&mut account.clone(), &[Moved::Closed]).await;
    assert!(lost.is_ok(), "{lost:?}");
    host.stop().await;
}

async fn a_trimmed_history_is_loaded_from_a_snapshot_that_stands_for_all_that_is_gone(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let repository = snapped(&store, 4);
    let mut account = repository.load("a").await.unwrap();
    repository.save(&mut account, &deposits(0..4)).await.unwrap();
    repository.append("a", 4, &deposits(4..9)).await.unwrap();
    for (first, fits) in [(2, true), (4, true), (5, true), (6, false), (9, false)] {
        store.trim("accounts", "a", first).await.unwrap();
        let loaded = repository.load("a").await;
        match loaded {
            Ok(loaded) => {
                assert!(fits, "{first}");
                assert_eq!((loaded.sequence(), loaded.state().cents), (9, 36));
            }
            Err(LoadError::Trimmed { first: found, .. }) => assert!(!fits && found == first, "{first}"),
            Err(error) => panic!("{first}: {error}"),
        }
        let without = accounts(&store).load("a").await;
        assert!(
            matches!(without, Err(LoadError::Trimmed { first: found, .. }) if found == first),
            "{without:?}"
        );
    }
    // Neither is what somebody still holds taken for more than it is.
    let stale = repository.refresh(&mut account).await;
    assert!(matches!(stale, Err(LoadError::Trimmed { first: 9, .. })), "{stale:?}");
    assert_eq!(account.sequence(), 4);
    host.stop().await;
}

/// Its state grows beyond what a record can have.
#[derive(Default, Serialize, Deserialize)]
struct Hoard {
    bytes: String,
}

impl Aggregate for Hoard {
    type Event = Moved;

    fn apply(&mut self, _: Moved) {
        self.bytes += &"x".repeat(3 << 20);
    }
}

impl Snapshot for Hoard {
    const VERSION: u32 = 1;
}

async fn a_snapshot_that_cannot_be_written_fails_no_save(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let every = std::num::NonZeroU64::MIN;
    let repository = Repository::<Hoard>::new(store.clone(), "hoards").unwrap();
    let repository = repository.snapshots(every).unwrap();
    let mut hoard = repository.load("a").await.unwrap();
    for sequence in 1..=3 {
        let saved = repository.save(&mut hoard, &[Moved::Closed]).await.unwrap();
        assert_eq!(saved.sequence, sequence);
        assert_eq!(saved.snapshot.unwrap().is_ok(), sequence == 1);
    }
    let loaded = repository.load("a").await.unwrap();
    assert_eq!((loaded.sequence(), loaded.state().bytes.len()), (3, 9 << 20));
    assert!(
        repository
            .update("a", |_| Ok::<_, String>(vec![Moved::Closed]))
            .await
            .is_ok()
    );
    host.stop().await;
}

over_both! {
    a_snapshot_is_written_every_so_many_events_and_saves_reading_them
    what_is_no_snapshot_of_these_events_is_not_used
    a_snapshot_of_a_history_that_was_begun_anew_is_not_used
    a_trimmed_history_is_loaded_from_a_snapshot_that_stands_for_all_that_is_gone
    a_snapshot_that_cannot_be_written_fails_no_save
}

//! A follow under load whose connection is cut again and again, at whatever byte is on its way.
//!
//! `STREAMKIT_CUTS=10000` cuts more often than by default.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use rand::RngExt as _;
use streamkit_client::record::{Entry, LogCursor, Name, Record, SegmentPath, Wanted};
use streamkit_client::{Append, Follow, Followed, RetryPolicy, StoreClient};

use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, token};

const CUTS: u64 = 25;

const SEGMENTS: u64 = 7;

/// What came so far.
#[derive(Default)]
struct Came {
    heads: BTreeMap<SegmentPath, u64>,
    entries: u64,
}

impl Came {
    fn take(&mut self, entries: &[Entry]) {
        for entry in entries {
            let head = self.heads.entry(entry.path.clone()).or_default();
            assert_eq!(entry.sequence.0, *head + 1, "{:?}", entry.path);
            *head = entry.sequence.0;
            self.entries += 1;
        }
    }
}

/// Appends to one segment after the other until it is over; how many entries that were.
async fn produce(store: StoreClient, is_over: Arc<AtomicBool>) -> u64 {
    let mut entries = 0;
    while !is_over.load(Ordering::Relaxed) {
        let path = SegmentPath::new("s", &(entries % SEGMENTS).to_string()).unwrap();
        let count = entries % 4 + 1;
        let records = vec![Record::new(vec![7; 3_000]); count as usize];
        store.append(Append::behind(path, records)).await.unwrap();
        entries += count;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_under_load_misses_and_repeats_nothing_however_often_it_is_cut() {
    let cuts = std::env::var("STREAMKIT_CUTS").map_or(CUTS, |cuts| cuts.parse().unwrap());
    let host = Host::via(Via::Sockets).await;
    let relay = Arc::new(Relay::start(&host).await);
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let client = client.retry(RetryPolicy::AGGRESSIVE).build();
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = host.client().build().store(host.store);
    let mut producing = tokio::spawn(produce(writer, is_over.clone()));
    let told = Arc::new(AtomicU64::new(0));
    let cutting = tokio::spawn({
        let (relay, told, is_over) = (relay.clone(), told.clone(), is_over.clone());
        async move {
            for _ in 0..cuts {
                // Each connection comes to something, if only just.
                let before = told.load(Ordering::Relaxed);
                while told.load(Ordering::Relaxed) == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let soon = rand::rng().random_range(0..20);
                tokio::time::sleep(Duration::from_millis(soon)).await;
                relay.cut();
            }
            is_over.store(true, Ordering::Relaxed);
        }
    });
    let parts = vec![Wanted::Space(Name::new("s").unwrap())];
    let mut follow = client
        .store(host.store)
        .follow(Follow::new(parts, LogCursor::default()));
    let (mut came, mut all) = (Came::default(), None);
    while all.is_none_or(|all| came.entries < all) {
        tokio::select! {
            produced = &mut producing, if all.is_none() => all = Some(produced.unwrap()),
            next = tokio::time::timeout(PATIENCE, follow.next()) => {
                if let Followed::Batch(entries, _) = next.unwrap().unwrap().unwrap() {
                    came.take(&entries);
                    told.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
    cutting.await.unwrap();
    assert_eq!(Some(came.entries), all);
    println!("{cuts} cuts, {} entries, each once", came.entries);
    client.close().await;
    host.stop().await;
}

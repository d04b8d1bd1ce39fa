//! The data sets that the Go suites run on: many spaces, many segments, many producers at once.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use streamkit_client::*;

use super::client::{client, records};
use crate::fixture::{Host, Via, over_both};

const SPACES: [&str; 5] = ["space0", "space1", "space2", "space3", "space4"];
const SEGMENTS: [&str; 5] = ["segment0", "segment1", "segment2", "segment3", "segment4"];

async fn fifty_records_of_8_kib_come_back(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let payload = |n: usize| vec![n as u8; 8 << 10];
    let all = (0..50).map(|n| NewRecord::new(payload(n)));
    store.produce_all("s", "a", 1, all).await.unwrap();
    let read = store.consume_segment(ConsumeSegment::all("s", "a"));
    let entries: Vec<Entry> = read.try_collect().await.unwrap();
    assert_eq!(entries.len(), 50);
    assert!(entries.iter().enumerate().all(|(n, entry)| entry.payload == payload(n)));
}

async fn five_spaces_of_five_segments_are_listed_in_order_and_read_whole(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let fill = SPACES
        .iter()
        .flat_map(|space| SEGMENTS.iter().map(move |segment| (space, segment)));
    let filled = join_all(fill.map(|(space, segment)| store.produce_all(space, segment, 1, records(253)))).await;
    assert!(filled.iter().all(|done| done.as_ref().unwrap().last_sequence == 253));
    assert_eq!(store.spaces().await.unwrap(), SPACES);
    assert_eq!(store.segments("space3").await.unwrap(), SEGMENTS);
    let last = store.peek("space0", "segment0").await.unwrap().unwrap();
    assert_eq!(
        (last.sequence, last.space.as_str(), last.segment.as_str()),
        (253, "space0", "segment0")
    );
    let tail = store.consume_segment(ConsumeSegment::all("space0", "segment0").from(233));
    assert_eq!(tail.try_collect::<Vec<Entry>>().await.unwrap().len(), 21);
    let space = store.consume_space(ConsumeSpace::all("space0"));
    assert_eq!(space.try_collect::<Vec<Entry>>().await.unwrap().len(), 5 * 253);
    let all = store.consume(Consume::all(SPACES));
    let all: Vec<Entry> = all.try_collect().await.unwrap();
    assert_eq!(all.len(), 25 * 253);
    assert!(all.is_sorted_by_key(|entry| entry.timestamp));
}

async fn a_limit_is_exact_none_means_all_and_it_counts_over_all_spaces(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    for space in SPACES {
        store.produce_all(space, "a", 1, records(10)).await.unwrap();
    }
    for (limit, expected) in [(3, 3), (0, 10), (u64::MAX, 10)] {
        let segment = ConsumeSegment {
            limit,
            ..ConsumeSegment::all("space0", "a")
        };
        let space = ConsumeSpace {
            limit,
            ..ConsumeSpace::all("space0")
        };
        let read: Vec<Entry> = store.consume_segment(segment).try_collect().await.unwrap();
        assert_eq!(read.len(), expected);
        let read: Vec<Entry> = store.consume_space(space).try_collect().await.unwrap();
        assert_eq!(read.len(), expected);
    }
    let global = Consume {
        limit: 13,
        ..Consume::all(SPACES)
    };
    let read: Vec<Entry> = store.consume(global).try_collect().await.unwrap();
    assert_eq!(read.len(), 13);
}

async fn of_much_produced_in_parallel_every_entry_is_read_exactly_once(via: Via) {
    const EACH: u64 = 3000;
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let producers = SEGMENTS[..4].iter().map(async |segment| {
        for first in (1..=EACH).step_by(250) {
            store.produce_all("s", segment, first, records(250)).await.unwrap();
        }
    });
    join_all(producers).await;
    let mut seen = HashSet::new();
    let mut entries = store.consume(Consume::all(["s"]));
    while let Some(entry) = entries.try_next().await.unwrap() {
        assert!(seen.insert((entry.segment, entry.sequence)));
    }
    assert_eq!(seen.len() as u64, 4 * EACH);
    for segment in &SEGMENTS[..4] {
        assert_eq!(store.peek("s", segment).await.unwrap().unwrap().sequence, EACH);
    }
}

async fn four_producers_of_the_same_25_sequences_leave_25_entries(via: Via) {
    let host = Host::via(via).await;
    let clients: Vec<Client> = (0..4).map(|_| client(&host)).collect();
    let won = AtomicU32::new(0);
    let racers =
        clients.iter().map(
            async |client| match client.store(host.store).produce_all("s", "a", 1, records(25)).await {
                Ok(status) => {
                    assert_eq!(status.last_sequence, 25);
                    won.fetch_add(1, Ordering::Relaxed);
                }
                Err(Error::Conflict { head, .. }) => assert_eq!(head, 25),
                Err(error) => panic!("{error}"),
            },
        );
    join_all(racers).await;
    assert_eq!(won.load(Ordering::Relaxed), 1);
    let read = clients[0]
        .store(host.store)
        .consume_segment(ConsumeSegment::all("s", "a"));
    let read: Vec<u64> = read.map_ok(|entry| entry.sequence).try_collect().await.unwrap();
    assert_eq!(read, (1..=25).collect::<Vec<u64>>());
}

async fn what_one_client_publishes_at_once_is_stored_one_after_the_other(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let publishes = (0..60).map(|n| {
        let segment = SEGMENTS[n % 3];
        let record = NewRecord::new(n.to_string()).with("n", n.to_string());
        let store = store.clone();
        async move { store.publish("s", segment, record).await.unwrap().last_sequence }
    });
    join_all(publishes).await;
    let mut found = BTreeMap::<String, Vec<u64>>::new();
    let mut entries = store.consume_space(ConsumeSpace::all("s"));
    while let Some(entry) = entries.try_next().await.unwrap() {
        assert_eq!(entry.metadata["n"].as_bytes(), entry.payload);
        found.entry(entry.segment).or_default().push(entry.sequence);
    }
    assert!(
        found.values().all(|sequences| sequences.iter().copied().eq(1..=20)),
        "{found:?}"
    );
}

over_both! {
    fifty_records_of_8_kib_come_back
    five_spaces_of_five_segments_are_listed_in_order_and_read_whole
    a_limit_is_exact_none_means_all_and_it_counts_over_all_spaces
    of_much_produced_in_parallel_every_entry_is_read_exactly_once
    four_producers_of_the_same_25_sequences_leave_25_entries
    what_one_client_publishes_at_once_is_stored_one_after_the_other
}

//! Consumers slower than the link: nobody else waits for them, and they miss and repeat nothing.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::*;

use crate::fixture::{Host, Via, over_both};
use crate::served::client::{client as quick, records};

const SEGMENTS: [&str; 3] = ["a", "b", "c"];

/// Entries of each segment: 45 MB of payload in all, 60 MB of messages.
const EACH: u64 = 1500;

/// A client whose calls soon give up.
fn client(host: &Host) -> Client {
    host.client().timeout(Duration::from_secs(10)).build()
}

/// Fills two spaces, three segments each, in small transactions at the same time: many share a millisecond.
async fn fill(store: &StoreClient) {
    let fills = ["s", "t"].into_iter().flat_map(|space| {
        SEGMENTS.map(|segment| async move {
            for first in (1..=EACH / 2).step_by(50) {
                let big = NewRecord::new(vec![b'x'; 10_000]);
                store.produce_all(space, segment, first, vec![big; 50]).await.unwrap();
            }
        })
    });
    join_all(fills).await;
}

/// Counts what a read returns, per segment in order without gap or repeat; does `meanwhile` after every 100 entries.
async fn read_all(mut entries: Entries, mut meanwhile: impl AsyncFnMut()) -> HashMap<(String, String), u64> {
    let mut heads = HashMap::new();
    let mut count = 0;
    while let Some(entry) = entries.try_next().await.unwrap() {
        let head = heads.entry((entry.space, entry.segment)).or_insert(0);
        assert_eq!(entry.sequence, *head + 1);
        *head += 1;
        count += 1;
        if count % 100 == 0 {
            meanwhile().await;
        }
    }
    heads
}

async fn a_consumer_may_publish_over_the_connection_it_reads_from(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    fill(&store).await;
    let big = NewRecord::new(vec![b'x'; 10_000]);
    store.produce_all("s", "long", 1, vec![big; 4500]).await.unwrap();
    let publish = async || {
        store.publish("log", "read", NewRecord::new("100 more")).await.unwrap();
    };
    let segment = store.consume_segment(ConsumeSegment::all("s", "long"));
    let read = read_all(segment, publish).await;
    assert_eq!(read[&("s".to_owned(), "long".to_owned())], 4500);
    let space = read_all(store.consume_space(ConsumeSpace::all("s")), publish).await;
    assert_eq!(space.len(), 4);
    assert_eq!(space.values().sum::<u64>(), 4500 + EACH * 3 / 2);
    let spaces = read_all(store.consume(Consume::all(["s", "t"])), publish).await;
    assert_eq!(spaces.len(), 7);
    assert_eq!(spaces.values().sum::<u64>(), 4500 + EACH * 3);
}

async fn a_read_ends_though_its_consumer_appends_to_what_it_reads(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let big = NewRecord::new(vec![b'x'; 100_000]);
    store.produce_all("s", "a", 1, vec![big.clone(); 400]).await.unwrap();
    let mut entries = store.consume_segment(ConsumeSegment::all("s", "a"));
    let mut last = 0;
    while let Some(entry) = entries.try_next().await.unwrap() {
        assert_eq!(entry.sequence, last + 1);
        last = entry.sequence;
        store.publish("s", "a", big.clone()).await.unwrap();
        assert!(last < 1200, "it reads what it appends");
    }
    assert!(last >= 400);
}

async fn a_paused_consumer_holds_up_nobody_and_then_reads_the_rest(via: Via) {
    let host = Host::via(via).await;
    let client = client(&host);
    let store = client.store(host.store);
    fill(&store).await;
    let limited = Consume {
        limit: 4000,
        ..Consume::all(["s", "t"])
    };
    let mut paused = [
        store.consume_space(ConsumeSpace::all("s")),
        store.consume(Consume::all(["s", "t"])),
        store.consume(limited),
    ];
    for entries in &mut paused {
        entries.next().await.unwrap().unwrap();
    }
    for n in 1..=200 {
        let status = store.publish("u", "a", NewRecord::new("x")).await.unwrap();
        assert_eq!(status.last_sequence, n);
    }
    assert_eq!(store.spaces().await.unwrap(), ["s", "t", "u"]);
    let [space, spaces, limited] = paused;
    assert_eq!(
        space.try_collect::<Vec<_>>().await.unwrap().len() as u64,
        EACH * 3 / 2 - 1
    );
    assert_eq!(spaces.try_collect::<Vec<_>>().await.unwrap().len() as u64, EACH * 3 - 1);
    assert_eq!(limited.try_collect::<Vec<_>>().await.unwrap().len(), 3999);
}

async fn dropping_a_stream_ends_it_on_the_server_and_the_connection_goes_on(via: Via) {
    let host = Host::via(via).await;
    let store = quick(&host).store(host.store);
    let big = NewRecord::new(vec![b'x'; 10_000]);
    store.produce_all("s", "a", 1, vec![big; 4000]).await.unwrap();
    for _ in 0..20 {
        let mut entries = store.consume_segment(ConsumeSegment::all("s", "a"));
        entries.next().await.unwrap().unwrap();
    }
    assert_eq!(store.peek("s", "a").await.unwrap().unwrap().sequence, 4000);
}

async fn a_slow_read_of_what_is_removed_meanwhile_says_so_and_where_to_go_on(via: Via) {
    let host = Host::via(via).await;
    let store = quick(&host).store(host.store);
    let big = NewRecord::new(vec![b'x'; 100_000]);
    let segments = match via.protocol() {
        Protocol::V1 => &["trimmed", "deleted", "anew"][..],
        // What was there when a read began is read, though it is trimmed meanwhile.
        Protocol::V2 => &["deleted", "anew"],
    };
    for &segment in segments {
        // More than a client keeps of what was sent ahead, in transactions that are smaller than that.
        for first in (1..=400).step_by(10) {
            let records = vec![big.clone(); 10];
            store.produce_all("s", segment, first, records).await.unwrap();
        }
        let mut entries = store.consume_segment(ConsumeSegment::all("s", segment));
        entries.try_next().await.unwrap().unwrap();
        // Over the same connection: what was asked for before is on its way.
        for _ in 0..20 {
            store.publish("log", segment, NewRecord::new("x")).await.unwrap();
        }
        let expected = match segment {
            "trimmed" => {
                store.trim("s", segment, 399).await.unwrap();
                399
            }
            "deleted" => {
                store.delete("s", segment).await.unwrap();
                0
            }
            _ => {
                store.delete("s", segment).await.unwrap();
                store.produce_all("s", segment, 1, records(500)).await.unwrap();
                1
            }
        };
        let mut last = 1;
        let error = loop {
            match entries.try_next().await {
                Ok(Some(entry)) if entry.sequence == last + 1 => last = entry.sequence,
                Ok(other) => panic!("{segment}: {other:?} came after {last}"),
                Err(error) => break error,
            }
        };
        match &error {
            Error::Removed { sequence, next, .. } => assert_eq!((*sequence, *next), (last + 1, expected), "{segment}"),
            _ => panic!("{segment}: {error}"),
        }
        assert!(!error.is_transient());
    }
}

async fn a_slow_read_of_a_space_tells_what_was_trimmed_from_what_is_missing(via: Via) {
    let host = Host::via(via).await;
    let store = quick(&host).store(host.store);
    let big = NewRecord::new(vec![b'x'; 100_000]);
    store.produce_all("s", "a", 1, vec![big; 400]).await.unwrap();
    let mut entries = store.consume_space(ConsumeSpace::all("s"));
    entries.try_next().await.unwrap().unwrap();
    store.trim("s", "a", 399).await.unwrap();
    let error = entries.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&error, Error::Removed { next: 399, .. }), "{error}");
}

over_both! {
    a_consumer_may_publish_over_the_connection_it_reads_from
    a_read_ends_though_its_consumer_appends_to_what_it_reads
    a_paused_consumer_holds_up_nobody_and_then_reads_the_rest
    dropping_a_stream_ends_it_on_the_server_and_the_connection_goes_on
    a_slow_read_of_what_is_removed_meanwhile_says_so_and_where_to_go_on
    a_slow_read_of_a_space_tells_what_was_trimmed_from_what_is_missing
}

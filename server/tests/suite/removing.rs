//! Trim and delete over the wire, and publishes that meet other producers.

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use streamkit_client::*;

use crate::client::{client, records};
use crate::peer::{Host, STORE, token};
use crate::via::{Via, over_both};

async fn trimmed_entries_are_gone_and_the_last_one_stays(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(STORE);
    store.produce_all("s", "a", 1, records(10)).await.unwrap();
    let left = store.trim("s", "a", 8).await.unwrap();
    assert_eq!((left.first_sequence, left.last_sequence), (8, 10));
    let again = store.trim("s", "a", 3).await.unwrap();
    assert_eq!(again.first_sequence, 8);
    let entries: Vec<Entry> = store.consume_space(ConsumeSpace::all("s")).try_collect().await.unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(),
        [8, 9, 10]
    );
    for (segment, first) in [("a", 11), ("b", 1)] {
        let refused = store.trim("s", segment, first).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Refused(why) if why.contains("holds no such sequence")),
            "{refused}"
        );
    }
}

async fn a_deleted_segment_is_gone_and_begins_anew(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(STORE);
    for segment in ["a", "ab"] {
        store.produce_all("s", segment, 1, records(3)).await.unwrap();
    }
    store.delete("s", "a").await.unwrap();
    assert_eq!(store.segments("s").await.unwrap(), ["ab"]);
    assert!(store.peek("s", "a").await.unwrap().is_none());
    let again = store.delete("s", "a").await.unwrap_err();
    assert!(
        matches!(&again, Error::Refused(why) if why.ends_with("s/a: no such segment")),
        "{again}"
    );
    let status = store.publish("s", "a", NewRecord::new("new")).await.unwrap();
    assert_eq!((status.first_sequence, status.last_sequence), (1, 1));
}

async fn a_slow_read_of_what_is_removed_meanwhile_says_so_and_where_to_go_on(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(STORE);
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
    let store = client(&host).store(STORE);
    let big = NewRecord::new(vec![b'x'; 100_000]);
    store.produce_all("s", "a", 1, vec![big; 400]).await.unwrap();
    let mut entries = store.consume_space(ConsumeSpace::all("s"));
    entries.try_next().await.unwrap().unwrap();
    store.trim("s", "a", 399).await.unwrap();
    let error = entries.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&error, Error::Removed { next: 399, .. }), "{error}");
}

async fn who_may_only_read_removes_nothing(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(STORE);
    store.produce_all("s", "a", 1, records(3)).await.unwrap();
    let reader = host.client().token(token(&["streamkit::*:read"])).build();
    let reader = reader.store(STORE);
    assert!(matches!(reader.trim("s", "a", 2).await, Err(Error::AccessDenied)));
    assert!(matches!(reader.delete("s", "a").await, Err(Error::AccessDenied)));
    assert_eq!(store.status("s", "a").await.unwrap().entry_count, 3);
}

async fn clients_that_publish_to_one_segment_all_get_their_turn(via: Via) {
    let host = Host::via(via).await;
    let clients: Vec<Client> = (0..8).map(|_| client(&host)).collect();
    let publishes = clients.iter().enumerate().map(async |(n, client)| {
        let store = client.store(STORE);
        for event in 0..20 {
            let record = NewRecord::new(format!("{n}/{event}"));
            store.publish("s", "order-1", record).await.unwrap();
        }
    });
    join_all(publishes).await;
    let status = clients[0].store(STORE).status("s", "order-1").await.unwrap();
    assert_eq!(status.entry_count, 160);
}

over_both! {
    trimmed_entries_are_gone_and_the_last_one_stays
    a_deleted_segment_is_gone_and_begins_anew
    a_slow_read_of_what_is_removed_meanwhile_says_so_and_where_to_go_on
    a_slow_read_of_a_space_tells_what_was_trimmed_from_what_is_missing
    who_may_only_read_removes_nothing
    clients_that_publish_to_one_segment_all_get_their_turn
}

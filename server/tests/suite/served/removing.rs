//! Trim and delete over the wire, and publishes that meet other producers.

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use streamkit_client::*;

use super::client::{client, records};
use crate::fixture::{Host, Via, over_both, token};

async fn trimmed_entries_are_gone_and_the_last_one_stays(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
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
    let store = client(&host).store(host.store);
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

async fn who_may_only_read_removes_nothing(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    store.produce_all("s", "a", 1, records(3)).await.unwrap();
    let reader = host.client().token(token(&["streamkit::*:read"])).build();
    let reader = reader.store(host.store);
    assert!(matches!(reader.trim("s", "a", 2).await, Err(Error::AccessDenied)));
    assert!(matches!(reader.delete("s", "a").await, Err(Error::AccessDenied)));
    assert_eq!(store.status("s", "a").await.unwrap().entry_count, 3);
}

async fn clients_that_publish_to_one_segment_all_get_their_turn(via: Via) {
    let host = Host::via(via).await;
    let clients: Vec<Client> = (0..8).map(|_| client(&host)).collect();
    let publishes = clients.iter().enumerate().map(async |(n, client)| {
        let store = client.store(host.store);
        for event in 0..20 {
            let record = NewRecord::new(format!("{n}/{event}"));
            store.publish("s", "order-1", record).await.unwrap();
        }
    });
    join_all(publishes).await;
    let status = clients[0].store(host.store).status("s", "order-1").await.unwrap();
    assert_eq!(status.entry_count, 160);
}

over_both! {
    trimmed_entries_are_gone_and_the_last_one_stays
    a_deleted_segment_is_gone_and_begins_anew
    who_may_only_read_removes_nothing
    clients_that_publish_to_one_segment_all_get_their_turn
}

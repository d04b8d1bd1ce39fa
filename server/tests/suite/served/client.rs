//! The client against the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::*;

use crate::fixture::{Host, Via, over_both, token};

pub fn client(host: &Host) -> Client {
    host.client().retry(RetryPolicy::AGGRESSIVE).build()
}

pub fn records(count: usize) -> Vec<NewRecord> {
    (0..count)
        .map(|n| NewRecord::new(n.to_string()).with("n", n.to_string()))
        .collect()
}

async fn what_is_produced_comes_back_with_payload_and_metadata(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let status = store.produce_all("s", "a", 1, records(25_000)).await.unwrap();
    assert_eq!((status.first_sequence, status.last_sequence), (1, 25_000));
    let entries: Vec<Entry> = store
        .consume_segment(ConsumeSegment::all("s", "a"))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(entries.len(), 25_000);
    for (n, entry) in entries.iter().enumerate() {
        assert_eq!(entry.payload, n.to_string());
        assert_eq!(entry.metadata["n"], n.to_string());
    }
    assert_eq!(store.peek("s", "a").await.unwrap().unwrap(), entries[24_999]);
    assert_eq!(store.spaces().await.unwrap(), ["s"]);
    assert_eq!(store.segments("s").await.unwrap(), ["a"]);
    assert_eq!(store.status("", "").await.unwrap().entry_count, 25_000);
}

async fn losers_of_a_race_are_told_the_head_and_each_sequence_has_one_winner(via: Via) {
    let host = Host::via(via).await;
    let clients = [client(&host), client(&host)];
    let won = Arc::new(AtomicU32::new(0));
    let tasks = (0..64).map(|n| {
        let (store, won) = (clients[n % 2].store(host.store), won.clone());
        tokio::spawn(async move {
            let mut next = 1;
            while next <= 50 {
                match store
                    .produce_all("s", "order-1", next, [NewRecord::new(format!("{n}"))])
                    .await
                {
                    Ok(status) => {
                        assert_eq!(status.last_sequence, next);
                        won.fetch_add(1, Ordering::Relaxed);
                        next += 1;
                    }
                    Err(Error::Conflict { head, got }) => {
                        assert_eq!(got, next);
                        assert!(head >= next, "told {head} for {next}");
                        next = head + 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    futures_util::future::join_all(tasks)
        .await
        .into_iter()
        .for_each(|done| done.unwrap());
    assert_eq!(won.load(Ordering::Relaxed), 50);
    let entries: Vec<Entry> = clients[0]
        .store(host.store)
        .consume_segment(ConsumeSegment::all("s", "order-1"))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(entries.len(), 50);
}

/// Over v2 it reads the rest by itself.
async fn a_lost_connection_ends_a_running_consume_with_an_error_and_the_rest_can_be_read_after_reconnecting(via: Via) {
    let host = Host::via(via).await;
    let reconnected = Arc::new(AtomicU32::new(0));
    let count = reconnected.clone();
    let client = host
        .client()
        .retry(RetryPolicy::AGGRESSIVE)
        .on_reconnected(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    let store = client.store(host.store);
    let big = NewRecord::new(vec![b'x'; 10_000]);
    store.produce_all("s", "a", 1, vec![big; 4000]).await.unwrap();
    let mut entries = store.consume_segment(ConsumeSegment::all("s", "a"));
    let mut last = entries.next().await.unwrap().unwrap();
    let host = host.restart().await;
    let mut error = None;
    while let Some(next) = entries.next().await {
        match next {
            Ok(entry) => {
                assert_eq!(entry.sequence, last.sequence + 1);
                last = entry;
            }
            Err(broken) => error = Some(broken),
        }
    }
    match error {
        Some(error) => assert!(error.is_transient() && last.sequence < 4000, "{error:?}"),
        None => assert!(
            via != Via::V1 && last.sequence == 4000,
            "a broken stream must not look like its end"
        ),
    }
    if via != Via::V1 {
        // As if it had not.
        last = store
            .consume_segment(ConsumeSegment::all("s", "a"))
            .try_next()
            .await
            .unwrap()
            .unwrap();
    }
    let rest: Vec<Entry> = store
        .consume_segment(ConsumeSegment::all("s", "a").from(last.sequence + 1))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rest.len() as u64, 4000 - last.sequence);
    let read = ConsumeSpace {
        after: last.offset(),
        ..ConsumeSpace::all("s")
    };
    let rest: Vec<Entry> = store.consume_space(read).try_collect().await.unwrap();
    assert_eq!(rest.len() as u64, 4000 - last.sequence);
    assert_eq!(reconnected.load(Ordering::Relaxed), 1);
    host.stop().await;
}

async fn a_fresh_token_is_asked_for_at_every_dial_and_a_refused_one_is_permanent(via: Via) {
    let host = Host::via(via).await;
    let asked = Arc::new(AtomicU32::new(0));
    let failed = Arc::new(AtomicU32::new(0));
    let (asking, failing) = (asked.clone(), failed.clone());
    let client = host
        .client()
        .token_source(move || {
            let first = asking.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                Ok(if first {
                    "expired".to_owned()
                } else {
                    token(&["streamkit::*"])
                })
            }
        })
        .on_dial_failed(move |_| {
            failing.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    assert!(matches!(client.connect().await, Err(Error::Unauthorized)));
    assert_eq!(client.store(host.store).peek("s", "a").await.unwrap(), None);
    assert_eq!((asked.load(Ordering::Relaxed), failed.load(Ordering::Relaxed)), (2, 1));
}

async fn a_dropped_producer_leaves_nothing_behind(via: Via) {
    let host = Host::via(via).await;
    let store = client(&host).store(host.store);
    let mut producer = store.produce("s", "a", 1).await.unwrap();
    // Enough for some to be sent.
    for record in vec![NewRecord::new(vec![b'x'; 10_000]); 50] {
        producer.send(&record).await.unwrap();
    }
    drop(producer);
    // The server deals with frames in their order: once it has answered, it has seen the end of the producer.
    store.produce_all("s", "b", 1, records(1)).await.unwrap();
    assert_eq!(store.peek("s", "a").await.unwrap(), None);
}

over_both! {
    what_is_produced_comes_back_with_payload_and_metadata
    losers_of_a_race_are_told_the_head_and_each_sequence_has_one_winner
    a_lost_connection_ends_a_running_consume_with_an_error_and_the_rest_can_be_read_after_reconnecting
    a_fresh_token_is_asked_for_at_every_dial_and_a_refused_one_is_permanent
    a_dropped_producer_leaves_nothing_behind
}

//! What calls under way come to when the link or the server fails under them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_client::*;

use super::client::records;
use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, over_both, token};

/// A connection that carries nothing any more, and that nobody closes, costs a few calls their time, not all that come.
#[tokio::test]
async fn a_connection_that_has_gone_silent_is_left() {
    let host = Host::start().await;
    let relay = Relay::start(&host).await;
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let client = client.timeout(Duration::from_millis(500)).build();
    let store = client.store(host.store);
    store.publish("s", "a", NewRecord::new("x")).await.unwrap();
    relay.stall();
    let mut silent = 0;
    while let Err(error) = store.spaces().await {
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        silent += 1;
        assert!(silent < 10, "it is not left");
    }
    assert!(silent > 0, "it was not silent");
    host.stop().await;
}

async fn calls_that_find_no_connection_share_one_dial(via: Via) {
    let host = Host::via(via).await;
    let asked = Arc::new(AtomicU32::new(0));
    let asking = asked.clone();
    let client = host
        .client()
        .token_source(move || {
            asking.fetch_add(1, Ordering::Relaxed);
            async { Ok(token(&["streamkit::*"])) }
        })
        .build();
    let store = client.store(host.store);
    let peeks = (0..50).map(|_| store.peek("s", "a"));
    let peeks = futures_util::future::join_all(peeks).await;
    assert!(peeks.into_iter().all(|peek| peek.unwrap().is_none()));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

async fn produces_under_a_stopping_server_end_and_keep_their_word(via: Via) {
    const PRODUCERS: u32 = 50;
    let host = Host::via(via).await;
    let client = host.client().retry(RetryPolicy::NEVER).build();
    let (stopped, at_work) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let producers = (0..PRODUCERS).map(|n| {
        let (store, stopped, at_work) = (client.store(host.store), stopped.clone(), at_work.clone());
        tokio::spawn(async move {
            let (segment, mut acknowledged) = (format!("seg-{n:02}"), 0);
            while !stopped.load(Ordering::Relaxed) {
                match store.produce_all("s", &segment, acknowledged + 1, records(3)).await {
                    Ok(status) => {
                        at_work.fetch_add(u32::from(acknowledged == 0), Ordering::Relaxed);
                        acknowledged = status.last_sequence;
                    }
                    Err(_) => break,
                }
            }
            (segment, acknowledged)
        })
    });
    let producers: Vec<_> = producers.collect();
    while at_work.load(Ordering::Relaxed) < PRODUCERS {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let host = tokio::time::timeout(PATIENCE, host.restart()).await.unwrap();
    stopped.store(true, Ordering::Relaxed);
    let store = super::client::client(&host).store(host.store);
    for producer in producers {
        let (segment, acknowledged) = tokio::time::timeout(PATIENCE, producer)
            .await
            .expect("a producer hangs")
            .unwrap();
        assert!(acknowledged > 0);
        let read = store.consume_segment(ConsumeSegment::all("s", &segment));
        let read: Vec<Entry> = read.try_collect().await.unwrap();
        assert!(
            read.len() as u64 >= acknowledged,
            "{segment}: {acknowledged} acknowledged"
        );
        assert_eq!(read.len() % 3, 0, "{segment}: half a chunk");
    }
}

over_both! {
    calls_that_find_no_connection_share_one_dial
    produces_under_a_stopping_server_end_and_keep_their_word
}

//! What a client counts, over both versions of the protocol and against a real server.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::*;

use super::relay::Relay;
use crate::fixture::{Host, PATIENCE, Via, over_both, token};

over_both! {
    calls_are_counted_by_kind_and_by_what_became_of_them
    a_lost_connection_counts_and_the_call_it_took_along
}

async fn until(client: &Client, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
    let counted = async {
        loop {
            let metrics = client.metrics();
            if is_so(&metrics) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap()
}

async fn calls_are_counted_by_kind_and_by_what_became_of_them(via: Via) {
    let host = Host::via(via).await;
    let client = host.client().build();
    let none = client.metrics();
    assert_eq!((none.bytes_sent, none.bytes_received, none.connections), (0, 0, 0));
    let store = client.store(host.store);
    let records = || [NewRecord::new("x"), NewRecord::new("y")];
    store.produce_all("s", "a", 1, records()).await.unwrap();
    let error = store.produce_all("s", "a", 1, records()).await.unwrap_err();
    assert!(matches!(error.class(), ErrorClass::Conflict { .. }), "{error}");
    let read: Vec<Entry> = store
        .consume_segment(ConsumeSegment::all("s", "a"))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), 2);
    store.spaces().await.unwrap();
    store.trim("s", "a", 2).await.unwrap();
    let error = store.trim("s", "none", 1).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
    let mut subscription = store.subscribe_space("s");
    subscription.next().await.unwrap().unwrap();
    assert_eq!(client.metrics().open_channels, 1);
    assert_eq!(client.metrics().of(CallKind::Subscribe).open(), 1);
    drop(subscription);
    let metrics = until(&client, |metrics| metrics.open_channels == 0).await;
    let calls = |kind| {
        let calls = metrics.of(kind);
        (calls.begun, calls.well, calls.failed.all(), calls.dropped)
    };
    assert_eq!(calls(CallKind::Append), (2, 1, 1, 0));
    assert_eq!(metrics.of(CallKind::Append).failed.conflict, 1);
    assert_eq!(calls(CallKind::Read), (1, 1, 0, 0));
    assert_eq!(calls(CallKind::Spaces), (1, 1, 0, 0));
    assert_eq!(calls(CallKind::Trim), (2, 1, 1, 0));
    assert_eq!(metrics.of(CallKind::Trim).failed.permanent, 1);
    assert_eq!(calls(CallKind::Subscribe), (1, 0, 0, 1));
    assert_eq!(calls(CallKind::Delete), (0, 0, 0, 0));
    for (kind, calls) in metrics.by_kind() {
        let latencies = calls.latencies;
        assert_eq!(latencies.counts.iter().sum::<u64>(), calls.well, "{}", kind.name());
        assert_eq!(latencies.sum.is_zero(), calls.well == 0, "{}", kind.name());
    }
    // A request and an answer of a handshake at least, and what was called.
    assert!(metrics.bytes_sent > 400 && metrics.bytes_received > 200, "{metrics:?}");
    assert_eq!(
        (metrics.connections, metrics.connections_lost, metrics.failed_dials),
        (1, 0, 0)
    );
    client.close().await;
    assert_eq!(client.metrics().connections_lost, 0);
    host.stop().await;
}

async fn a_lost_connection_counts_and_the_call_it_took_along(via: Via) {
    let host = Host::via(via).await;
    let relay = Relay::start(&host).await;
    let client = relay.client.clone().token(token(&["streamkit::*"]));
    let client = client.protocol(via.protocol()).build();
    let store = client.store(host.store);
    store.publish("s", "a", NewRecord::new("x")).await.unwrap();
    relay.stall();
    let deleting = tokio::spawn({
        let store = store.clone();
        async move { store.delete("s", "a").await }
    });
    until(&client, |metrics| metrics.of(CallKind::Delete).open() == 1).await;
    assert_eq!(client.metrics().connections_lost, 0);
    relay.cut();
    let error = deleting.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ConnectionLost(_)), "{error}");
    store.spaces().await.unwrap();
    let metrics = client.metrics();
    assert_eq!((metrics.connections, metrics.connections_lost), (2, 1));
    let calls = metrics.of(CallKind::Delete);
    assert_eq!((calls.begun, calls.well, calls.failed.transient), (1, 0, 1));
    assert_eq!((calls.failed.all(), metrics.open_channels), (1, 0));
    client.close().await;
    host.stop().await;
}

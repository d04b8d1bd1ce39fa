//! What a client counts of connections that do not come about, and of those that a server ends.

use std::time::Duration;

use streamkit_client::*;
use tokio::net::TcpListener;

use crate::peer::{Host, STORE};
use crate::via::Via;

#[tokio::test]
async fn each_failed_dial_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let retry = RetryPolicy {
        attempts: 3,
        first_pause: Duration::from_millis(1),
        ..RetryPolicy::DEFAULT
    };
    let client = Client::builder(url).token("x").retry(retry).build();
    assert!(client.connect().await.is_err());
    let metrics = client.metrics();
    assert_eq!(
        (metrics.failed_dials, metrics.connections, metrics.connections_lost),
        (3, 0, 0)
    );
    assert!(metrics.by_kind().all(|(_, calls)| calls.begun == 0));
}

/// A server that shuts down says so, and what it ends is not lost.
#[tokio::test]
async fn a_connection_that_the_server_ends_in_good_order_is_not_lost() {
    for via in [Via::Sockets, Via::V1] {
        let host = Host::via(via).await;
        let client = host.client().build();
        client.store(STORE).spaces().await.unwrap();
        let host = host.restart().await;
        client.store(STORE).spaces().await.unwrap();
        let metrics = client.metrics();
        assert_eq!((metrics.connections, metrics.connections_lost), (2, 0), "{via:?}");
        client.close().await;
        host.stop().await;
    }
}

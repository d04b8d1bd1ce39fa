//! Subscriptions of the client: what the server counts of them, and what a server that follows a script can make of them.

use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::*;
use streamkit_protocol::v2::{Call, CallError, Class, Code, Kind, put_status};
use tokio::sync::mpsc;

use crate::budgets::metric;
use crate::fixture::{Listener, Via, over_both};
use crate::peer::{Host, PATIENCE, STORE};
use crate::scripts_v2::{CREDIT, Peer, path};
use crate::served::subscriptions::{publish, until};

async fn whoever_drops_or_ends_it_is_followed_for_no_longer(via: Via) {
    let host = Host::via(via).await;
    let client = host.client().build();
    let store = client.store(STORE);
    publish(&store, "a").await;
    let mut stream = store.subscribe_space("s");
    until(&mut stream, "a", 1).await;
    let (sender, mut handled) = mpsc::unbounded_channel();
    let run = || {
        let sender = sender.clone();
        store.subscribe_space("s").run(move |status| {
            let sent = sender.send(status.last_sequence);
            async move { sent.unwrap() }
        })
    };
    let (dropped, ended) = (run(), run());
    for _ in 0..2 {
        handled.recv().await.unwrap();
    }
    assert_eq!(metric(&host, "streamkit_subscriptions").await, 3);
    drop((stream, dropped));
    ended.unsubscribe();
    ended.ended().await.unwrap();
    while metric(&host, "streamkit_subscriptions").await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    publish(&store, "a").await;
    assert!(handled.is_empty());
    host.stop().await;
}

over_both! {
    whoever_drops_or_ends_it_is_followed_for_no_longer
}

impl Peer {
    /// A status of the segment with so many entries, or a heartbeat.
    async fn tells_status(&mut self, channel: u32, last: Option<u64>) {
        let mut body = Vec::new();
        if let Some(last) = last {
            put_status(
                &mut body,
                &record::SegmentStatus {
                    path: path(),
                    first_sequence: record::Sequence(1),
                    first_timestamp: record::Timestamp(5),
                    last_sequence: record::Sequence(last),
                    last_timestamp: record::Timestamp(5),
                },
            );
        }
        self.says(channel, Kind::Data, &body).await;
    }

    async fn subscribe(&mut self) -> u32 {
        match self.call().await {
            Some((channel, Call::Subscribe(_))) => channel,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn it_goes_on_behind_what_passes_by_itself_and_ends_with_what_does_not() {
    let (mut listener, client) = Listener::new(Via::InProcess).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let channel = peer.subscribe().await;
        peer.tells_status(channel, Some(1)).await;
        peer.fails(
            channel,
            &CallError::new(Code::StoreUnavailable, Class::Transient, "store unavailable"),
        )
        .await;
        let channel = peer.subscribe().await;
        peer.tells_status(channel, None).await;
        peer.tells_status(channel, Some(2)).await;
        // It leaves, and ends what goes on.
        peer.leaves(channel).await;
        peer.fails(
            channel,
            &CallError::new(Code::ShuttingDown, Class::Transient, "the connection ends"),
        )
        .await;
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let channel = peer.subscribe().await;
        peer.tells_status(channel, Some(2)).await;
        peer.tells_status(channel, Some(3)).await;
        peer.fails(
            channel,
            &CallError::new(Code::AccessDenied, Class::Permanent, "access denied"),
        )
        .await;
        peer.next().await;
    });
    let mut subscription = client.build().store(STORE).subscribe_segment("s", "a");
    let mut last = Vec::new();
    let error = loop {
        match tokio::time::timeout(PATIENCE, subscription.next())
            .await
            .unwrap()
            .unwrap()
        {
            Ok(status) => last.push(status.last_sequence),
            Err(error) => break error,
        }
    };
    // The second one of 2 is nothing new; 3 may take its place before it is looked at.
    assert_eq!(last, [1, 2, 3]);
    assert!(matches!(error, Error::AccessDenied), "{error:?}");
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn what_was_not_asked_for_ends_it() {
    let (mut listener, client) = Listener::new(Via::InProcess).await;
    tokio::spawn(async move {
        let mut peer = Peer::accept(&mut listener, CREDIT).await;
        let channel = peer.subscribe().await;
        peer.tells_status(channel, Some(1)).await;
        peer.next().await;
    });
    let mut subscription = client.build().store(STORE).subscribe_segment("s", "b");
    let error = subscription.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

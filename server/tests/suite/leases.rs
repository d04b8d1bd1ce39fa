//! Leases of the client at servers that keep them as Go servers do, or answer nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streamkit_client::*;
use streamkit_protocol::{LeaseResult, Request, Terminal};

use crate::fixture::{Listener, Via, over_both};
use crate::peer::{PATIENCE, STORE};
use crate::scripts::{head, next, scripted};

/// As Go servers do: no tokens, and nothing is known of a lease after a restart.
#[tokio::test]
async fn a_server_that_counts_no_grants_has_no_tokens_and_may_forget_a_lease() {
    let renewed = AtomicUsize::new(0);
    let store = scripted(Via::V1, move |frame| {
        let head = head(frame);
        let ok = match Request::decode(&frame.clone().message()) {
            Ok(Request::LeaseAcquire(_)) => true,
            Ok(Request::LeaseRenew(_)) => renewed.fetch_add(1, Ordering::Relaxed) == 0,
            _ => return Vec::new(),
        };
        let result = LeaseResult {
            ok,
            ..LeaseResult::default()
        };
        vec![head.data(&result.encode()), head.data(&Terminal::Close.encode())]
    })
    .await;
    let work = async |held: Held| {
        assert!(held.token().is_none() && held.fence().is_none());
        std::future::pending::<()>().await;
    };
    let came = store
        .with_lease(NewLease::new("k").ttl(Duration::from_secs(1)).wait(PATIENCE), work)
        .await;
    assert!(
        matches!(
            &came,
            Err(LeaseError::Lost {
                why: LeaseLost::Gone,
                ..
            })
        ),
        "{came:?}"
    );
}

/// Neither a server that takes a connection and says nothing, nor one that answers no lease.
async fn a_server_without_an_answer_is_waited_for_no_longer_than_was_said(via: Via) {
    let is_over = async |client: Builder| {
        let store = client.timeout(Duration::from_secs(3600)).build().store(STORE);
        let wanted = NewLease::new("k").wait(Duration::from_millis(50));
        let came = tokio::time::timeout(PATIENCE, store.hold_lease(wanted)).await;
        let error = came.expect("it waits on").unwrap_err();
        assert!(matches!(error, LeaseError::NotAsked(_)), "{error:?}");
    };
    let (mut listener, client) = Listener::new(via).await;
    let server = tokio::spawn(async move {
        let _silent = listener.accept().await;
        std::future::pending::<()>().await
    });
    is_over(client).await;
    server.abort();
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await).await.unwrap();
        while next(&mut socket).await.is_some() {}
    });
    is_over(client).await;
}

over_both! {
    a_server_without_an_answer_is_waited_for_no_longer_than_was_said
}

//! When a client asks again over another connection, and when it does not: against servers that follow a script, and one that lets
//! nobody in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::record::{LogCursor, SegmentPath, Wanted};
use streamkit_client::*;
use streamkit_protocol::{Control, FRAMES_HEADER, FRAMES_IN_ORDER, Frame, Request, SegmentStatus, Terminal};
use streamkit_server_core::Limits;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request as Handshake, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::fixture::{Listener, Via, over_both};
use crate::peer::{Host, PATIENCE, STORE};
use crate::scripts::{Socket, entry, head, next, send};

/// A client's connection to a server that ends what it has begun before it says that the connection ends.
async fn accept(listener: &mut Listener) -> Socket {
    #[expect(clippy::result_large_err, reason = "so the library asks for it")]
    let promise = |_: &Handshake, mut answer: Response| -> Result<Response, ErrorResponse> {
        let value = HeaderValue::from_static(FRAMES_IN_ORDER);
        answer.headers_mut().insert(FRAMES_HEADER, value);
        Ok(answer)
    };
    let stream = listener.accept().await;
    tokio_tungstenite::accept_hdr_async(stream, promise).await.unwrap()
}

/// Whatever the servers do that it is led to, a call waits no longer for an answer than one server may let it wait.
async fn a_call_that_begins_again_has_no_more_time_than_any_other(via: Via) {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (mut listener, client) = Listener::new(via).await;
    let asked = Arc::new(AtomicU32::new(0));
    let asking = asked.clone();
    tokio::spawn(async move {
        loop {
            let mut socket = accept(&mut listener).await;
            if next(&mut socket).await.is_some() {
                asking.fetch_add(1, Ordering::Relaxed);
            }
            // It says nothing for three quarters of the time that a call has, and begins nothing.
            tokio::time::sleep(TIMEOUT * 3 / 4).await;
            send(&mut socket, Frame::connection(Control::Close).encode()).await;
        }
    });
    let store = client.timeout(TIMEOUT).build().store(STORE);
    let published = store.produce_all("s", "a", 1, [NewRecord::new("x")]).await;
    assert!(published.is_err(), "{published:?}");
    let asked = asked.load(Ordering::Relaxed);
    assert!((1..=2).contains(&asked), "it was asked {asked} times");
}

/// The rest of a read that fell behind is not fetched from whichever server comes after the one that is lost.
async fn a_slow_read_whose_connection_is_lost_ends_with_an_error(via: Via) {
    let (mut listener, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut socket = accept(&mut listener).await;
        let request = next(&mut socket).await.unwrap();
        for n in 1..=20 {
            send(&mut socket, head(&request).data(&entry("s", "a", n, 1, 1 << 20))).await;
        }
        // Until the client has fallen behind, and says so.
        while Terminal::decode(&next(&mut socket).await.unwrap().message()).is_none() {}
        drop(socket);
        let mut socket = accept(&mut listener).await;
        while let Some(request) = next(&mut socket).await {
            let head = head(&request);
            match Request::decode(&request.message()) {
                Ok(Request::GetStatus(_)) => send(&mut socket, head.data(&Status::default().encode())).await,
                Ok(Request::ConsumeSegment(rest)) => {
                    for n in rest.min_sequence..=25 {
                        send(&mut socket, head.data(&entry("s", "a", n, 1, 1))).await;
                    }
                }
                _ => {}
            }
            send(&mut socket, head.data(&Terminal::Close.encode())).await;
        }
    });
    let store = client.build().store(STORE);
    let mut entries = store.consume_segment(ConsumeSegment::all("s", "a"));
    entries.next().await.unwrap().unwrap();
    // Answered by the second server: the first connection is gone.
    let spaces = tokio::time::timeout(PATIENCE, store.spaces()).await.unwrap();
    assert!(spaces.unwrap().is_empty());
    let mut last = 1;
    let error = loop {
        match entries.try_next().await {
            Ok(Some(entry)) => last = entry.sequence,
            Ok(None) => panic!("it looks whole, up to {last}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::ConnectionLost(_)), "{error:?}");
    assert!(last < 20, "{last}");
}

/// What it reads is answered: that it loses its connection each time that it asks to be told of more ends it no sooner than its client's patience.
#[tokio::test]
async fn a_follow_over_v1_goes_on_though_its_subscription_does_not_come_about_for_long() {
    let (mut listener, client) = Listener::new(Via::V1).await;
    tokio::spawn(async move {
        let mut subscribed = 0;
        loop {
            let mut socket = accept(&mut listener).await;
            while let Some(request) = next(&mut socket).await {
                let head = head(&request);
                match Request::decode(&request.message()) {
                    Ok(Request::ConsumeSegment(_)) => {
                        if subscribed > 3 {
                            send(&mut socket, head.data(&entry("s", "a", 1, 1, 1))).await;
                        }
                        send(&mut socket, head.data(&Terminal::Close.encode())).await;
                    }
                    Ok(Request::SubscribeToSegmentStatus(_)) => {
                        subscribed += 1;
                        if subscribed <= 3 {
                            break;
                        }
                        let status = SegmentStatus {
                            space: "s".to_owned(),
                            segment: "a".to_owned(),
                            first_sequence: 1,
                            first_timestamp: 1,
                            last_sequence: 1,
                            last_timestamp: 1,
                            heartbeat: false,
                        };
                        send(&mut socket, head.data(&status.encode())).await;
                    }
                    _ => {}
                }
            }
        }
    });
    let parts = vec![Wanted::Segment(SegmentPath::new("s", "a").unwrap())];
    let store = client.timeout(PATIENCE).build().store(STORE);
    let mut follows = store.follow(Follow::new(parts, LogCursor::default()));
    let mut came = 0;
    while came == 0 {
        let told = tokio::time::timeout(PATIENCE, follows.next()).await.unwrap();
        if let Followed::Batch(entries, _) = told.unwrap().unwrap() {
            came += entries.len();
        }
    }
    assert_eq!(came, 1);
}

/// It would be refused as often as it dials.
async fn a_client_that_may_not_come_in_is_told_so_once(via: Via) {
    let limits = Limits {
        origins: vec!["https://events.example".to_owned()],
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await.by(via);
    let refused = Arc::new(AtomicU32::new(0));
    let counting = refused.clone();
    let count = move |_| _ = counting.fetch_add(1, Ordering::Relaxed);
    let client = host.client().on_dial_failed(count).build();
    let error = client.store(STORE).spaces().await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused(why) if why.contains("403") && why.contains("this origin may not connect")),
        "{error:?}"
    );
    assert_eq!(refused.load(Ordering::Relaxed), 1);
}

/// What a caller's own function does to a dial is told; it is not called for ever.
#[tokio::test]
async fn a_dial_that_panics_is_an_error() {
    let asked = Arc::new(AtomicU32::new(0));
    let asking = asked.clone();
    let client = Client::builder("ws://127.0.0.1:1").token_source(move || {
        asking.fetch_add(1, Ordering::Relaxed);
        async { panic!("no token today") }
    });
    let store = client.timeout(Duration::from_secs(2)).build().store(STORE);
    let error = store.peek("s", "a").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let asked = asked.load(Ordering::Relaxed);
    assert!((1..=2).contains(&asked), "it was asked {asked} times");
}

over_both! {
    a_call_that_begins_again_has_no_more_time_than_any_other
    a_slow_read_whose_connection_is_lost_ends_with_an_error
    a_client_that_may_not_come_in_is_told_so_once
}

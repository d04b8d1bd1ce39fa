//! What the client makes of answers that are empty, refused, or cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::*;
use streamkit_protocol::Terminal;

use crate::fixture::{Listener, Via, over_both};
use crate::peer::STORE;
use crate::scripts::{entry, head, scripted};

async fn what_is_refused_is_asked_once_and_an_empty_read_is_no_error(via: Via) {
    let asked = Arc::new(AtomicU32::new(0));
    let counting = asked.clone();
    let store = scripted(via, move |frame| {
        let message = frame.clone().message();
        match streamkit_protocol::Request::decode(&message) {
            Ok(streamkit_protocol::Request::Peek(_)) => {
                counting.fetch_add(1, Ordering::Relaxed);
                let why = Terminal::CloseError("failed to peek: it is broken".to_owned());
                vec![head(frame).data(&why.encode())]
            }
            Ok(_) => vec![head(frame).data(&Terminal::Close.encode())],
            Err(_) => vec![],
        }
    })
    .await;
    let refused = store.peek("s", "a").await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    for read in [
        store.consume_segment(ConsumeSegment::all("s", "a")),
        store.consume_space(ConsumeSpace::all("s")),
        store.consume(Consume::all(["s"])),
    ] {
        assert!(read.try_collect::<Vec<Entry>>().await.unwrap().is_empty());
    }
}

async fn an_entry_that_cannot_be_is_an_error_and_no_end(via: Via) {
    let cannot_be = [
        entry("s", "a", 0, 5, 1),
        entry("s", "other", 1, 5, 1),
        entry("other", "a", 1, 5, 1),
        b"null".to_vec(),
        b"{".to_vec(),
        br#""a name""#.to_vec(),
    ];
    for message in cannot_be {
        let said = String::from_utf8_lossy(&message).into_owned();
        let store = scripted(via, move |frame| {
            let is_request = streamkit_protocol::Request::decode(&frame.clone().message()).is_ok();
            let answers = [message.clone(), Terminal::Close.encode()];
            let answers = answers.iter().map(|message| head(frame).data(message));
            answers.filter(|_| is_request).collect()
        })
        .await;
        let read = store.consume_segment(ConsumeSegment::all("s", "a"));
        let read = read.try_collect::<Vec<Entry>>().await;
        assert!(matches!(read, Err(Error::Protocol(_))), "{said}: {read:?}");
    }
}

async fn calls_have_timeouts_and_errors_have_types(via: Via) {
    // A peer that accepts and says nothing.
    let (mut silent, client) = Listener::new(via).await;
    tokio::spawn(async move {
        let mut socket = tokio_tungstenite::accept_async(silent.accept().await).await.unwrap();
        while socket.next().await.is_some() {}
    });
    let client = client.timeout(Duration::from_millis(200)).build();
    assert!(matches!(
        client.store(STORE).peek("s", "a").await,
        Err(Error::Timeout(_))
    ));
    let nobody = Client::builder("ws://127.0.0.1:1")
        .token("t")
        .retry(RetryPolicy::NEVER)
        .build();
    assert!(matches!(
        nobody.store(STORE).peek("s", "a").await,
        Err(Error::Connect { .. })
    ));
    let bad = Client::builder("http//x").token("t").build();
    assert!(matches!(
        bad.connect().await,
        Err(Error::Invalid(_) | Error::Connect { .. })
    ));
    client.close().await;
    assert!(matches!(client.store(STORE).peek("s", "a").await, Err(Error::Closed)));
}

async fn a_produce_that_ends_without_a_status_is_an_error(via: Via) {
    // A peer that ends every channel cleanly at its half-close.
    let (mut careless, client) = Listener::new(via).await;
    tokio::spawn(async move {
        use futures_util::SinkExt as _;
        let mut socket = tokio_tungstenite::accept_async(careless.accept().await).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text()
                && String::from_utf8_lossy(&message.clone().into_data()).contains("eyJ0eXBlIjoibXV4OjpjbG9zZSJ9")
            {
                socket.send(message).await.unwrap();
            }
        }
    });
    let store = client.build().store(STORE);
    let error = store.produce_all("s", "a", 1, [NewRecord::new("x")]).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

over_both! {
    what_is_refused_is_asked_once_and_an_empty_read_is_no_error
    an_entry_that_cannot_be_is_an_error_and_no_end
    calls_have_timeouts_and_errors_have_types
    a_produce_that_ends_without_a_status_is_an_error
}

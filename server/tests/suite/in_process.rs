//! A server without sockets: the same handshake, the same limits, the same end.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_client::{Client, ConsumeSegment, Error, NewRecord, RetryPolicy};
use streamkit_protocol::{Frame, FrameHead, Produce, Request, Terminal};
use streamkit_server_core::{Limits, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::peer::{Host, PATIENCE, STORE, consume, request, token};

fn client(server: &Server, token: &str) -> Client {
    let server = server.clone();
    Client::builder("ws://in-process")
        .transport(move || std::future::ready(server.in_process()))
        .retry(RetryPolicy::NEVER)
        .token(token)
        .build()
}

/// All that the server says until it hangs up.
async fn said(mut pipe: DuplexStream) -> String {
    let mut said = String::new();
    let ended = tokio::time::timeout(PATIENCE, pipe.read_to_string(&mut said)).await;
    ended.expect("it is still connected").unwrap();
    said
}

async fn get(server: &Server, path: &str) -> String {
    let mut pipe = server.in_process().unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    pipe.write_all(request.as_bytes()).await.unwrap();
    said(pipe).await
}

/// A WebSocket whose other end nobody may read.
async fn websocket(pipe: DuplexStream) -> WebSocketStream<DuplexStream> {
    let request = request("ws://in-process", &token(&["streamkit::*"]));
    tokio_tungstenite::client_async(request, pipe).await.unwrap().0
}

#[tokio::test]
async fn a_token_is_asked_for_and_every_route_is_there() {
    let host = Host::start().await;
    let refused = client(&host.server, "no token").connect().await;
    assert!(matches!(refused, Err(Error::Unauthorized)), "{refused:?}");
    assert!(get(&host.server, "/healthz").await.ends_with("\r\n\r\nok"));
    assert!(get(&host.server, "/backup").await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn there_are_no_more_sessions_than_over_sockets() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let all = token(&["streamkit::*"]);
    let first = client(&host.server, &all);
    first.connect().await.unwrap();
    let second = client(&host.server, &all).connect().await.unwrap_err();
    assert!(second.to_string().contains("503"), "{second}");
    first.close().await;
}

#[tokio::test]
async fn who_is_silent_in_its_handshake_gives_way_and_is_cut_off() {
    let limits = Limits {
        handshakes_per_address: 1,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let silent = host.server.in_process().unwrap();
    // It comes after the silent one, and takes its place.
    assert!(get(&host.server, "/healthz").await.ends_with("ok"));
    assert_eq!(said(silent).await, "");

    let limits = Limits {
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    said(host.server.in_process().unwrap()).await;
}

#[tokio::test]
async fn a_server_that_stops_tells_its_channels_and_takes_nobody_any_more() {
    let host = Host::start().await;
    let client = client(&host.server, &token(&["streamkit::*"]));
    let mut producer = client.store(STORE).produce("s", "a", 1).await.unwrap();
    producer.send(&NewRecord::new("x")).await.unwrap();
    host.server.shutdown().await;
    let error = producer.finish().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let error = client.store(STORE).peek("s", "a").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_closed_and_harms_nobody() {
    let limits = Limits {
        write_deadline: Duration::from_millis(300),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let other = client(&host.server, &token(&["streamkit::*"])).store(STORE);
    let records = vec![NewRecord::new(vec![0; 10_000]); 400];
    other.produce_all("s", "a", 1, records).await.unwrap();
    let mut deaf = websocket(host.server.in_process().unwrap()).await;
    let request = Request::ConsumeSegment(consume("s", "a"));
    let head = FrameHead::new(STORE, Uuid::new_v4());
    let text = String::from_utf8(head.data(&request.encode())).unwrap();
    deaf.send(Message::Text(text.into())).await.unwrap();
    // Until its session is over, it says ever again that it is there.
    let closed = async { while deaf.send(Message::Pong(Vec::new().into())).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, closed).await.expect("it is still there");
    let mut entries = other.consume_segment(ConsumeSegment::all("s", "a"));
    for _ in 0..400 {
        entries.next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_session_goes_on_though_every_handle_of_its_server_is_dropped() {
    let host = Host::start().await;
    let stores = std::sync::Arc::new(host.engine.clone());
    let key = streamkit_server_core::Key::hs256(crate::peer::SECRET).unwrap();
    let server = Server::new(stores, key, Limits::default());
    let mut socket = websocket(server.in_process().unwrap()).await;
    drop(server);
    let head = FrameHead::new(STORE, Uuid::new_v4());
    let text = String::from_utf8(head.data(&Request::GetSpaces.encode())).unwrap();
    socket.send(Message::Text(text.into())).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    let frame = Frame::decode(&answer.unwrap().unwrap().into_data()).unwrap();
    assert_eq!(frame.channel_id, head.channel_id);
    assert_eq!(Terminal::decode(&frame.message()), Some(Terminal::Close));
}

/// A client begins a call again of which the server said nothing before it left: there must be none that it has begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_whatever_it_has_begun_for_a_peer_that_does_not_read() {
    let host = Host::start().await;
    let (mut sends, mut reads) = websocket(host.server.in_process().unwrap()).await.split();
    let asks = async {
        loop {
            let head = FrameHead::new(STORE, Uuid::new_v4());
            let elsewhere = FrameHead::new(Uuid::from_u128(1), head.channel_id);
            let request = Request::Produce(Produce {
                space: "s".into(),
                segment: "a".into(),
            });
            for head in [head, elsewhere] {
                // The second breaks off what the first has begun.
                let text = String::from_utf8(head.data(&request.encode())).unwrap();
                sends.send(Message::Text(text.into())).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    // The server reads no more while what it has to refuse finds no room.
    let _ = tokio::time::timeout(Duration::from_secs(3), asks).await;
    let server = host.server.clone();
    let stopped = tokio::spawn(async move { server.shutdown().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut told = HashSet::new();
    while let Some(Ok(message)) = tokio::time::timeout(PATIENCE, reads.next()).await.unwrap() {
        if let Message::Text(text) = message {
            let frame = Frame::decode(text.as_bytes()).unwrap();
            let channel = frame.channel_id;
            if Terminal::decode(&frame.message()).is_some() {
                told.insert(channel);
            }
        }
    }
    stopped.await.unwrap();
    let metrics = host.server.metrics_text();
    let begun = metrics
        .lines()
        .filter(|line| line.starts_with("streamkit_operation_seconds_count"));
    let begun: usize = begun
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap())
        .sum();
    assert_eq!(told.len(), begun);
}

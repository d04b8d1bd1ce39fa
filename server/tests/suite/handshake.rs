//! Who gets in.

use std::time::Duration;

use streamkit_server::Key;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Error;

use crate::peer::*;

pub async fn get(host: &Host, path: &str, headers: &str) -> String {
    let address = host.url.trim_start_matches("ws://");
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn health_and_readiness_answer_without_a_token() {
    let host = Host::start().await;
    let health = get(&host, "/healthz", "").await;
    assert!(
        health.starts_with("HTTP/1.1 200") && health.ends_with("\r\n\r\nok"),
        "{health}"
    );
    assert!(get(&host, "/readyz", "").await.starts_with("HTTP/1.1 200"));
    assert!(get(&host, "/nothing", "").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn no_token_bad_tokens_and_tokens_without_scope_get_401() {
    let host = Host::start().await;
    let answer = get(&host, "/streamz", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.ends_with("\r\n\r\nUnauthorized\n"),
        "{answer}"
    );
    let expired = Key::hs256(SECRET)
        .unwrap()
        .mint(&["streamkit::*".into()], Duration::ZERO)
        .unwrap();
    let forged = Key::hs256(&[b'z'; 32])
        .unwrap()
        .mint(&["streamkit::*".into()], Duration::from_secs(60))
        .unwrap();
    let mixed = format!("streamkit::{STORE}");
    let tokens = [
        expired,
        forged,
        token(&[]),
        token(&["other::*"]),
        token(&["streamkit::no-uuid"]),
        token(&[&mixed, "streamkit::no-uuid"]),
    ];
    for token in tokens {
        match host.connect_with(&token).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 401),
            other => panic!("{token} got {:?}", other.err()),
        }
    }
}

#[tokio::test]
async fn the_bearer_scheme_is_known_in_any_letter_case() {
    let host = Host::start().await;
    let header = format!("Authorization: bEaReR {}\r\n", token(&["streamkit::*"]));
    assert!(
        get(&host, "/streamz", &header).await.starts_with("HTTP/1.1 4"),
        "not an upgrade"
    );
    assert!(!get(&host, "/streamz", &header).await.contains("Unauthorized"));
}

#[tokio::test]
async fn a_session_ends_when_its_token_expires() {
    let host = Host::start().await;
    let token = Key::hs256(SECRET)
        .unwrap()
        .mint(&["streamkit::*".into()], Duration::from_secs(2))
        .unwrap();
    let mut peer = host.connect_with(&token).await.unwrap();
    let head = peer.open(&produce("s", "a")).await;
    let (messages, end) = peer.finish(head).await;
    assert_eq!((messages, end), (vec![], refused("the token expired")));
    assert_eq!(peer.frame().await.unwrap().control, streamkit_protocol::Control::Close);
    assert!(peer.frame().await.is_none());
}

#[tokio::test]
async fn shutdown_ends_every_open_channel_with_a_terminal_message() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    peer.answers_ping().await;
    let stopping = tokio::spawn(host.stop());
    assert_eq!(peer.finish(head).await.1, refused("the server is shutting down"));
    assert_eq!(peer.frame().await.unwrap().control, streamkit_protocol::Control::Close);
    stopping.await.unwrap();
}

#[tokio::test]
async fn connections_that_are_not_upgraded_have_a_limit_and_the_next_one_waits_for_a_place() {
    let limits = streamkit_server::Limits {
        handshakes: 1,
        ..Default::default()
    };
    let host = std::sync::Arc::new(Host::with_limits(limits).await);
    let idle = tokio::net::TcpStream::connect(host.url.trim_start_matches("ws://"))
        .await
        .unwrap();
    let connecting = host.clone();
    let mut connecting = tokio::spawn(async move { connecting.connect().await });
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut connecting).await;
    assert!(early.is_err(), "both were let in");
    drop(idle);
    connecting.await.unwrap().answers_ping().await;
    // Those who are in do not count.
    host.connect().await.answers_ping().await;
}

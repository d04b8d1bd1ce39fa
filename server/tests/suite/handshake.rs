//! Who gets in.

use std::time::Duration;

use streamkit_server_core::Key;
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
async fn two_authorization_headers_are_refused_whichever_of_them_is_right() {
    let host = Host::start().await;
    let right = format!("Authorization: Bearer {}\r\n", token(&["streamkit::*"]));
    for headers in [format!("{right}Authorization: Bearer x\r\n"), format!("{right}{right}")] {
        for path in ["/streamz", "/backup"] {
            assert!(get(&host, path, &headers).await.starts_with("HTTP/1.1 400 "));
        }
    }
}

#[tokio::test]
async fn without_grace_a_session_ends_when_its_token_expires() {
    let limits = streamkit_server_core::Limits {
        token_grace: Duration::ZERO,
        ..Default::default()
    };
    let host = Host::with_limits(limits).await;
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

/// Sends so many bytes of a head, and is silent then.
async fn silent(host: &Host, head: &[u8]) -> tokio::net::TcpStream {
    let address = host.url.trim_start_matches("ws://");
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    tcp.write_all(head).await.unwrap();
    tcp
}

/// How many of these connections the server has closed.
async fn closed(peers: &mut [tokio::net::TcpStream]) -> usize {
    let mut closed = 0;
    for tcp in peers {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(20), tcp.read(&mut byte)).await;
        closed += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    closed
}

#[tokio::test]
async fn silent_peers_shut_nobody_out_of_the_handshake_and_the_oldest_give_way() {
    let limits = streamkit_server_core::Limits {
        handshakes: 20,
        handshakes_per_address: 8,
        ..Default::default()
    };
    let host = Host::with_limits(limits).await;
    // Those who are in do not count.
    let mut inside = host.connect().await;
    let answered = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [&b""[..], b"GET /healthz HTTP/1.1\r\n", answered] {
        let mut silent_peers = Vec::new();
        for n in 0..40 {
            silent_peers.push(silent(&host, head).await);
            if n % 10 == 9 {
                host.connect().await.answers_ping().await;
                assert!(get(&host, "/healthz", "").await.ends_with("ok"));
            }
        }
        if head.len() < answered.len() {
            let closed = closed(&mut silent_peers).await;
            assert!(closed >= 32, "{closed} gave way");
        }
    }
    inside.answers_ping().await;
    let metrics = get(&host, "/metrics", "").await;
    let gave_way = metrics
        .lines()
        .find_map(|line| line.strip_prefix("streamkit_handshakes_gave_way_total{reason=\"address\"} "));
    assert!(gave_way.unwrap().parse::<u64>().unwrap() >= 64, "{metrics}");
}

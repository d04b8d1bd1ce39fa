//! Hostile peers that never get further than their handshake: whatever they hold, others come in, and what they ask for is bounded.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use streamkit_server_core::{Access, AccessError, Authenticate, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::peer::*;

/// Two at a time of one address, each as long as it likes.
fn two_of_an_address() -> Limits {
    Limits {
        handshakes_per_address: 2,
        handshake: Duration::from_secs(3600),
        ..Limits::default()
    }
}

/// A connection from an address of this machine.
async fn from(address: &str, host: &Host) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
    let to = host.url.trim_start_matches("ws://").parse().unwrap();
    socket.connect(to).await.unwrap()
}

/// Asks for something, and does not say that nothing will follow.
async fn ask(tcp: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
}

/// The head of the next answer.
async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn is_served(address: &str, host: &Host) {
    let mut tcp = from(address, host).await;
    ask(&mut tcp, "/healthz").await;
    let head = tokio::time::timeout(PATIENCE, head(&mut tcp)).await;
    assert!(head.expect("nobody is let in").starts_with("HTTP/1.1 200 "));
}

/// The metrics are more than a small answer.
#[tokio::test]
async fn those_who_asked_for_much_shut_nobody_out() {
    let host = Host::with_limits(two_of_an_address()).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut tcp = from("127.0.0.1", &host).await;
        ask(&mut tcp, "/metrics").await;
        assert!(head(&mut tcp).await.starts_with("HTTP/1.1 200 "));
        held.push(tcp);
    }
    is_served("127.0.0.1", &host).await;
    is_served("127.0.0.2", &host).await;
    host.stop().await;
}

/// Never says who somebody is.
struct Undecided;

#[async_trait]
impl Authenticate for Undecided {
    async fn authenticate(&self, _: &Parts) -> Result<Access, AccessError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn those_who_are_answered_for_long_shut_out_no_other_address() {
    let host = Host::letting_in_with(Undecided, two_of_an_address()).await;
    let mut held = Vec::new();
    // Two are being answered, the third has to wait for them.
    for _ in 0..3 {
        let mut tcp = from("127.0.0.1", &host).await;
        ask(&mut tcp, "/streamz").await;
        held.push(tcp);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_served("127.0.0.2", &host).await;
    host.stop().await;
}

/// Else the pace of an address would not bound how many signatures are checked for it.
#[tokio::test]
async fn who_is_not_let_in_is_answered_once_and_has_to_connect_again() {
    let host = Host::start().await;
    let mut tcp = from("127.0.0.1", &host).await;
    for _ in 0..100 {
        let request = "GET /streamz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\n\r\n";
        // The server may have left.
        let _ = tcp.write_all(request.as_bytes()).await;
    }
    let mut answers = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answers))
        .await
        .expect("it stays open");
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 401 ").count(), 1, "{answers}");
    host.stop().await;
}

#[tokio::test]
async fn who_says_nothing_or_half_of_something_is_closed_and_counted() {
    let host = Host::with_limits(Limits {
        handshake: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    for said in [
        "",
        "GET /healthz HTTP/1.1\r\nHost:",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut tcp = from("127.0.0.1", &host).await;
        tcp.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer)).await;
        closed.expect("it stays open").unwrap();
    }
    let late = crate::budgets::metric(&host, "streamkit_limits_hit_total{limit=\"handshake\"}").await;
    assert_eq!(late, 2, "who was answered and asks for no more is not late");
    host.stop().await;
}

/// A thousand connections that are in their handshake together hold no more than a thousand times as much.
#[tokio::test]
async fn a_head_without_an_end_is_refused_early() {
    let host = Host::start().await;
    let mut tcp = from("127.0.0.1", &host).await;
    let begun = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}", "a".repeat(100 << 10));
    let _ = tcp.write_all(begun.as_bytes()).await;
    let answer = tokio::time::timeout(PATIENCE, head(&mut tcp)).await;
    let answer = answer.expect("it takes more");
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    host.stop().await;
}

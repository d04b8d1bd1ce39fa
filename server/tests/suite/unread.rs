//! Peers that make the server send and read nothing: what waits for them is bounded, and they are ended after the write
//! deadline.

use std::time::Duration;

use streamkit_protocol::FrameHead;
use streamkit_server_core::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::peer::*;

/// More than all buffers between a peer and the server take.
const MUCH: usize = 64 << 20;

/// An upgraded connection, in bytes.
pub async fn raw(host: &Host, token: &str) -> tokio::net::TcpStream {
    let address = host.url.trim_start_matches("ws://");
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /streamz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://x\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 300];
    let bytes = tcp.read(&mut answer).await.unwrap();
    assert!(answer[..bytes].starts_with(b"HTTP/1.1 101"));
    tcp
}

/// A WebSocket frame as clients send it.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ ..126 => frame.push(0x80 | short as u8),
        long => {
            frame.extend([0x80 | 126]);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Sends what `next` makes, reading nothing, until the server ends the connection.
async fn flood(host: &Host, token: &str, mut next: impl FnMut() -> Vec<u8>) {
    let mut tcp = raw(host, token).await;
    let mut sent = 0;
    while sent < MUCH {
        let mut piece = Vec::new();
        while piece.len() < 64 << 10 {
            piece.extend(next());
        }
        match tcp.write_all(&piece).await {
            Ok(()) => sent += piece.len(),
            Err(_) => return,
        }
    }
    panic!("the server took {sent} bytes of a peer that reads nothing");
}

#[tokio::test]
async fn a_peer_that_makes_the_server_send_and_reads_nothing_is_ended_with_little_queued() {
    let limits = Limits {
        write_deadline: Duration::from_secs(1),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let all = token(&["streamkit::*"]);
    flood(&host, &all, || masked(9, &[b'p'; 125])).await;
    let head = || FrameHead::new(STORE, Uuid::new_v4());
    // Requests that cannot be read, each with an answer.
    let wrong = "x".repeat(3000);
    let wrong = format!("{{\"$type\":\"{wrong}\",\"content\":{{}}}}");
    flood(&host, &all, || masked(1, &head().data(wrong.as_bytes()))).await;
    // Requests that have a short answer.
    flood(&host, &all, || masked(1, &head().data(&peek("s", "a").encode()))).await;
    // Stores that the token does not open.
    let none = token(&[&format!("streamkit::{}", Uuid::from_u128(1))]);
    flood(&host, &none, || masked(1, &head().data(&peek("s", "a").encode()))).await;
    host.connect().await.answers_ping().await;
}

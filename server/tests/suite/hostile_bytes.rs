//! Hostile peers that send what is no protocol, at each of its layers: TCP, HTTP, WebSocket, JSON, base64. Each test has an
//! ordinary client beside them.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_engine::Dice;
use streamkit_protocol::{FrameHead, Terminal};
use streamkit_server_core::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::bystander::unharmed;
use crate::peer::*;
use crate::unread::{masked, raw};

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..bytes).map(|_| dice.below(256) as u8).collect()
}

async fn impatient() -> Host {
    Host::with_limits(Limits {
        handshake: Duration::from_secs(1),
        silence: Duration::from_secs(2),
        ..Limits::default()
    })
    .await
}

/// Sends bytes, and reads until the server has closed.
async fn until_closed(mut tcp: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The server may close while this is still being sent.
    let _ = tcp.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = tcp.read_to_end(&mut said).await;
    said
}

#[tokio::test]
async fn what_is_no_http_is_refused_or_given_up() {
    let host = impatient().await;
    let address = host.url.trim_start_matches("ws://");
    let mut inputs: Vec<Vec<u8>> = (0..40).map(|seed| noise(seed, 4000)).collect();
    inputs.extend([
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /streamz HTTP/9.9\r\n\r\n".to_vec(),
        b"GET \0 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"GET /streamz HTTP/1.1\r\nHost: x\r\n: no name\r\n\r\n".to_vec(),
        b"POST /streamz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n".to_vec(),
        b"POST /streamz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        [b"GET /".to_vec(), vec![b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n".to_vec()].concat(),
        [b"GET / HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(100_000)].concat(),
    ]);
    let answers = unharmed(&host, async {
        let sent = inputs.iter().map(async |bytes| {
            let tcp = TcpStream::connect(address).await.unwrap();
            until_closed(tcp, bytes).await
        });
        join_all(sent).await
    })
    .await;
    for (input, answer) in inputs.iter().zip(answers) {
        let begins = String::from_utf8_lossy(&input[..input.len().min(40)]);
        assert!(!answer.starts_with(b"HTTP/1.1 101"), "{begins}");
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{begins}");
    }
}

/// A frame with any header, not masked.
fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

/// A masked frame with any first byte.
fn odd(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = masked(0, payload);
    frame[0] = first;
    frame
}

#[tokio::test]
async fn what_is_no_websocket_ends_its_connection_alone() {
    let host = impatient().await;
    let part = odd(0x01, b"{\"ControlType\":");
    let mut inputs: Vec<Vec<u8>> = (100..130).map(|seed| noise(seed, 3000)).collect();
    inputs.extend([
        bare(0x81, b"{}"),
        odd(0x83, b"reserved"),
        odd(0x8b, b"reserved"),
        odd(0xa1, b"RSV2"),
        odd(0x91, b"RSV3"),
        odd(0x89, &[b'p'; 126]),
        odd(0x09, b"a ping in parts"),
        odd(0x80, b"goes on with nothing"),
        [part.clone(), odd(0x81, b"{}")].concat(),
        odd(0x88, b"x"),
        odd(0x88, &[0x03, 0xe7]),
        odd(0x88, &[0x03, 0xe8, 0xff, 0xff]),
        odd(0x81, b"\xc3\x28"),
        [&[0x81, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat(),
        [&[0x81, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat(),
        [&[0x81, 0xff][..], &(10_u64 << 20).to_be_bytes(), &[0; 4]].concat(),
        [part, odd(0x89, b"ping"), odd(0x8a, b"pong"), odd(0x80, b"7}")].concat(),
    ]);
    unharmed(&host, async {
        let all = token(&["streamkit::*"]);
        let sent = inputs.iter().map(async |bytes| {
            let tcp = raw(&host, &all).await;
            until_closed(tcp, bytes).await
        });
        join_all(sent).await
    })
    .await;
}

#[tokio::test]
async fn what_is_no_frame_ends_its_connection_alone() {
    let host = impatient().await;
    let nil = Uuid::nil();
    let frame = |payload: &str| format!("{{\"ControlType\":\"data\",\"payload\":{payload}}}");
    let mut inputs: Vec<String> = [
        "",
        " ",
        "null",
        "7",
        "[]",
        "\"x\"",
        "{",
        "{}}",
        "{\"ControlType\":7}",
        "\u{feff}{}",
    ]
    .map(str::to_owned)
    .into();
    inputs.extend(["[", "{\"a\":"].map(|deep| deep.repeat(100_000)));
    inputs.extend(
        [
            "7",
            "[1]",
            "{}",
            "\"#\"",
            "\"eA\"",
            "\"e-A=\"",
            "\"eA==eA==\"",
            "\"\\ud800\"",
            "\"====\"",
        ]
        .map(frame),
    );
    inputs.extend(
        ["store_id", "channel_id"].map(|id| format!("{{\"ControlType\":\"data\",\"{id}\":\"\",\"payload\":null}}")),
    );
    inputs.push(format!("{{\"ControlType\":\"data\",\"store_id\":\"{nil}-\"}}"));
    inputs.push("{\"ControlType\":\"data\",\"trace_context\":[]}".to_owned());
    unharmed(&host, async {
        for text in &inputs {
            let mut peer = host.connect().await;
            let head = peer.open(&produce("s", "a")).await;
            let _ = peer.socket.send(Message::Text(text.as_str().into())).await;
            let begins: String = text.chars().take(80).collect();
            let end = peer.finish(head).await.1;
            assert_eq!(end, refused("the peer sent a malformed frame"), "{begins}");
            while peer.frame().await.is_some() {}
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_message_ends_its_channel_alone() {
    let host = Host::start().await;
    let mut dice = Dice::new(3);
    let mut inputs: Vec<Vec<u8>> = (0..150).map(|seed| noise(seed, 1 + dice.below(300) as usize)).collect();
    let whole = produce("s", "a").encode();
    inputs.extend((1..whole.len()).map(|cut| whole[..cut].to_vec()));
    inputs.extend(["[", "{\"$type\":"].map(|deep| deep.repeat(50_000).into_bytes()));
    unharmed(&host, async {
        let mut peer = host.connect().await;
        for input in &inputs {
            let head = FrameHead::new(STORE, Uuid::new_v4());
            peer.send(head, input).await;
            let (messages, end) = peer.finish(head).await;
            let said = String::from_utf8_lossy(input);
            assert!(
                messages.is_empty() && matches!(end, Terminal::CloseError(_)),
                "{end:?} to {said}"
            );
        }
        peer.answers_ping().await;
    })
    .await;
}

#[tokio::test]
async fn messages_in_any_number_of_parts_arrive_and_those_that_never_end_are_given_up() {
    let host = impatient().await;
    let ping = odd(0x89, b"between");
    let part = |last: bool, first: bool, bytes: &[u8]| odd(u8::from(last) << 7 | u8::from(first), bytes);
    unharmed(&host, async {
        // Byte by byte, with nothing, and with control frames, in between.
        let mut tcp = raw(&host, &token(&["streamkit::*"])).await;
        let head = FrameHead::new(STORE, Uuid::new_v4());
        let mut bytes = Vec::new();
        for message in [
            produce("s", "a").encode(),
            record(1).into_bytes(),
            Terminal::Close.encode(),
        ] {
            let frame = head.data(&message);
            for (n, byte) in frame.iter().enumerate() {
                bytes.extend(part(n + 1 == frame.len(), n == 0, &[*byte]));
                if n + 1 < frame.len() {
                    bytes.extend(part(false, false, b"").repeat(40));
                    bytes.extend(&ping);
                }
            }
        }
        let (mut reading, mut writing) = tcp.split();
        let read = async {
            let mut said = Vec::new();
            while !String::from_utf8_lossy(&said).contains("eyJ0eXBlIjoibXV4OjpjbG9zZSJ9") {
                assert!(reading.read_buf(&mut said).await.unwrap() > 0, "the connection ended");
            }
        };
        let (sent, ()) = futures_util::future::join(writing.write_all(&bytes), read).await;
        sent.unwrap();
        // Begun and never ended, by many.
        let begun = (0..40).map(async |_| {
            let tcp = raw(&host, &token(&["streamkit::*"])).await;
            let bytes = [part(false, true, b"{"), part(false, false, &[b' '; 100]).repeat(50)].concat();
            until_closed(tcp, &bytes).await
        });
        join_all(begun).await;
        // Larger than any frame may be, all in parts.
        let tcp = raw(&host, &token(&["streamkit::*"])).await;
        let piece = part(false, false, &[b' '; 60_000]);
        until_closed(tcp, &[part(false, true, b"{"), piece.repeat(200)].concat()).await;
    })
    .await;
}

#[tokio::test]
async fn compression_is_neither_agreed_to_nor_unpacked() {
    let host = impatient().await;
    // A stored block of DEFLATE, then one that would repeat a byte without an end.
    let bomb = [
        &[0x00, 0x01, 0x00, 0xfe, 0xff, b'a'][..],
        &[0xed, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2, 0xa0][..],
    ]
    .concat();
    unharmed(&host, async {
        let address = host.url.trim_start_matches("ws://");
        for _ in 0..20 {
            let mut tcp = TcpStream::connect(address).await.unwrap();
            let head = format!(
                "GET /streamz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {}\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n\r\n",
                token(&["streamkit::*"])
            );
            tcp.write_all(head.as_bytes()).await.unwrap();
            let mut answer = vec![0; 500];
            let bytes = tcp.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..bytes]).to_lowercase();
            assert!(answer.starts_with("http/1.1 101") && !answer.contains("extensions"), "{answer}");
            let said = until_closed(tcp, &odd(0xc1, &bomb)).await;
            // The close frame of the WebSocket, with its code for a broken rule.
            assert!(said.windows(2).any(|code| code == 1002_u16.to_be_bytes()), "{said:?}");
        }
        // The same through a WebSocket library that knows of no extension.
        let mut peer = host.connect().await;
        peer.answers_ping().await;
        peer.socket.close(None).await.unwrap();
        while peer.socket.next().await.is_some_and(|next| next.is_ok()) {}
    })
    .await;
}

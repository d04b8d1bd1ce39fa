//! Peers that are slow to take what they are sent, and servers that leave meanwhile: what was done is still told.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_protocol::{Control, Frame, FrameHead, Request, Terminal};
use streamkit_server_core::Limits;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::peer::*;

const ENTRIES: u64 = 2000;

/// A peer with more on its way to it than fits between the two, and how that read is told apart.
async fn stuck(host: &Host) -> (Peer, FrameHead) {
    let mut peer = host.connect().await;
    let payload = "AAAA".repeat(3000);
    let records: Vec<String> = (1..=ENTRIES)
        .map(|n| format!("{{\"sequence\":{n},\"payload\":\"{payload}\"}}"))
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    assert_eq!(peer.produce("s", "a", &records).await.1, Terminal::Close);
    let read = peer.open(&Request::ConsumeSegment(consume("s", "a"))).await;
    // Nothing tells when all queues are full. If they are not yet, the test proves less, and passes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    (peer, read)
}

/// Waits until a segment has an entry, seen from elsewhere.
async fn stored(host: &Host, segment: &str) {
    let mut other = host.connect().await;
    let seen = async {
        while other.call(&peek("s", segment)).await.0[0].contains("\"sequence\":0,") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
    seen.expect("nothing was stored");
}

async fn ping(peer: &mut Peer) {
    let ping = Frame::connection(Control::Ping).encode();
    peer.send_text(String::from_utf8(ping).unwrap()).await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_still_heard_and_its_pings_get_one_pong() {
    let host = Host::start().await;
    let (mut peer, _) = stuck(&host).await;
    for _ in 0..1000 {
        ping(&mut peer).await;
    }
    let head = peer.open(&produce("s", "b")).await;
    peer.send(head, record(1).as_bytes()).await;
    peer.send(head, &Terminal::Close.encode()).await;
    stored(&host, "b").await;
    let (mut pongs, mut ended) = (0, 0);
    while ended < 2 {
        let frame = peer.frame().await.expect("the connection ended");
        pongs += usize::from(frame.control == Control::Pong);
        ended += usize::from(Terminal::decode(&frame.message()).is_some());
    }
    assert!((1..1000).contains(&pongs), "{pongs}");
}

#[tokio::test]
async fn a_commit_is_acknowledged_though_the_server_stops_and_the_peer_is_slow() {
    let host = Host::start().await;
    let (mut peer, _) = stuck(&host).await;
    let head = peer.open(&produce("s", "b")).await;
    peer.send(head, record(1).as_bytes()).await;
    peer.send(head, &Terminal::Close.encode()).await;
    stored(&host, "b").await;
    let stopping = tokio::spawn(host.stop());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut statuses = 0;
    while let Some(frame) = peer.frame().await {
        if frame.channel_id == head.channel_id && Terminal::decode(&frame.message()).is_none() {
            statuses += 1;
        }
    }
    assert_eq!(statuses, 1);
    stopping.await.unwrap();
}

/// Closing a socket while bytes of the peer are unread makes the kernel drop what is still to be sent to it.
#[tokio::test]
async fn a_peer_that_goes_on_sending_to_a_leaving_server_gets_all_of_its_terminals() {
    let host = Host::start().await;
    let (mut peer, read) = stuck(&host).await;
    let idle = peer.open(&produce("s", "b")).await;
    ping(&mut peer).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let stopping = tokio::spawn(host.stop());
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..100 {
        ping(&mut peer).await;
    }
    let (mut ends, mut goodbye) = (Vec::new(), false);
    while let Some(frame) = peer.frame().await {
        goodbye |= frame.control == Control::Close;
        let id = frame.channel_id;
        if let Some(Terminal::CloseError(why)) = Terminal::decode(&frame.message()) {
            assert_eq!(why, "the server is shutting down");
            ends.push(id);
        }
    }
    assert!(
        ends.contains(&read.channel_id) && ends.contains(&idle.channel_id) && goodbye,
        "{ends:?} {goodbye}"
    );
    stopping.await.unwrap();
}

/// Passes on what a server sends so slowly that a large entry takes longer than the server waits for a byte of it.
async fn slowly(url: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let target = url.trim_start_matches("ws://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = tokio::net::TcpStream::connect(target).await.unwrap();
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = far.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_far.read(&mut bytes).await {
            to_near.write_all(&bytes[..count]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    slow
}

#[tokio::test]
async fn a_slow_link_carries_an_entry_that_takes_longer_than_the_write_deadline() {
    let limits = Limits {
        write_deadline: Duration::from_secs(3),
        ..Limits::default()
    };
    let mut host = Host::with_limits(limits).await;
    let mut peer = host.connect().await;
    let payload = "AAAA".repeat((4 << 20) / 3);
    for sequence in 1..=2 {
        let record = format!("{{\"sequence\":{sequence},\"payload\":\"{payload}\"}}");
        assert_eq!(peer.produce("s", "a", &[&record]).await.1, Terminal::Close);
    }
    host.url = slowly(&host.url).await;
    let mut peer = host.connect().await;
    let (entries, end) = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!((entries.len(), end), (2, Terminal::Close));
}

/// What the peer is told when it breaks the rules of the connection: every open channel why, and the WebSocket a code.
#[tokio::test]
async fn a_frame_that_cannot_be_read_ends_channels_with_a_reason_and_the_connection_with_a_code() {
    let host = Host::start().await;
    let malformed = "the peer sent a malformed frame";
    let cases = [
        (Message::Text("{\"ControlType\":7}".into()), malformed, 1002),
        (
            Message::Text("x".repeat((9 << 20) + 1).into()),
            "the peer sent a frame that is too large",
            1009,
        ),
    ];
    for (message, why, code) in cases {
        let mut peer = host.connect().await;
        let head = peer.open(&produce("s", "a")).await;
        // The server may close while this is still being sent.
        let _ = peer.socket.send(message).await;
        assert_eq!(peer.finish(head).await.1, refused(why));
        assert_eq!(peer.frame().await.unwrap().control, Control::Close);
        let closed = futures_util::StreamExt::next(&mut peer.socket).await;
        match closed {
            Some(Ok(Message::Close(Some(close)))) => assert_eq!(u16::from(close.code), code),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(host.connect().await.call(&Request::GetSpaces).await.1, Terminal::Close);
}

/// The next thing that is no ping.
async fn message(peer: &mut Peer) -> Option<Message> {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), peer.socket.next()).await;
        match next.expect("nothing came")? {
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(message) => return Some(message),
            Err(_) => return None,
        }
    }
}

fn is_normal(message: Option<&Message>) -> bool {
    matches!(message, Some(Message::Close(Some(close))) if close.code == CloseCode::Normal)
}

#[tokio::test]
async fn a_peer_that_closes_is_answered_in_kind() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    peer.answers_ping().await;
    let close = Frame::connection(Control::Close).encode();
    peer.send_text(String::from_utf8(close).unwrap()).await;
    let answer = message(&mut peer).await.expect("an answer");
    let frame = Frame::decode(&answer.into_data()).expect("a frame");
    assert_eq!(frame.control, Control::Close);
    let close = message(&mut peer).await;
    assert!(is_normal(close.as_ref()), "{close:?}");

    let mut peer = host.connect().await;
    peer.answers_ping().await;
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    peer.socket.send(Message::Close(Some(close))).await.unwrap();
    let close = message(&mut peer).await;
    assert!(is_normal(close.as_ref()), "{close:?}");
}

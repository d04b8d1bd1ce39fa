//! What all connections together may hold: peers that take or send nothing keep others waiting for a while, never for ever,
//! and what is small waits for none of them.

use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_protocol::{Entry, FrameHead, GetSegments, Request, Terminal};
use streamkit_server_core::{Key, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use uuid::Uuid;

use crate::handshake::get;
use crate::peer::*;
use crate::unread::{masked, raw};

const LARGE: usize = 4_000_000;
const LONG: Duration = Duration::from_secs(600);

/// A metric of a host that is there. Panics if there is none of that name.
pub async fn metric(host: &Host, name: &str) -> usize {
    let text = get(host, "/metrics", "").await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn held(host: &Host, budget: &str) -> usize {
    metric(host, &format!("streamkit_budget_held_bytes{{budget=\"{budget}\"}}")).await
}

async fn waiting(host: &Host, budget: &str) -> usize {
    metric(host, &format!("streamkit_budget_waiting{{budget=\"{budget}\"}}")).await
}

async fn gave_way(host: &Host, reason: &str) -> usize {
    metric(host, &format!("streamkit_peers_gave_way_total{{reason=\"{reason}\"}}")).await
}

/// Waits until that holds, looking at each moment whether a budget holds no more than it may.
async fn until(host: &Host, (budget, most): (&str, usize), mut holds: impl AsyncFnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !holds().await {
        let held = held(host, budget).await;
        assert!(held <= most, "{budget}: {held}");
        assert!(
            begun.elapsed() < PATIENCE,
            "{budget}: still {held}, and what is waited for does not come"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A host with some large entries, and one small one.
async fn stocked(limits: Limits) -> Host {
    let host = Host::with_limits(limits).await;
    let mut peer = host.connect().await;
    for sequence in 1..=6 {
        let record = record_of(sequence, LARGE);
        assert_eq!(peer.produce("s", "large", &[&record]).await.1, Terminal::Close);
    }
    assert_eq!(peer.produce("s", "small", &[&record(1)]).await.1, Terminal::Close);
    host
}

fn record_of(sequence: u64, bytes: usize) -> String {
    let payload = "AAAA".repeat(bytes / 3);
    format!("{{\"sequence\":{sequence},\"payload\":\"{payload}\"}}")
}

/// Connections that ask for all large entries, some times each, and take none.
async fn deaf(host: &Host, connections: usize) -> Vec<TcpStream> {
    let mut deaf = Vec::new();
    for _ in 0..connections {
        let mut tcp = raw(host, &token(&["streamkit::*"])).await;
        for _ in 0..4 {
            let read = Request::ConsumeSegment(consume("s", "large")).encode();
            let frame = FrameHead::new(STORE, Uuid::new_v4()).data(&read);
            tcp.write_all(&masked(1, &frame)).await.unwrap();
        }
        deaf.push(tcp);
    }
    deaf
}

#[tokio::test]
async fn peers_that_take_nothing_give_way_to_those_that_read() {
    const MOST: usize = 40 << 20;
    let host = stocked(Limits {
        outgoing_bytes: MOST,
        give_way: Duration::from_secs(1),
        write_deadline: LONG,
        ..Limits::default()
    });
    let host = host.await;
    let deaf = deaf(&host, 8).await;
    until(&host, ("outgoing", MOST), async || waiting(&host, "outgoing").await > 0).await;
    let mut healthy = host.connect().await;
    let read = async {
        let (entries, end) = healthy.call(&Request::ConsumeSegment(consume("s", "large"))).await;
        assert_eq!((entries.len(), end), (6, Terminal::Close));
        let sequences = entries
            .iter()
            .map(|entry| Entry::decode(entry.as_bytes()).unwrap().sequence);
        assert!(sequences.eq(1..=6));
    };
    let mut read = Box::pin(read);
    let watch = until(&host, ("outgoing", MOST), async || false);
    tokio::select! {
        () = &mut read => {}
        () = watch => unreachable!("it watches for ever"),
    }
    assert!(gave_way(&host, "receiving").await > 0);
    drop((deaf, read));
    until(&host, ("outgoing", MOST), async || held(&host, "outgoing").await == 0).await;
}

#[tokio::test]
async fn a_small_answer_waits_for_no_peer_that_takes_nothing() {
    const MOST: usize = 20 << 20;
    let host = stocked(Limits {
        outgoing_bytes: MOST,
        give_way: LONG,
        write_deadline: LONG,
        ..Limits::default()
    });
    let host = host.await;
    let deaf = deaf(&host, 6).await;
    until(&host, ("outgoing", MOST), async || waiting(&host, "outgoing").await > 0).await;
    let mut healthy = host.connect().await;
    let segments = GetSegments {
        space: "s".to_owned(),
        ..GetSegments::default()
    };
    let calls = [
        (peek("s", "small"), 1),
        (peek("s", "none"), 1),
        (Request::ConsumeSegment(consume("s", "small")), 1),
        (Request::GetSpaces, 1),
        (Request::GetSegments(segments), 2),
    ];
    for (call, answers) in &calls {
        let (messages, end) = healthy.call(call).await;
        assert_eq!((messages.len(), end), (*answers, Terminal::Close), "{call:?}");
    }
    assert_eq!(healthy.produce("s", "small", &[&record(2)]).await.1, Terminal::Close);
    assert!(waiting(&host, "outgoing").await > 0, "nobody gave way");
    // What is not small is not answered in part.
    let head = healthy.open(&peek("s", "large")).await;
    drop(deaf);
    let (messages, end) = healthy.finish(head).await;
    assert_eq!((messages.len(), end), (1, Terminal::Close));
}

/// The beginning of a large frame, as clients send it.
fn begun(bytes: u64, here: usize) -> Vec<u8> {
    let mut frame = vec![0x81, 0xff];
    frame.extend(bytes.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(vec![b' '; here]);
    frame
}

#[tokio::test]
async fn peers_that_begin_large_frames_and_stop_give_way_to_those_that_go_on() {
    const MOST: usize = 20 << 20;
    let host = Host::with_limits(Limits {
        frames_bytes: MOST,
        give_way: Duration::from_secs(1),
        ..Limits::default()
    });
    let host = host.await;
    let mut stopped = Vec::new();
    for _ in 0..6 {
        let mut tcp = raw(&host, &token(&["streamkit::*"])).await;
        tcp.write_all(&begun(8 << 20, 1 << 20)).await.unwrap();
        stopped.push(tcp);
    }
    until(&host, ("frames", MOST), async || waiting(&host, "frames").await > 0).await;
    let mut healthy = host.connect().await;
    assert_eq!(
        healthy.produce("s", "a", &[&record(1)]).await.1,
        Terminal::Close,
        "it is small"
    );
    let large = record_of(2, LARGE);
    assert_eq!(healthy.produce("s", "a", &[&large]).await.1, Terminal::Close);
    assert!(gave_way(&host, "sending").await > 0);
    let mut why = Vec::new();
    stopped[0].read_to_end(&mut why).await.unwrap();
    let text = String::from_utf8_lossy(&why);
    assert!(
        text.ends_with("the peer sends a large frame so slowly that others wait for it"),
        "{text}"
    );
    drop(stopped);
    until(&host, ("frames", MOST), async || held(&host, "frames").await == 0).await;
    healthy.answers_ping().await;
}

/// However many of a tenant's peers send large frames byte by byte, and however long they may: others have room for theirs.
#[tokio::test]
async fn peers_of_one_tenant_that_send_large_frames_slowly_keep_no_other_waiting() {
    const MOST: usize = 40 << 20;
    let host = Host::with_limits(Limits {
        frames_bytes: MOST,
        give_way: LONG,
        silence: LONG,
        ..Limits::default()
    });
    let host = host.await;
    let own = token(&["streamkit::00000000-0000-0000-0000-0000000000aa"]);
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut tcp = raw(&host, &own).await;
        tcp.write_all(&begun(8 << 20, 1000)).await.unwrap();
        slow.push(tcp);
    }
    until(&host, ("frames", MOST), async || waiting(&host, "frames").await == 18).await;
    assert_eq!(held(&host, "frames").await, 16 << 20);
    let mut healthy = host.connect().await;
    let large = record_of(1, LARGE);
    assert_eq!(healthy.produce("s", "a", &[&large]).await.1, Terminal::Close);
    drop(slow);
}

#[tokio::test]
async fn a_peer_that_stops_in_a_large_frame_while_nobody_waits_is_gone_and_gave_way_to_nobody() {
    let host = Host::with_limits(Limits {
        silence: Duration::from_secs(1),
        give_way: LONG,
        ..Limits::default()
    });
    let host = host.await;
    let mut stopped = raw(&host, &token(&["streamkit::*"])).await;
    stopped.write_all(&begun(8 << 20, 1 << 20)).await.unwrap();
    let mut why = Vec::new();
    stopped.read_to_end(&mut why).await.unwrap();
    let text = String::from_utf8_lossy(&why);
    assert!(!text.contains("so slowly"), "{text}");
    assert_eq!(gave_way(&host, "sending").await, 0);
}

#[tokio::test]
async fn a_connection_that_ends_waits_for_room_no_longer_though_its_channels_take_their_time() {
    const MOST: usize = 9 << 20;
    let host = stocked(Limits {
        frames_bytes: MOST,
        give_way: LONG,
        write_deadline: LONG,
        ..Limits::default()
    });
    let host = host.await;
    let mut first = raw(&host, &token(&["streamkit::*"])).await;
    first.write_all(&begun(8 << 20, 1 << 20)).await.unwrap();
    until(&host, ("frames", MOST), async || held(&host, "frames").await > 0).await;
    let soon = Key::hs256(SECRET).unwrap();
    let soon = soon.mint(&["streamkit::*".to_owned()], Duration::from_secs(3)).unwrap();
    let mut expires = raw(&host, &soon).await;
    for _ in 0..8 {
        let read = Request::ConsumeSegment(consume("s", "large")).encode();
        let frame = FrameHead::new(STORE, Uuid::new_v4()).data(&read);
        expires.write_all(&masked(1, &frame)).await.unwrap();
    }
    expires.write_all(&begun(8 << 20, 1000)).await.unwrap();
    until(&host, ("frames", MOST), async || waiting(&host, "frames").await > 0).await;
    until(&host, ("frames", MOST), async || waiting(&host, "frames").await == 0).await;
    assert_eq!(metric(&host, "streamkit_connections").await, 2, "it is not over yet");
    drop((first, expires));
}

/// Sends a message in parts, with pings between them.
async fn send_in_parts(peer: &mut Peer, message: &[u8], bytes: usize) {
    use futures_util::SinkExt as _;
    let last = message.len().div_ceil(bytes) - 1;
    for (n, part) in message.chunks(bytes).enumerate() {
        let opcode = if n == 0 { Data::Text } else { Data::Continue };
        let header = FrameHeader {
            is_final: n == last,
            opcode: OpCode::Data(opcode),
            mask: Some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        let frame = Frame::from_payload(header, part.to_vec().into());
        if peer.socket.feed(Message::Frame(frame)).await.is_err() {
            return;
        }
        let _ = peer.socket.feed(Message::Ping(vec![b'p'; 100].into())).await;
    }
    let _ = peer.socket.flush().await;
}

#[tokio::test]
async fn a_message_may_come_in_parts_up_to_the_size_of_a_frame() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    for (sequence, bytes, parts) in [(1, 20_000, 1000), (2, LARGE, 100_000), (3, 10, 7)] {
        let head = peer.open(&produce("s", "a")).await;
        let frame = head.data(record_of(sequence, bytes).as_bytes());
        send_in_parts(&mut peer, &frame, parts).await;
        peer.send(head, &Terminal::Close.encode()).await;
        assert_eq!(peer.finish(head).await.1, Terminal::Close);
    }
    assert_eq!(held(&host, "frames").await, 0);
    send_in_parts(&mut peer, &[b' '; 10 << 20], 1 << 20).await;
    loop {
        match peer.socket.next().await.expect("it says why").unwrap() {
            Message::Close(close) => break assert_eq!(close.unwrap().code, CloseCode::Size),
            _ => continue,
        }
    }
}

/// What the server has not read because it waits for room has not come, but it is no proof that nothing will.
#[tokio::test]
async fn an_end_before_a_large_record_that_waits_for_room_is_not_taken_for_the_last() {
    let host = Host::with_limits(Limits {
        frames_bytes: 9 << 20,
        give_way: LONG,
        ..Limits::default()
    });
    let host = host.await;
    let mut stopped = raw(&host, &token(&["streamkit::*"])).await;
    stopped.write_all(&begun(8 << 20, 1 << 20)).await.unwrap();
    until(&host, ("frames", 9 << 20), async || held(&host, "frames").await > 0).await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    peer.send(head, &Terminal::Close.encode()).await;
    let record = record_of(2, LARGE);
    let large = peer.send(head, record.as_bytes());
    let waits = until(&host, ("frames", 9 << 20), async || waiting(&host, "frames").await > 0);
    let waits = async {
        waits.await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(stopped);
    };
    futures_util::future::join(large, waits).await;
    let (statuses, end) = peer.finish(head).await;
    let last = streamkit_protocol::SegmentStatus::decode(statuses.last().unwrap().as_bytes()).unwrap();
    assert_eq!((last.last_sequence, end), (2, Terminal::Close));
}

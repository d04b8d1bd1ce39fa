//! Peers that want more of a connection than its limits allow: everybody is served, only later.

use streamkit_protocol::{Consume, Entry, LexKey, Request, SegmentStatus, Terminal};
use streamkit_server_core::Limits;

use crate::peer::*;

fn record_of(sequence: u64, bytes: usize) -> String {
    format!(
        "{{\"sequence\":{sequence},\"payload\":\"{}\"}}",
        "AAAA".repeat(bytes / 3)
    )
}

/// Chunks that all stay open hold all the room of their connection: the largest are committed early, nobody is ended.
#[tokio::test]
async fn bulk_producers_on_one_connection_share_its_room_and_none_is_ended() {
    const PRODUCERS: usize = 24;
    const RECORDS: u64 = 100;
    let limits = Limits {
        connection_inbound_bytes: 2 << 20,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peer = host.connect().await;
    let mut heads = Vec::new();
    for n in 0..PRODUCERS {
        heads.push(peer.open(&produce("s", &n.to_string())).await);
    }
    for sequence in 1..=RECORDS {
        for (n, head) in heads.iter().enumerate() {
            // Some are larger than others, and the largest record takes most of all there is.
            let bytes = if n == 0 && sequence == 50 {
                1 << 20
            } else {
                3000 * (n + 1)
            };
            peer.send(*head, record_of(sequence, bytes).as_bytes()).await;
        }
    }
    for head in &heads {
        peer.send(*head, &Terminal::Close.encode()).await;
    }
    let (mut last, mut ended) = (std::collections::HashMap::new(), 0);
    while ended < PRODUCERS {
        let frame = peer.frame().await.expect("the connection ended");
        let id = frame.channel_id;
        let message = frame.message();
        match Terminal::decode(&message) {
            Some(end) => {
                assert_eq!((end, last.get(&id)), (Terminal::Close, Some(&RECORDS)));
                ended += 1;
            }
            None => {
                let status = SegmentStatus::decode(&message).unwrap();
                assert!(last.insert(id, status.last_sequence) < Some(status.last_sequence));
            }
        }
    }
    for n in 0..PRODUCERS {
        let read = Request::ConsumeSegment(consume("s", &n.to_string()));
        assert_eq!(peer.call(&read).await.0.len() as u64, RECORDS);
    }
}

/// Bulk producers on many connections share the room of the whole server; a small call beside them waits for none of them.
#[tokio::test]
async fn bulk_producers_on_many_connections_share_the_servers_room_and_none_is_ended() {
    const RECORDS: u64 = 60;
    let limits = Limits {
        inbound_bytes: 2 << 20,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peers = Vec::new();
    for n in 0..12 {
        let mut peer = host.connect().await;
        let head = peer.open(&produce("s", &n.to_string())).await;
        peers.push((peer, head));
    }
    for sequence in 1..=RECORDS {
        for (peer, head) in &mut peers {
            peer.send(*head, record_of(sequence, 30_000).as_bytes()).await;
        }
    }
    // All that is held is in open chunks, whose producers send no more for now.
    let mut small = host.connect().await;
    assert_eq!(small.produce("s", "small", &[&record(1)]).await.1, Terminal::Close);
    for (peer, head) in &mut peers {
        peer.send(*head, &Terminal::Close.encode()).await;
    }
    for (peer, head) in &mut peers {
        let (statuses, end) = peer.finish(*head).await;
        let last = SegmentStatus::decode(statuses.last().unwrap().as_bytes()).unwrap();
        assert_eq!((last.last_sequence, end), (RECORDS, Terminal::Close));
    }
}

#[tokio::test]
async fn a_small_batch_stays_whole_while_a_large_one_beside_it_is_split() {
    let limits = Limits {
        connection_inbound_bytes: 1 << 20,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peer = host.connect().await;
    let small = peer.open(&produce("s", "small")).await;
    let large = peer.open(&produce("s", "large")).await;
    for sequence in 1..=100 {
        peer.send(small, record(sequence).as_bytes()).await;
        peer.send(large, record_of(sequence, 30_000).as_bytes()).await;
    }
    peer.send(large, &Terminal::Close.encode()).await;
    let (statuses, end) = peer.finish(large).await;
    assert_eq!(end, Terminal::Close);
    assert!(statuses.len() > 1, "it did not have to be split");
    peer.send(small, &Terminal::Close.encode()).await;
    let (statuses, end) = peer.finish(small).await;
    assert_eq!((statuses.len(), end), (1, Terminal::Close));
}

/// 48 MB on the wire, 7 MB of text: one transaction, which must not wait for the room that it takes itself.
#[tokio::test]
async fn records_that_are_mostly_escapes_are_one_transaction() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    let escapes = "\\u0001".repeat(700);
    for sequence in 1..=10_000 {
        let record = format!("{{\"sequence\":{sequence},\"payload\":\"\",\"metadata\":{{\"x\":\"{escapes}\"}}}}");
        peer.send(head, record.as_bytes()).await;
    }
    peer.send(head, &Terminal::Close.encode()).await;
    let (statuses, end) = peer.finish(head).await;
    assert_eq!((statuses.len(), end), (1, Terminal::Close));
}

/// Who is not told what was stored, because its peer reads nothing, gives way to those who wait for the room of what it sent.
#[tokio::test]
async fn a_producer_beside_others_whose_peers_read_nothing_is_not_the_one_to_be_ended() {
    let limits = Limits {
        inbound_bytes: 8 << 20,
        inbound_wait: std::time::Duration::from_secs(3),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut deaf = [thirty_megabytes(&host).await, host.connect().await];
    for (n, peer) in deaf.iter_mut().enumerate() {
        peer.open(&Request::ConsumeSegment(consume("s", "a"))).await;
        let head = peer.open(&produce("s", &format!("deaf {n}"))).await;
        // A chunk, whose status finds no room, and what comes behind it.
        for sequence in 1..=10_001 {
            peer.send(head, record(sequence).as_bytes()).await;
        }
        for sequence in 10_002..=10_009 {
            peer.send(head, record_of(sequence, 320_000).as_bytes()).await;
        }
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let mut other = host.connect().await;
    let end = other.produce("s", "other", &[&record_of(1, 2_000_000)]).await.1;
    assert_eq!(end, Terminal::Close);
}

/// A request with many spaces in it, or with much that means nothing.
fn wide(spaces: usize) -> Request {
    let offsets = (0..spaces).map(|n| (format!("{n:0100}"), LexKey::default()));
    Request::Consume(Consume {
        offsets: offsets.chain([("s".to_owned(), LexKey::default())]).collect(),
        ..Consume::default()
    })
}

async fn thirty_megabytes(host: &Host) -> Peer {
    let mut peer = host.connect().await;
    let records: Vec<String> = (1..=2000).map(|n| record_of(n, 10_000)).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    assert_eq!(peer.produce("s", "a", &records).await.1, Terminal::Close);
    peer
}

#[tokio::test]
async fn a_request_has_a_size_limit_and_large_ones_share_room() {
    let limits = Limits {
        connection_inbound_bytes: 1 << 20,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peer = thirty_megabytes(&host).await;
    let (_, end) = peer.call(&wide(11_000)).await;
    assert!(
        matches!(&end, Terminal::CloseError(why) if why.starts_with("request too large: ")),
        "{end:?}"
    );
    let first = peer.open(&wide(1000)).await;
    let second = peer.open(&wide(1000)).await;
    let mut ends = std::collections::HashMap::new();
    while ends.len() < 2 {
        let frame = peer.frame().await.expect("the connection ended");
        let id = frame.channel_id;
        if let Some(end) = Terminal::decode(&frame.message()) {
            ends.insert(id, end);
        }
    }
    assert_eq!(ends[&first.channel_id], Terminal::Close);
    let overloaded = Terminal::Error("stream receive buffer overloaded".into());
    assert_eq!(ends[&second.channel_id], overloaded);
    assert_eq!(peer.call(&wide(1000)).await.1, Terminal::Close, "there is room again");
}

#[tokio::test]
async fn reads_of_one_connection_take_turns_and_all_come_to_their_end() {
    let limits = Limits {
        reads: 1,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peer = thirty_megabytes(&host).await;
    let mut next = std::collections::HashMap::new();
    for _ in 0..4 {
        let read = Request::ConsumeSegment(consume("s", "a"));
        next.insert(peer.open(&read).await.channel_id, 1);
    }
    let (mut ended, mut begun_when_first_ended) = (0, 0);
    while ended < 4 {
        let frame = peer.frame().await.expect("the connection ended");
        let id = frame.channel_id;
        let message = frame.message();
        if let Some(end) = Terminal::decode(&message) {
            assert_eq!((end, next[&id]), (Terminal::Close, 2001));
            ended += 1;
            if ended == 1 {
                begun_when_first_ended = next.values().filter(|next| **next > 1).count();
            }
        } else {
            let expected = next.get_mut(&id).unwrap();
            assert_eq!(Entry::decode(&message).unwrap().sequence, *expected);
            *expected += 1;
        }
    }
    assert_eq!(begun_when_first_ended, 4, "one kept the others waiting");
}

/// What is taken in must be able to go out again, with the names and the transaction that an entry has beside its record.
#[tokio::test]
async fn a_record_that_could_not_be_read_back_is_refused() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let of = |escapes: usize| {
        let escapes = "\\u0001".repeat(escapes);
        format!("{{\"sequence\":1,\"payload\":\"\",\"metadata\":{{\"x\":\"{escapes}\"}}}}")
    };
    // More than a message may have; and one that fits, but as an entry would not.
    for escapes in [1_100_000, 1_048_541] {
        let (_, end) = peer.produce("s", "a", &[&of(escapes)]).await;
        assert!(
            matches!(&end, Terminal::CloseError(why) if why.starts_with("record too large: ")),
            "{end:?}"
        );
    }
    assert_eq!(peer.produce("s", "a", &[&of(1_048_000)]).await.1, Terminal::Close);
    for read in [Request::ConsumeSegment(consume("s", "a")), peek("s", "a")] {
        let (messages, end) = peer.call(&read).await;
        assert_eq!((messages.len(), end), (1, Terminal::Close));
    }
}

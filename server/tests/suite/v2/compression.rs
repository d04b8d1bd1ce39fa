//! Compressed frames, between two sides that both want them.

use streamkit_client::{Batch, Client, Protocol};
use streamkit_protocol::v2::{ZSTD, pack_frame};
use streamkit_server_core::Limits;

use super::*;

async fn packing() -> Host {
    let limits = Limits {
        compression: true,
        ..Limits::default()
    };
    Host::with_limits(limits).await
}

impl Peer {
    /// One that takes compressed frames.
    async fn packing(host: &Host) -> Self {
        let mut peer = Self::bare(host).await;
        let mut out = Vec::new();
        let features = vec![ZSTD.to_owned()];
        Hello {
            features,
            ..hello(1 << 20)
        }
        .put(&mut out);
        peer.send(out).await;
        peer.next().await;
        peer
    }

    async fn packed(&mut self, call: &Call, damage: bool) -> u32 {
        self.last += 1;
        let mut out = Vec::new();
        frame(&mut out, (self.last, Kind::Call), nothing, |out| {
            call.put(StoreId(STORE), out)
        });
        let plain = out.len();
        pack_frame(&mut out, 0);
        assert!(out.len() < plain);
        if damage {
            let middle = out.len() / 2;
            out[middle..].fill(0x55);
        }
        self.send(out).await;
        self.last
    }

    async fn is_sent_away(&mut self) {
        let came = loop {
            let came = self.next().await;
            if came.kind != Kind::Hello {
                break came;
            }
        };
        assert_eq!(came.kind, Kind::GoAway);
        assert_eq!(GoAway::decode(&came).unwrap().why.code, Code::Protocol);
    }
}

fn much() -> Vec<Bytes> {
    vec![Bytes::from(b"paid ".repeat(2000)); 10]
}

#[tokio::test]
async fn calls_and_messages_are_compressed_where_both_sides_want_it_and_count_as_what_they_are() {
    let host = packing().await;
    let mut peer = Peer::packing(&host).await;
    let channel = peer.packed(&Call::Append(append(1, &much())), false).await;
    let (_, end) = peer.answer(channel).await;
    assert_eq!(
        Appended::decode(&end.unwrap()).unwrap().sections,
        [(Sequence(1), Sequence(10))]
    );
    // One frame comes, and counts as what it is; what follows waits for more credit.
    let channel = peer.call(&all(1)).await;
    let came = peer.next().await;
    assert!(came.kind == Kind::Data && came.is_packed());
    let body = came.body.len();
    assert!(came.bytes() > 100_000 && body < 10_000, "{} {body}", came.bytes());
    let read = entries(&[came.unpack().unwrap().body]);
    assert_eq!(read.into_iter().map(|entry| entry.payload).collect::<Vec<_>>(), much());
    let mut out = Vec::new();
    let bytes = 1 << 20;
    Credit { channel, bytes }.put(&mut out);
    peer.send(out).await;
    let (_, end) = peer.answer(channel).await;
    assert_eq!(ReadDone::decode(&end.unwrap()).unwrap().entries, 10);
    host.stop().await;
}

#[tokio::test]
async fn nothing_is_compressed_unless_both_want_it() {
    let plain = Host::start().await;
    let mut peer = Peer::packing(&plain).await;
    peer.append(append(1, &much())).await.unwrap();
    peer.call(&all(1 << 20)).await;
    assert!(!peer.next().await.is_packed(), "the server does not want it");
    peer.packed(&Call::Append(append(11, &much())), false).await;
    while peer.next().await.kind != Kind::GoAway {}
    plain.stop().await;

    let host = packing().await;
    let mut peer = Peer::connect(&host).await;
    peer.append(append(1, &much())).await.unwrap();
    let channel = peer.call(&all(1 << 20)).await;
    let came = peer.next().await;
    assert!(
        came.kind == Kind::Data && !came.is_packed(),
        "the client does not want it"
    );
    peer.answer(channel).await.1.unwrap();
    peer.packed(&Call::Append(append(11, &much())), false).await;
    peer.is_sent_away().await;
    host.stop().await;
}

#[tokio::test]
async fn a_compressed_call_that_is_damaged_ends_the_connection_and_stores_nothing() {
    let host = packing().await;
    let mut peer = Peer::packing(&host).await;
    peer.packed(&Call::Append(append(1, &much())), true).await;
    peer.is_sent_away().await;
    let mut peer = Peer::connect(&host).await;
    let channel = peer.call(&all(1 << 20)).await;
    let (messages, end) = peer.answer(channel).await;
    end.unwrap();
    assert!(entries(&messages).is_empty());
    host.stop().await;
}

#[tokio::test]
async fn the_client_appends_and_reads_the_same_compressed_or_not() {
    for (of_server, of_client) in [(true, true), (true, false), (false, true)] {
        let limits = Limits {
            compression: of_server,
            ..Limits::default()
        };
        let host = Host::with_limits(limits).await;
        let client: Client = host.client().protocol(Protocol::V2).compression(of_client).build();
        let store = client.store(STORE);
        for first in [1, 11] {
            let sections = append(first, &much()).sections;
            store.append(streamkit_client::Append::new(sections)).await.unwrap();
        }
        let source = ReadSource::Segment(path(), Sequence::FIRST, Sequence(u64::MAX));
        let mut batches = store.read(streamkit_client::Read::all(source));
        let mut came = Vec::new();
        while let Some(batch) = batches.next().await {
            match batch.unwrap() {
                Batch::Entries(entries) => came.extend(entries.into_iter().map(|entry| entry.payload)),
                Batch::End(_) => break,
            }
        }
        assert_eq!(came, [much(), much()].concat());
        host.stop().await;
    }
}

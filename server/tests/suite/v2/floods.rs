//! Many calls at once that come to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use streamkit_server_core::Limits;

use super::*;

fn unknown(channel: u32, out: &mut Vec<u8>) {
    frame(out, (channel, Kind::Call), nothing, |out| {
        out.extend_from_slice(&[99; 17])
    });
}

/// Refusals that the peer does not take are bounded: the server reads no further, and others go on. When it leaves, it names what it has
/// begun, and has ended that.
#[tokio::test]
async fn a_flood_of_refused_calls_by_a_peer_that_does_not_read_is_bounded_and_each_that_was_begun_ends() {
    let host = Host::start().await;
    let (mut sink, mut stream) = Peer::connect(&host).await.socket.split();
    let sent = Arc::new(AtomicU32::new(0));
    let counts = sent.clone();
    let flood = tokio::spawn(async move {
        loop {
            let mut out = Vec::new();
            for _ in 0..1000 {
                unknown(counts.fetch_add(1, Ordering::Relaxed) + 1, &mut out);
            }
            if sink.send(Message::Binary(out.into())).await.is_err() {
                return;
            }
        }
    });
    let mut other = Peer::connect(&host).await;
    let (mut first, mut before, mut still) = (1, 0, 0);
    while still < 50 {
        other.append(append(first, &["x".into()])).await.unwrap();
        first += 1;
        let now = sent.load(Ordering::Relaxed);
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
    let stops = tokio::spawn(host.stop());
    let (mut ended, mut last) = (0, None);
    while let Some(Ok(message)) = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap() {
        let Message::Binary(mut message) = message else {
            continue;
        };
        while let Some(came) = Frame::take(&mut message).unwrap() {
            match came.kind {
                Kind::Error => {
                    ended += 1;
                    assert_eq!(came.channel, ended, "in their order");
                }
                Kind::GoAway => last = Some(GoAway::decode(&came).unwrap().last),
                Kind::Credit | Kind::Ping => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(last, Some(ended));
    flood.abort();
    stops.await.unwrap();
}

#[tokio::test]
async fn each_of_many_refused_calls_is_told_and_takes_no_channel() {
    let limits = Limits {
        channels: 2,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peer = Peer::connect(&host).await;
    let mut out = Vec::new();
    for channel in 1..=5000 {
        unknown(channel, &mut out);
    }
    peer.last = 5000;
    peer.send(out).await;
    for channel in 1..=5000 {
        let (_, end) = peer.answer(channel).await;
        assert_eq!(end.unwrap_err().code, Code::UnknownVerb, "{channel}");
    }
    peer.append(append(1, &["x".into()])).await.unwrap();
    host.stop().await;
}

/// An operator sees that peers break the rules.
#[tokio::test]
async fn whoever_breaks_the_rules_is_counted() {
    let host = Host::start().await;
    let count = || {
        let text = host.server.metrics_text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("streamkit_peers_broke_protocol_total "));
        line.map(str::to_owned)
    };
    assert_eq!(count().as_deref(), Some("0"));
    let mut peer = Peer::connect(&host).await;
    peer.send(vec![0xff; 12]).await;
    assert_eq!(peer.next().await.kind, Kind::GoAway);
    assert_eq!(count().as_deref(), Some("1"));
    host.stop().await;
}

/// A call whose cancel came with it is ended as cancelled, and one whose cancel came later as well.
#[tokio::test]
async fn calls_that_are_cancelled_in_the_same_message_end_at_once() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let follow = Call::Follow(Follow {
        credit: 1 << 20,
        parts: vec![Wanted::Space(Name::new("orders").unwrap())],
        cursor: LogCursor::default(),
        is_from_now: false,
        heartbeat: 0,
        filter: Filter::default(),
    });
    let mut out = Vec::new();
    for channel in 1..=3000 {
        frame(&mut out, (channel, Kind::Call), nothing, |out| {
            follow.put(StoreId(STORE), out)
        });
        frame(&mut out, (channel, Kind::Cancel), nothing, nothing);
    }
    peer.last = 3000;
    peer.send(out).await;
    for channel in 1..=3000 {
        let (messages, end) = peer.answer(channel).await;
        assert!(messages.is_empty());
        assert_eq!(end.unwrap_err().code, Code::Invalid);
    }
    // An append runs to its end once it was called.
    let mut out = Vec::new();
    peer.last += 1;
    let call = Call::Append(append(1, &["x".into()]));
    frame(&mut out, (peer.last, Kind::Call), nothing, |out| {
        call.put(StoreId(STORE), out)
    });
    frame(&mut out, (peer.last, Kind::Cancel), nothing, nothing);
    peer.send(out).await;
    let (_, end) = peer.answer(peer.last).await;
    end.unwrap();
    host.stop().await;
}

/// A message of many frames keeps no thread from others: on one thread, whoever shares it has its turn in between.
#[tokio::test]
async fn a_message_of_a_million_frames_leaves_others_their_turn() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let mut other = Peer::connect(&host).await;
    let mut out = Vec::new();
    for _ in 0..1_000_000 {
        frame(&mut out, (0, Kind::Ping), nothing, |out| out.extend_from_slice(&[1; 8]));
    }
    unknown(1, &mut out);
    peer.send(out).await;
    // The server has all but what stands in the sockets. All run on this thread, so what others get done now, it lets them do.
    let answered = async { while peer.next().await.kind != Kind::Error {} };
    tokio::pin!(answered);
    let mut done = 0;
    loop {
        tokio::select! {
            () = &mut answered => break,
            done_now = other.append(append(done + 1, &["x".into()])) => { done_now.unwrap(); done += 1; }
        }
    }
    assert!(done > 2, "only {done} of others were done meanwhile");
    host.stop().await;
}

/// A part of 7 bytes in a frame takes many times as much in memory, for as long as it is followed: that is what counts.
#[tokio::test]
async fn follows_of_very_many_parts_have_bounded_room_together() {
    let host = Host::start().await;
    let mut peer = Peer::connect(&host).await;
    let follow = Call::Follow(Follow {
        credit: 1 << 20,
        parts: vec![Wanted::Prefix(Name::new("s").unwrap(), String::new()); 65_536],
        cursor: LogCursor::default(),
        is_from_now: false,
        heartbeat: 0,
        filter: Filter::default(),
    });
    let mut refused = 0;
    for _ in 0..16 {
        let channel = peer.call(&follow).await;
        loop {
            let came = peer.next().await;
            match came.kind {
                Kind::Data if came.channel == channel => break,
                Kind::Error if came.channel == channel => {
                    assert_eq!(CallError::decode(&came.body).unwrap().code, Code::Overloaded);
                    refused += 1;
                    break;
                }
                _ => {}
            }
        }
    }
    assert!((1..16).contains(&refused), "{refused} were refused");
    peer.append(append(1, &["x".into()])).await.unwrap();
    host.stop().await;
}

//! Channels of one connection: order, ends, limits, strays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use streamkit_engine::{Engine, EngineConfig, OpenError, Store, StoreId, Stores};
use streamkit_protocol::{Control, Frame, FrameHead, Request, Terminal};
use streamkit_server_core::Limits;
use uuid::Uuid;

use crate::peer::*;

#[tokio::test]
async fn a_store_outside_the_token_gets_access_denied_with_its_own_ids() {
    let host = Host::start().await;
    let mut peer = host
        .connect_with(&token(&[&format!("streamkit::{STORE}")]))
        .await
        .unwrap();
    let head = FrameHead::new(Uuid::from_u128(9), Uuid::new_v4());
    peer.send(head, &peek("s", "a").encode()).await;
    let frame = peer.frame().await.unwrap();
    assert_eq!(
        (&frame.control, frame.store_id, frame.channel_id),
        (&Control::Error, head.store_id, head.channel_id)
    );
    assert_eq!(&frame.message()[..], br#"{"type":"mux::error","err":"access denied"}"#);
    assert!(peer.call(&peek("s", "a")).await.1 == Terminal::Close);
}

#[tokio::test]
async fn read_and_write_scopes_allow_only_their_verbs() {
    let host = Host::start().await;
    let denied = Terminal::Error("access denied".into());
    let mut reader = host.connect_with(&token(&["streamkit::*:read"])).await.unwrap();
    assert_eq!(reader.call(&produce("s", "a")).await.1, denied);
    assert_eq!(reader.call(&peek("s", "a")).await.1, Terminal::Close);
    let mut writer = host.connect_with(&token(&["streamkit::*:write"])).await.unwrap();
    assert_eq!(writer.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    assert_eq!(writer.call(&peek("s", "a")).await.1, denied);
}

#[tokio::test]
async fn late_frames_of_a_finished_channel_and_stray_ends_are_dropped() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = peer.open(&peek("s", "a")).await;
    peer.finish(head).await;
    peer.send(head, record(1).as_bytes()).await;
    peer.send(head, &Terminal::Close.encode()).await;
    peer.send(FrameHead::new(STORE, Uuid::new_v4()), &Terminal::Close.encode())
        .await;
    peer.send(
        FrameHead::new(STORE, Uuid::new_v4()),
        &Terminal::Error("x".into()).encode(),
    )
    .await;
    peer.answers_ping().await;
}

#[tokio::test]
async fn too_many_channels_get_an_error_and_the_others_go_on() {
    let host = Host::with_limits(Limits {
        channels: 1,
        ..Limits::default()
    })
    .await;
    let mut peer = host.connect().await;
    let first = peer.open(&produce("s", "a")).await;
    let second = peer.open(&peek("s", "a")).await;
    assert_eq!(
        peer.finish(second).await.1,
        Terminal::Error("too many active streams".into())
    );
    peer.send(second, &peek("s", "a").encode()).await;
    // An end of what we do not know is not answered, full or not.
    let unknown = FrameHead::new(STORE, Uuid::new_v4());
    peer.send(unknown, &Terminal::Close.encode()).await;
    peer.send(first, record(1).as_bytes()).await;
    peer.send(first, &Terminal::Close.encode()).await;
    assert_eq!(peer.finish(first).await.1, Terminal::Close);
}

#[tokio::test]
async fn a_channel_over_the_connections_bytes_is_ended_alone_and_ping_still_answered() {
    let limits = Limits {
        connection_inbound_bytes: 4096,
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    let big = format!("{{\"sequence\":1,\"payload\":\"{}\"}}", "AAAA".repeat(2000));
    peer.send(head, big.as_bytes()).await;
    assert_eq!(
        peer.finish(head).await.1,
        Terminal::Error("stream receive buffer overloaded".into())
    );
    peer.answers_ping().await;
    assert_eq!(peer.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
}

#[tokio::test]
async fn an_error_frame_of_the_peer_discards_what_it_was_producing() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let head = peer.open(&produce("s", "a")).await;
    peer.send(head, record(1).as_bytes()).await;
    let error = head.error(&Terminal::Error("gave up".into()).encode());
    peer.send_text(String::from_utf8(error).unwrap()).await;
    assert_eq!(peer.finish(head).await.1, refused("remote error: gave up"));
    assert!(peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":0"));
}

#[tokio::test]
async fn frames_of_a_channel_keep_their_order_while_many_run() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let records: Vec<String> = (1..=3000).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    assert_eq!(peer.produce("s", "a", &records).await.0.len(), 1);
    let mut next = std::collections::HashMap::new();
    for _ in 0..8 {
        next.insert(
            peer.open(&Request::ConsumeSegment(consume("s", "a"))).await.channel_id,
            1,
        );
    }
    let mut ended = 0;
    while ended < 8 {
        let frame = peer.frame().await.unwrap();
        let id = frame.channel_id;
        let message = frame.message();
        match Terminal::decode(&message) {
            Some(end) => {
                assert_eq!((end, next[&id]), (Terminal::Close, 3001));
                ended += 1;
            }
            None => {
                let expected = next.get_mut(&id).unwrap();
                assert_eq!(streamkit_protocol::Entry::decode(&message).unwrap().sequence, *expected);
                *expected += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_consume_stops_when_the_peer_ends_it() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let payload = "AAAA".repeat(3000);
    let records: Vec<String> = (1..=2000)
        .map(|n| format!("{{\"sequence\":{n},\"payload\":\"{payload}\"}}"))
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    assert_eq!(peer.produce("s", "a", &records).await.1, Terminal::Close);
    let head = peer.open(&Request::ConsumeSegment(consume("s", "a"))).await;
    peer.frame().await.unwrap();
    peer.send(head, &Terminal::Close.encode()).await;
    let (messages, end) = peer.finish(head).await;
    // A peer that only ended its own side must not take the rest for sent.
    assert_eq!(end, refused("context canceled"));
    assert!(messages.len() < 1999, "all {} entries were sent", messages.len());
}

#[tokio::test]
async fn a_malformed_frame_closes_the_connection_and_unknown_controls_are_ignored() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    peer.send_text("{\"ControlType\":\"dance\",\"payload\":null}".into())
        .await;
    peer.answers_ping().await;
    peer.send_text("{\"ControlType\":\"data\",\"channel_id\":\"x\"}".into())
        .await;
    assert_eq!(peer.frame().await.unwrap().control, Control::Close);
    assert!(peer.frame().await.is_none());
    assert_eq!(host.connect().await.call(&Request::GetSpaces).await.1, Terminal::Close);
}

#[tokio::test]
async fn closing_with_open_channels_does_not_hang() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    for n in 0..50 {
        let head = peer.open(&produce("s", &n.to_string())).await;
        peer.send(head, record(1).as_bytes()).await;
    }
    peer.send_text(String::from_utf8(Frame::connection(Control::Close).encode()).unwrap())
        .await;
    // Each channel is ended, then the connection.
    let mut ended = 0;
    let last = loop {
        let frame = peer.frame().await.expect("an answer to its close");
        match frame.control {
            Control::Data => ended += usize::from(Terminal::decode(&frame.message()).is_some()),
            other => break other,
        }
    };
    assert_eq!((ended, last), (50, Control::Close));
    assert!(peer.frame().await.is_none());
    tokio::time::timeout(Duration::from_secs(10), host.stop())
        .await
        .unwrap();
}

/// Stores that do not open.
struct Broken(AtomicU32);

#[async_trait::async_trait]
impl Stores for Broken {
    async fn store(&self, _: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(OpenError::Config("broken on purpose".into()))
    }

    fn ready(&self) -> Result<(), streamkit_engine::StorageError> {
        Ok(())
    }

    async fn close(&self) {}
}

#[tokio::test]
async fn a_store_that_fails_to_open_three_times_is_left_alone_for_a_while() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig::new(dir.path());
    let engine = tokio::task::spawn_blocking(|| Engine::open(config))
        .await
        .unwrap()
        .unwrap();
    let broken = Arc::new(Broken(AtomicU32::new(0)));
    let limits = Limits {
        store_open_pause: Duration::from_millis(300),
        ..Limits::default()
    };
    let host = Host::over(broken.clone(), engine, dir, limits, "127.0.0.1:0").await;
    let mut peer = host.connect().await;
    for _ in 0..5 {
        assert_eq!(
            peer.call(&peek("s", "a")).await.1,
            Terminal::Error("store unavailable".into())
        );
    }
    assert_eq!(broken.0.load(Ordering::Relaxed), 3);
    tokio::time::sleep(Duration::from_millis(400)).await;
    peer.call(&peek("s", "a")).await;
    assert_eq!(broken.0.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn that_all_places_are_taken_breaks_no_circuit_and_hinders_no_read_of_a_store_that_is_not_there() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig {
        open_stores: 1,
        open_deadline: Duration::from_secs(1),
        ..EngineConfig::new(dir.path())
    };
    let engine = tokio::task::spawn_blocking(|| Engine::open(config))
        .await
        .unwrap()
        .unwrap();
    let held = engine.store(StoreId(Uuid::from_u128(77))).await.unwrap();
    let host = Host::over(Arc::new(engine.clone()), engine, dir, Limits::default(), "127.0.0.1:0").await;
    let mut peer = host.connect().await;
    for _ in 0..4 {
        let refused = peer.produce("s", "a", &[&record(1)]).await.1;
        assert_eq!(refused, Terminal::Error("store unavailable".into()));
    }
    assert_eq!(peer.call(&peek("s", "a")).await.1, Terminal::Close);
    drop(held);
    assert_eq!(peer.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    host.stop().await;
}

#[tokio::test]
async fn a_frame_that_names_another_store_than_its_channel_ends_the_channel_and_nothing_is_stored_in_either() {
    let host = Host::start().await;
    let other = Uuid::from_u128(9);
    for scope in ["streamkit::*".to_owned(), format!("streamkit::{STORE}")] {
        let mut peer = host.connect_with(&token(&[&scope])).await.unwrap();
        for stray in [record(2).into_bytes(), Terminal::Close.encode()] {
            let head = peer.open(&produce("s", "a")).await;
            peer.send(head, record(1).as_bytes()).await;
            let strayed = FrameHead::new(other, head.channel_id);
            peer.send(strayed, &stray).await;
            peer.send(head, record(2).as_bytes()).await;
            peer.send(head, &Terminal::Close.encode()).await;
            let why = Terminal::Error("a frame of this channel names another store".into());
            assert_eq!(peer.finish(strayed).await.1, why);
            peer.answers_ping().await;
        }
        assert!(peer.call(&peek("s", "a")).await.0[0].starts_with("{\"sequence\":0,"));
    }
    host.stop().await;
}

//! Hostile peers that are slow, stop in the middle, vanish, or never read. Each test has an ordinary client beside them.

use std::time::Duration;

use futures_util::future::join_all;
use streamkit_protocol::{Control, Frame, FrameHead, Request, SubscribeToSegmentStatus, SubscribeWorkers, Terminal};
use streamkit_server_core::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use crate::budgets::metric;
use crate::bystander::unharmed;
use crate::peer::*;
use crate::unread::{masked, raw};

fn address(host: &Host) -> &str {
    host.url.trim_start_matches("ws://")
}

#[tokio::test]
async fn heads_that_come_byte_by_byte_are_given_up_and_keep_nobody_out() {
    let host = Host::with_limits(Limits {
        handshake: Duration::from_secs(1),
        ..Limits::default()
    })
    .await;
    let slow = async |_| {
        let mut tcp = TcpStream::connect(address(&host)).await.unwrap();
        tcp.write_all(b"GET /streamz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .await
            .unwrap();
        while tcp.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    unharmed(&host, join_all((0..60).map(slow))).await;
}

#[tokio::test]
async fn what_comes_byte_by_byte_arrives_and_keeps_nobody_waiting() {
    let host = Host::start().await;
    let slow = async |n: usize| {
        let mut tcp = raw(&host, &token(&["streamkit::*"])).await;
        tcp.set_nodelay(true).unwrap();
        let head = FrameHead::new(STORE, Uuid::new_v4());
        let messages = [
            produce("s", &n.to_string()).encode(),
            record(1).into_bytes(),
            Terminal::Close.encode(),
        ];
        for byte in messages.iter().flat_map(|message| masked(1, &head.data(message))) {
            tcp.write_all(&[byte]).await.unwrap();
        }
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("eyJ0eXBlIjoibXV4OjpjbG9zZSJ9") {
            assert!(tcp.read_buf(&mut said).await.unwrap() > 0, "the connection ended");
        }
    };
    unharmed(&host, join_all((0..20).map(slow))).await;
    let mut peer = host.connect().await;
    for n in 0..20 {
        assert!(peer.call(&peek("s", &n.to_string())).await.0[0].contains("\"sequence\":1,"));
    }
}

#[tokio::test]
async fn frames_that_never_end_are_given_up() {
    let host = Host::with_limits(Limits {
        silence: Duration::from_secs(1),
        ..Limits::default()
    })
    .await;
    let whole = masked(
        1,
        &FrameHead::new(STORE, Uuid::new_v4()).data(&produce("s", "a").encode()),
    );
    let stops = async |at: usize| {
        let mut tcp = raw(&host, &token(&["streamkit::*"])).await;
        tcp.write_all(&whole[..at]).await.unwrap();
        let mut said = Vec::new();
        let _ = tcp.read_to_end(&mut said).await;
    };
    unharmed(&host, join_all((0..30).map(|n| stops(n * whole.len() / 30)))).await;
}

/// Passes bytes on until its peers vanish: from then on it reads and writes nothing, and closes nothing either.
struct Vanishing {
    url: String,
    gone: watch::Sender<bool>,
}

impl Vanishing {
    async fn before(host: &Host) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (gone, vanished) = watch::channel(false);
        let target = address(host).to_owned();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(&target).await.unwrap();
                let mut vanished = vanished.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                        _ = vanished.wait_for(|gone| *gone) => {}
                    }
                    std::future::pending::<()>().await;
                    drop((near, far));
                });
            }
        });
        Self { url, gone }
    }
}

#[tokio::test]
async fn peers_that_vanish_without_a_word_are_noticed_and_leave_nothing_behind() {
    let host = Host::with_limits(Limits {
        silence: Duration::from_secs(6),
        write_deadline: Duration::from_secs(4),
        ..Limits::default()
    })
    .await;
    let large = format!("{{\"sequence\":1,\"payload\":\"{}\"}}", "AAAA".repeat(1_000_000));
    for n in 0..8 {
        let produced = host.connect().await.produce("large", &n.to_string(), &[&large]).await;
        assert_eq!(produced.1, Terminal::Close);
    }
    let follow = Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: "*".into(),
        heartbeat_interval_seconds: 1,
    });
    let worker = Request::SubscribeWorkers(SubscribeWorkers {
        worker_id: Uuid::from_u128(7),
        heartbeat_interval_seconds: 1,
        ..Default::default()
    });
    let link = Vanishing::before(&host).await;
    unharmed(&host, async {
        let (mut peers, all) = (Vec::new(), token(&["streamkit::*"]));
        for _ in 0..3 {
            let mut peer = connect(&link.url, &all).await.unwrap();
            let producing = peer.open(&produce("s", "a")).await;
            peer.send(producing, record(1).as_bytes()).await;
            for request in [&follow, &worker] {
                peer.open(request).await;
            }
            let read = streamkit_protocol::ConsumeSpace {
                space: "large".into(),
                ..Default::default()
            };
            peer.open(&Request::ConsumeSpace(read)).await;
            peers.push(peer);
            peers.push(connect(&link.url, &all).await.unwrap());
        }
        while metric(&host, "streamkit_subscriptions").await < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        link.gone.send_replace(true);
        while metric(&host, "streamkit_connections").await > 1 || metric(&host, "streamkit_subscriptions").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut peer = host.connect().await;
    assert!(
        peer.call(&peek("s", "a")).await.0[0].contains("\"sequence\":0,"),
        "an end that never came"
    );
    peer.open(&Request::SubscribeWorkers(SubscribeWorkers::default())).await;
    let inventory = peer.frame().await.unwrap().message();
    assert!(String::from_utf8_lossy(&inventory).contains("\"workers\":[]"));
}

#[tokio::test]
async fn peers_that_never_read_harm_nobody() {
    let host = Host::with_limits(Limits {
        write_deadline: Duration::from_secs(2),
        outgoing_bytes: 24 << 20,
        ..Limits::default()
    })
    .await;
    let large = format!("{{\"sequence\":1,\"payload\":\"{}\"}}", "AAAA".repeat(1_000_000));
    for n in 0..4 {
        let produced = host.connect().await.produce("large", &n.to_string(), &[&large]).await;
        assert_eq!(produced.1, Terminal::Close);
    }
    let read = streamkit_protocol::ConsumeSpace {
        space: "large".into(),
        ..Default::default()
    };
    let read = Request::ConsumeSpace(read).encode();
    let deaf = async |_| {
        let mut tcp = raw(&host, &token(&["streamkit::*"])).await;
        for _ in 0..20 {
            let frame = FrameHead::new(STORE, Uuid::new_v4()).data(&read);
            tcp.write_all(&masked(1, &frame)).await.unwrap();
        }
        // Alive it is, but it takes nothing.
        let ping = masked(1, &Frame::connection(Control::Ping).encode());
        while tcp.write_all(&ping).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    unharmed(&host, join_all((0..6).map(deaf))).await;
    assert_eq!(
        metric(&host, "streamkit_budget_held_bytes{budget=\"outgoing\"}").await,
        0
    );
}

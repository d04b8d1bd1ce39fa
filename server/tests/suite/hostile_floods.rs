//! Hostile peers that ask for much of everything: channels, stores, pings, ends, subscriptions, workers, leases. Each test has
//! an ordinary client beside them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_engine::{Engine, EngineConfig};
use streamkit_protocol::*;
use streamkit_server_core::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::budgets::metric;
use crate::bystander::unharmed;
use crate::handshake::get;
use crate::peer::*;
use crate::unread::raw;

fn request(store: Uuid, request: &Request) -> Vec<Vec<u8>> {
    vec![FrameHead::new(store, Uuid::new_v4()).data(&request.encode())]
}

/// One record to a segment, and the end.
fn append(store: Uuid, segment: &str) -> Vec<Vec<u8>> {
    let head = FrameHead::new(store, Uuid::new_v4());
    let messages = [
        produce("s", segment).encode(),
        record(1).into_bytes(),
        Terminal::Close.encode(),
    ];
    messages.iter().map(|message| head.data(message)).collect()
}

/// Sends all frames as fast as they are taken, and reads until so many channels have ended; how often each end came.
async fn flood(host: &Host, frames: Vec<Vec<u8>>, ends: usize) -> BTreeMap<String, usize> {
    let (mut to, mut from) = host.connect().await.socket.split();
    let (pong, mut pongs) = tokio::sync::mpsc::unbounded_channel();
    let send = async move {
        for frame in frames {
            let text = String::from_utf8(frame).unwrap();
            to.feed(Message::Text(text.into())).await.unwrap();
        }
        to.flush().await.unwrap();
        while let Some(frame) = pongs.recv().await {
            to.send(Message::Text(frame)).await.unwrap();
        }
    };
    let read = async move {
        let mut ended = BTreeMap::new();
        while ended.values().sum::<usize>() < ends {
            let Message::Text(text) = from.next().await.expect("the connection ended").unwrap() else {
                continue;
            };
            let frame = Frame::decode(text.as_bytes()).unwrap();
            if frame.control == Control::Ping {
                let answer = String::from_utf8(Frame::connection(Control::Pong).encode()).unwrap();
                let _ = pong.send(answer.into());
                continue;
            }
            if let Some(end) = Terminal::decode(&frame.message()) {
                let why = end.into_error().unwrap_or_default();
                *ended.entry(why).or_insert(0) += 1;
            }
        }
        ended
    };
    futures_util::future::join(send, read).await.1
}

#[tokio::test]
async fn a_flood_of_channels_is_refused_beyond_the_limit() {
    let host = Host::with_limits(Limits {
        channels: 500,
        ..Limits::default()
    })
    .await;
    unharmed(&host, async {
        let flood = async |_| {
            let opened = (0..3000).flat_map(|_| request(STORE, &produce("s", "a")));
            let ended = flood(&host, opened.collect(), 2500).await;
            assert_eq!(
                ended,
                [("remote error: too many active streams".to_owned(), 2500)].into()
            );
        };
        join_all((0..3).map(flood)).await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_stores_creates_none_by_reading_and_lets_others_have_their_turn() {
    const STORES: u128 = 150;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig {
        open_stores: 8,
        ..EngineConfig::new(dir.path())
    };
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = engine.unwrap().unwrap();
    let host = Host::over(Arc::new(engine.clone()), engine, dir, Limits::default(), "127.0.0.1:0").await;
    let authorization = format!("Authorization: Bearer {}\r\n", token(&["streamkit::*"]));
    let stores = async || get(&host, "/backup", &authorization).await.matches('-').count() / 4;
    unharmed(&host, async {
        let reads = (0..3000).flat_map(|n| request(Uuid::from_u128(1000 + n), &peek("s", "a")));
        let ended = flood(&host, reads.collect(), 3000).await;
        assert_eq!(ended, [(String::new(), 3000)].into());
        assert!(stores().await <= 2, "a peek made a store");
        let writes = (0..STORES).flat_map(|n| append(Uuid::from_u128(1000 + n), "a"));
        let ended = flood(&host, writes.collect(), STORES as usize).await;
        assert_eq!(ended, [(String::new(), STORES as usize)].into());
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_as_far_as_it_is_read() {
    let host = Host::start().await;
    unharmed(&host, async {
        let mut peer = host.connect().await;
        for n in 0..20_000_u32 {
            peer.socket
                .feed(Message::Ping(n.to_be_bytes().to_vec().into()))
                .await
                .unwrap();
            let ping = String::from_utf8(Frame::connection(Control::Ping).encode()).unwrap();
            peer.socket.feed(Message::Text(ping.into())).await.unwrap();
        }
        peer.socket.flush().await.unwrap();
        let head = peer.open(&peek("s", "a")).await;
        let mut pongs = 0;
        loop {
            let frame = peer.frame().await.expect("the connection ended");
            pongs += usize::from(frame.control == Control::Pong);
            if frame.channel_id == head.channel_id && Terminal::decode(&frame.message()).is_some() {
                break;
            }
        }
        assert!((1..=20_000).contains(&pongs), "{pongs}");
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_ends_ends_what_it_names_and_nothing_else() {
    let host = Host::start().await;
    let close = String::from_utf8(Frame::connection(Control::Close).encode()).unwrap();
    unharmed(&host, async {
        // Of channels that never were.
        let strays = (0..20_000).map(|n| {
            let end = [
                Terminal::Close,
                Terminal::CloseError("x".into()),
                Terminal::Error("x".into()),
            ][n % 3]
                .encode();
            FrameHead::new(STORE, Uuid::new_v4()).data(&end)
        });
        let ended = flood(&host, strays.chain(request(STORE, &peek("s", "a"))).collect(), 1).await;
        assert_eq!(ended, [(String::new(), 1)].into(), "nobody answers an end");
        // Of connections: many frames that each end it, and the WebSocket's own.
        let leaving = (0..100).map(async |n| {
            let mut peer = host.connect().await;
            peer.open(&produce("s", "a")).await;
            for _ in 0..50 {
                let message = if n % 2 == 0 {
                    Message::Text(close.as_str().into())
                } else {
                    Message::Close(None)
                };
                if peer.socket.send(message).await.is_err() {
                    break;
                }
            }
            while peer.socket.next().await.is_some_and(|next| next.is_ok()) {}
        });
        join_all(leaving).await;
        // Of sockets: reset in the handshake, and right behind it.
        for n in 0..200 {
            let tcp = match n % 2 {
                0 => TcpStream::connect(host.url.trim_start_matches("ws://")).await.unwrap(),
                _ => raw(&host, &token(&["streamkit::*"])).await,
            };
            #[allow(deprecated, reason = "zero never waits")]
            tcp.set_linger(Some(Duration::ZERO)).unwrap();
            drop(tcp);
        }
    })
    .await;
    while metric(&host, "streamkit_connections").await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_subscriptions_keeps_no_producer_waiting() {
    let host = Host::start().await;
    let follow = Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: "*".into(),
        heartbeat_interval_seconds: 1,
    });
    for n in 0..100 {
        let produced = host.connect().await.produce("s", &n.to_string(), &[&record(1)]).await;
        assert_eq!(produced.1, Terminal::Close);
    }
    unharmed(&host, async {
        let mut deaf = Vec::new();
        for _ in 0..3 {
            let mut tcp = raw(&host, &token(&["streamkit::*"])).await;
            for frame in (0..1500).flat_map(|_| request(STORE, &follow)) {
                tcp.write_all(&crate::unread::masked(1, &frame)).await.unwrap();
            }
            deaf.push(tcp);
        }
        // What they follow changes, and those who change it are not among those who wait.
        let mut producer = host.connect().await;
        producer.answers_pings = true;
        for sequence in 2..30 {
            for segment in 0..10 {
                let produced = producer.produce("s", &segment.to_string(), &[&record(sequence)]).await;
                assert_eq!(produced.1, Terminal::Close);
            }
        }
        drop(deaf);
        while metric(&host, "streamkit_subscriptions").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_workers_and_of_those_who_look_is_bounded() {
    let host = Host::with_limits(Limits {
        write_deadline: Duration::from_secs(3),
        ..Limits::default()
    })
    .await;
    let watch = |id: u128| {
        Request::SubscribeWorkers(SubscribeWorkers {
            worker_id: Uuid::from_u128(id),
            metadata: [("role".to_owned(), "x".repeat(20))].into(),
            heartbeat_interval_seconds: 1,
        })
    };
    unharmed(&host, async {
        // They look, and read nothing.
        let mut deaf = raw(&host, &token(&["streamkit::*"])).await;
        for frame in (0..200).flat_map(|_| request(STORE, &watch(0))) {
            deaf.write_all(&crate::unread::masked(1, &frame)).await.unwrap();
        }
        // More come than a store has room for; the same come again and again.
        let come = (1..=1020)
            .chain((1..=20).cycle().take(40))
            .flat_map(|id| request(STORE, &watch(id)));
        let ended = flood(&host, come.collect(), 60).await;
        let known = [
            "too many workers",
            "worker_id registered by another stream",
            "the worker is taken for gone",
        ];
        assert!(
            ended.keys().all(|why| known.iter().any(|part| why.contains(part))),
            "{ended:?}"
        );
        assert!(ended.keys().any(|why| why.contains(known[0])), "{ended:?}");
    })
    .await;
    let mut peer = host.connect().await;
    peer.open(&watch(0)).await;
    loop {
        let inventory = peer.frame().await.unwrap().message();
        if String::from_utf8_lossy(&inventory).contains("\"workers\":[]") {
            break;
        }
    }
}

#[tokio::test]
async fn a_flood_of_leases_grants_each_to_one_and_holds_up_no_append() {
    const KEYS: usize = 400;
    let host = Host::start().await;
    let acquire = |key: usize, holder: usize| {
        Request::LeaseAcquire(LeaseAcquire {
            key: key.to_string(),
            holder: holder.to_string(),
            ttl_seconds: 3600,
        })
    };
    unharmed(&host, async {
        let floods = (0..3).map(|holder| {
            let asked = (0..KEYS).flat_map(move |key| request(STORE, &acquire(key, holder)));
            flood(&host, asked.collect(), KEYS)
        });
        for ended in join_all(floods).await {
            assert_eq!(ended, [(String::new(), KEYS)].into());
        }
    })
    .await;
    let mut peer = host.connect().await;
    for key in (0..KEYS).step_by(20) {
        let mut granted = 0;
        for holder in 0..3 {
            let answer = peer.call(&acquire(key, holder)).await.0;
            granted += usize::from(LeaseResult::decode(answer[0].as_bytes()).unwrap().ok);
        }
        assert_eq!(granted, 1, "{key}");
    }
}

//! What our client sends where a Go client was recorded, against a server that answers with what the Go server said: frame by frame the
//! same, up to times, ids, and the differences that docs/WIRE-V1.md names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use streamkit_client::record::Name;
use streamkit_client::*;
use streamkit_protocol::v2::{Lease, LeaseChange};
use streamkit_protocol::{Control, Frame, FrameHead, Terminal};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use uuid::Uuid;

use crate::peer::PATIENCE;
use crate::recorded::{Recorded, conversations};
use crate::scripts::send;
use crate::via::{Listener, Via};

const STORE: Uuid = Uuid::from_u128(0x00000000_0000_4000_8000_000000000001);

const HANDSHAKE: &str = include_str!("../../../client/protocol/tests/data/wire-v1/handshake.json");

/// What a Go client says, what ours says instead, and why. Each has to occur.
const DIFFERENCES: [(&str, &str, &str); 2] = [
    (
        r#""heartbeat_interval_seconds":0"#,
        r#""heartbeat_interval_seconds":10"#,
        "a subscription of ours leaves a server that says nothing for three heartbeats",
    ),
    (
        r#"{"type":"mux::close","err":"context canceled"}"#,
        r#"{"type":"mux::close"}"#,
        "that one wants no more is no error",
    ),
];

/// Conversations that our client does not have, how many, and why.
const NOT_HAD: [(&str, &str, usize, &str); 2] = [
    (
        "publish-new-segment",
        "peek",
        3,
        "a Go client takes an empty segment for a failed peek, and asks four times",
    ),
    (
        "produce-zero-sequence",
        "produce",
        1,
        "our client sends no record that no server can store",
    ),
];

/// Headers of our handshake beside those of a Go client's.
const ADDED_HEADERS: [&str; 1] = ["streamkit-frames"];

/// Conversations in the order in which our client has them.
fn had() -> Vec<Recorded> {
    let mut not_had = NOT_HAD;
    let mut all = conversations();
    all.retain(|recorded| {
        let of_it = |row: &&mut (&str, &str, usize, &str)| (row.0, row.1) == (&recorded.case, &recorded.operation);
        match not_had.iter_mut().find(of_it) {
            Some(row) if row.2 > 0 => {
                row.2 -= 1;
                false
            }
            // A ping comes by itself: `an_idle_client_pings_as_recorded`.
            _ => recorded.case != "connection",
        }
    });
    assert!(not_had.iter().all(|row| row.2 == 0), "{not_had:?}");
    all
}

/// What a client sent over one connection.
#[derive(Default)]
struct Sent {
    /// The headers of its handshake, and what it asked for.
    headers: BTreeMap<String, String>,
    path: String,
    /// Frames of the connection itself.
    beside: Vec<String>,
    /// Those of each channel, in the order in which they were opened.
    channels: Vec<(Uuid, Vec<String>)>,
}

fn message(text: &str) -> String {
    let message = Frame::decode(text.as_bytes()).unwrap().message();
    String::from_utf8(message.to_vec()).unwrap()
}

fn is_end(text: &str) -> bool {
    Terminal::decode(message(text).as_bytes()).is_some()
}

/// A server of one connection, which answers channels as they come with what was recorded. It yields what it was sent.
fn answering(mut listener: Listener, recorded: &[Recorded]) -> JoinHandle<Sent> {
    let waiting = recorded.iter().map(|one| (one.operation.clone(), one.told.clone()));
    let mut waiting: VecDeque<(String, Vec<Value>)> = waiting.collect();
    tokio::spawn(async move {
        let mut sent = Sent::default();
        #[allow(clippy::result_large_err)] // as the library wants it
        let asked = |asked: &Request, answer: Response| {
            sent.path = asked.uri().path().to_owned();
            let headers = asked.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            sent.headers = headers.collect();
            Ok(answer)
        };
        let socket = tokio_tungstenite::accept_hdr_async(listener.accept().await, asked).await;
        let mut socket = socket.unwrap();
        let mut answers: BTreeMap<Uuid, (String, Vec<Value>)> = BTreeMap::new();
        while let Some(Ok(came)) = socket.next().await {
            let Ok(text) = came.into_text().map(|text| text.to_string()) else {
                break;
            };
            let Ok(frame) = Frame::decode(text.as_bytes()) else {
                break;
            };
            if frame.control != Control::Data {
                if frame.control == Control::Ping {
                    send(&mut socket, Frame::connection(Control::Pong).encode()).await;
                }
                sent.beside.push(text);
                continue;
            }
            let head = FrameHead::new(frame.store_id, frame.channel_id);
            let (operation, told) = answers.entry(frame.channel_id).or_insert_with(|| {
                sent.channels.push((frame.channel_id, Vec::new()));
                waiting.pop_front().unwrap_or_default()
            });
            let (_, texts) = sent
                .channels
                .iter_mut()
                .find(|(id, _)| *id == frame.channel_id)
                .unwrap();
            texts.push(text);
            let is_asked = match operation.as_str() {
                "produce" => texts.last().is_some_and(|last| is_end(last)),
                // With its first sign of life.
                "subscribe_workers" => texts.len() == 2,
                _ => true,
            };
            if is_asked {
                for message in std::mem::take(told) {
                    send(&mut socket, head.data(message.to_string().as_bytes())).await;
                }
            }
        }
        sent
    })
}

/// The frames of a client as they went over the wire, but with their messages readable, and without channel and times. Of a worker's signs of
/// life, which come by the clock, the first stands for all.
fn comparable(recorded: &Recorded, texts: &[String]) -> Vec<String> {
    let ends = recorded.told.last().is_some_and(|last| last["type"] == "mux::close");
    let mut all = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        // Whether a client still closes a channel that the server ends at the same time depends on who is faster.
        if n > 0 && ends && recorded.operation != "produce" && is_end(text) {
            continue;
        }
        let frame: Value = serde_json::from_str(text).unwrap();
        let mut message = message(text);
        if let Some((before, behind)) = message.split_once("\"timestamp\":") {
            let behind = behind.trim_start_matches(|digit: char| digit.is_ascii_digit());
            message = format!("{before}\"timestamp\":TIME{behind}");
        }
        let text = text.replace(frame["channel_id"].as_str().unwrap(), "CHANNEL");
        all.push(text.replace(&frame["payload"].to_string(), &message));
    }
    if recorded.operation == "subscribe_workers" {
        all.dedup();
    }
    all
}

/// The recorded frames as our client sends them. It is noted which differences there were.
fn expected(recorded: &Recorded, occurred: &mut BTreeSet<&str>) -> Vec<String> {
    let mut all = comparable(recorded, &recorded.sent);
    for text in &mut all {
        for (theirs, ours, _) in DIFFERENCES {
            if text.contains(theirs) {
                occurred.insert(theirs);
                *text = text.replace(theirs, ours);
            }
        }
    }
    all
}

fn records<const N: usize>(payloads: [&'static str; N]) -> [NewRecord; N] {
    payloads.map(|payload| NewRecord::new(payload.as_bytes()))
}

async fn writes(store: &StoreClient) {
    let two = NewRecord::new("two").with("k", "v").with("a", "b");
    let three = [NewRecord::new("one"), two, NewRecord::new("three")];
    store.produce_all("orders", "order-1", 1, three).await.unwrap();
    store.produce_all("orders", "order-2", 1, records([""])).await.unwrap();
    for first in [7, 3] {
        let conflict = store.produce_all("orders", "order-1", first, records(["x"])).await;
        assert!(matches!(conflict, Err(Error::Conflict { head: 3, .. })), "{conflict:?}");
    }
    let nothing = store.produce("orders", "order-3", 1).await.unwrap();
    assert_eq!(nothing.finish().await.unwrap(), None);
    let zero = store.produce_all("orders", "order-4", 0, records(["x"])).await;
    assert!(matches!(zero, Err(Error::Invalid(_))), "{zero:?}");
    store.produce_all("órders ☃", "a/b c", 1, records(["u"])).await.unwrap();
    let four = NewRecord::new("four").with("m", "1");
    let status = store.publish("orders", "order-1", four).await.unwrap();
    assert_eq!(status.last_sequence, 4);
    let status = store.publish("orders", "refund-1", NewRecord::new("p")).await.unwrap();
    assert_eq!(status.last_sequence, 1);
}

/// How many entries a read yields, which ends cleanly.
async fn read(entries: Entries) -> usize {
    entries.try_collect::<Vec<_>>().await.unwrap().len()
}

async fn reads(store: &StoreClient) {
    assert_eq!(store.peek("orders", "order-1").await.unwrap().unwrap().sequence, 4);
    assert_eq!(store.peek("orders", "nope").await.unwrap(), None);
    assert_eq!(store.spaces().await.unwrap(), ["orders", "órders ☃"]);
    assert_eq!(
        store.segments("orders").await.unwrap(),
        ["order-1", "order-2", "refund-1"]
    );
    assert!(store.segments("nope").await.unwrap().is_empty());
    let order = ConsumeSegment::all("orders", "order-1");
    let range = ConsumeSegment {
        from: 2,
        to: 3,
        ..order.clone()
    };
    let limit = ConsumeSegment {
        limit: 2,
        ..order.clone()
    };
    for (wanted, entries) in [
        (order.clone(), 4),
        (range, 2),
        (limit, 2),
        (ConsumeSegment::all("orders", "nope"), 0),
    ] {
        assert_eq!(read(store.consume_segment(wanted)).await, entries);
    }
    let last = store.peek("orders", "order-1").await.unwrap().unwrap().timestamp;
    let second = store.peek("orders", "order-2").await.unwrap().unwrap().timestamp;
    let behind = ConsumeSegment {
        after_time: last,
        ..order.clone()
    };
    assert_eq!(read(store.consume_segment(behind)).await, 0);
    let until = ConsumeSegment {
        until_time: second,
        ..order
    };
    assert_eq!(read(store.consume_segment(until)).await, 3);
    let space = ConsumeSpace::all("orders");
    assert_eq!(read(store.consume_space(space.clone())).await, 6);
    let two = store.consume_space(ConsumeSpace {
        limit: 2,
        ..space.clone()
    });
    let two: Vec<Entry> = two.try_collect().await.unwrap();
    let after = two[1].offset();
    let rest = ConsumeSpace {
        after: after.clone(),
        ..space.clone()
    };
    assert_eq!(read(store.consume_space(rest)).await, 4);
    let behind = ConsumeSpace {
        after_time: last,
        ..space.clone()
    };
    assert_eq!(read(store.consume_space(behind)).await, 0);
    let mut both = Consume::all(["órders ☃", "orders"]);
    both.spaces.insert("orders".to_owned(), after);
    assert_eq!(read(store.consume(both)).await, 5);
    assert_eq!(read(store.consume(Consume::all(["nope"]))).await, 0);
    let mut early = store.consume_space(space);
    assert_eq!(early.next().await.unwrap().unwrap().sequence, 1);
}

async fn follows(store: &StoreClient) {
    let mut follows = store.subscribe_segment("orders", "order-1");
    while follows.next().await.unwrap().unwrap().last_sequence < 5 {}
    drop(follows);
    store
        .produce_all("orders", "order-1", 5, records(["five"]))
        .await
        .unwrap();
    let mut follows = store.subscribe_space("orders");
    while follows.next().await.unwrap().unwrap().segment != "refund-2" {}
    drop(follows);
    store
        .produce_all("orders", "refund-2", 1, records(["n"]))
        .await
        .unwrap();
    let worker = |id: u128| NewWorker {
        heartbeat: Duration::from_secs(1),
        ..NewWorker::new(Uuid::from_u128(0x00000000_0000_4000_8000_000000000000 + id))
    };
    let first = store.join(worker(0xaa).with("host", "h1")).await.unwrap();
    let second = store.join(worker(0xbb)).await.unwrap();
    drop((second, first));
}

async fn leases(store: &StoreClient) {
    let change = async |change, key: &str, holder: &str| {
        let lease = Lease {
            change,
            key: Name::new(key).unwrap(),
            holder: Name::new(holder).unwrap(),
            ttl: Duration::from_secs(3),
        };
        store.lease(lease).await.unwrap().token.is_some()
    };
    let holder = "7990510f-c0ad-4dad-b9f6-7193e1b0094f";
    for what in [LeaseChange::Acquire, LeaseChange::Renew, LeaseChange::Release] {
        assert!(change(what, "job-1", holder).await);
    }
    assert!(change(LeaseChange::Acquire, "job-2", "9c11f361-a334-4c54-8aa5-42acc4246e75").await);
    assert!(!change(LeaseChange::Acquire, "job-2", "0230d317-9b8f-49ce-87e9-74f487e7fe93").await);
    assert!(matches!(store.status("", "").await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn every_recorded_call_is_made_in_the_recorded_frames_or_differs_as_documented() {
    let (listener, client) = Listener::new(Via::V1).await;
    let recorded = had();
    let server = answering(listener, &recorded);
    let client = client.build();
    let store = client.store(STORE);
    writes(&store).await;
    reads(&store).await;
    follows(&store).await;
    leases(&store).await;
    client.close().await;
    let sent = tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap();

    let mut occurred = BTreeSet::new();
    for (recorded, (_, texts)) in recorded.iter().zip(&sent.channels) {
        let theirs = expected(recorded, &mut occurred);
        assert_eq!(comparable(recorded, texts), theirs, "{}", recorded.case);
    }
    assert_eq!(sent.channels.len(), recorded.len());
    assert_eq!(occurred.len(), DIFFERENCES.len(), "{occurred:?}");
    same_handshake(&sent);
    assert_eq!(sent.beside.len(), 1, "{:?}", sent.beside);
    assert_eq!(sent.beside[0].as_bytes(), Frame::connection(Control::Close).encode());
}

/// The recorded handshake, but for what each has its own of, and what ours adds.
fn same_handshake(sent: &Sent) {
    let recorded: Value = serde_json::from_str(HANDSHAKE).unwrap();
    let mut lines = recorded[0]["head"].as_str().unwrap().lines();
    assert_eq!(lines.next().unwrap(), format!("GET {} HTTP/1.1", sent.path));
    let own = |name: &str, value: &str| match name {
        "host" | "sec-websocket-key" => "its own".to_owned(),
        "authorization" => value.split(' ').next().unwrap().to_owned(),
        // Words without case.
        "connection" | "upgrade" => value.to_lowercase(),
        _ => value.to_owned(),
    };
    let line = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        let name = name.to_lowercase();
        (name.clone(), own(&name, value))
    };
    let theirs: BTreeMap<String, String> = lines.map(line).collect();
    let (added, ours): (BTreeMap<_, _>, BTreeMap<_, _>) = sent
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), own(name, value)))
        .partition(|(name, _)| ADDED_HEADERS.contains(&name.as_str()));
    assert_eq!(ours, theirs);
    assert_eq!(added.len(), ADDED_HEADERS.len());
}

//! The program under signals.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use streamkit_protocol::{ConsumeSegment, Control, Frame, FrameHead, Request, SubscribeToSegmentStatus};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Message, WebSocket, connect};
use uuid::Uuid;

use crate::program::{STORE, Served, signal, streamkit, text, until, verify};

fn peer(served: &Served) -> WebSocket<MaybeTlsStream<TcpStream>> {
    let mut request = format!("{}/streamz", served.url).into_client_request().unwrap();
    let token = format!("Bearer {}", served.token).parse().unwrap();
    request.headers_mut().insert("authorization", token);
    connect(request).unwrap().0
}

/// A peer that takes nothing keeps a stopping server until the deadline; a second signal does not wait for it.
#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    served.kill();
    served.restart_with(&["--shutdown-deadline", "1h", "--write-deadline", "1h"]);
    let lines = format!("{}\n", "x".repeat(9000)).repeat(2000);
    let stored = served.run_with(&["produce", "s/a"], &lines);
    assert!(stored.status.success(), "{}", text(&stored.stderr));
    let mut peer = peer(&served);
    let consume = Request::ConsumeSegment(ConsumeSegment {
        space: "s".into(),
        segment: "a".into(),
        ..Default::default()
    });
    let frame = FrameHead::new(STORE.parse().unwrap(), Uuid::new_v4()).data(&consume.encode());
    peer.send(Message::Text(text(&frame).into())).unwrap();
    peer.read().unwrap();
    // Nothing tells when all queues are full; by now they are.
    std::thread::sleep(Duration::from_millis(500));
    served.signal("INT");
    served.wait_for_log("stopping");
    served.signal("INT");
    assert_eq!(served.wait().code(), Some(130));
}

/// `/readyz` is red while all else is served on; a second signal waits for none of it.
#[test]
fn a_server_that_drains_is_red_and_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start_with(dir.path(), &[("STREAMKIT_DRAIN", "1h")]);
    assert!(served.get("/readyz").starts_with("HTTP/1.1 200"));
    served.signal("TERM");
    served.wait_for_log("stopping");
    until("it is red", || {
        served.get("/readyz").starts_with("HTTP/1.1 503").then_some(())
    });
    assert!(served.get("/readyz").contains("shutting down"));
    assert!(served.get("/metrics").contains("streamkit_ready 0"));
    assert!(served.get("/healthz").starts_with("HTTP/1.1 200"));
    let stored = served.run_with(&["produce", "s/a"], "late\n");
    assert!(stored.status.success(), "{}", text(&stored.stderr));
    served.signal("TERM");
    assert_eq!(served.wait().code(), Some(130));
    assert!(verify(&served.data).status.success());
}

/// A channel that is open when the server stops ends with a text, never as if nothing more were to come.
#[test]
fn a_stop_ends_open_streams_with_a_text_and_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
    let mut peer = peer(&served);
    let follow = Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: "a".into(),
        ..Default::default()
    });
    let frame = FrameHead::new(STORE.parse().unwrap(), Uuid::new_v4()).data(&follow.encode());
    peer.send(Message::Text(text(&frame).into())).unwrap();
    peer.read().unwrap();
    served.signal("TERM");
    let mut last = None;
    while let Ok(message) = peer.read() {
        match message {
            Message::Text(frame) => {
                let frame = Frame::decode(frame.as_bytes()).unwrap();
                if frame.control == Control::Data || frame.control == Control::Error {
                    last = Some(text(&frame.message()));
                }
            }
            _ => continue,
        }
    }
    let last = last.expect("a terminal message");
    assert!(
        last.contains("mux::close") && last.contains("the server is shutting down"),
        "{last}"
    );
    assert_eq!(served.wait().code(), Some(0));
}

/// The line is what scripts wait for: whatever they do next, the server is there for it.
#[test]
fn a_signal_right_after_the_address_stops_it_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    for round in 0..10 {
        let mut serve = streamkit();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--commit-method", "threads"]);
        serve.arg("--data").arg(dir.path().join("data"));
        serve.arg("--jwt-key-file").arg(&key);
        let mut child = serve.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        signal(child.id(), "INT");
        assert!(first.starts_with("streamkit: serving on ws://"), "{first}");
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "round {round}: {rest:?}");
        let told = rest
            .iter()
            .filter(|line| line.contains("commit_method=\"threads\""))
            .count();
        assert_eq!(told, 1, "{rest:?}");
    }
}

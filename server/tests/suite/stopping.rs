//! The program under signals.
#![cfg(unix)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use streamkit_protocol::{Request, Terminal};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::peer::{PATIENCE, SECRET, connect, consume, produce, token};

async fn interrupt(child: &Child) {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().await.unwrap();
    assert!(sent.success());
}

fn serve(dir: &Path, options: &[&str]) -> Child {
    let key = dir.join("key");
    std::fs::write(&key, SECRET).unwrap();
    Command::new(env!("CARGO_BIN_EXE_streamkit"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(options)
        .env("STREAMKIT_LOG", "streamkit=debug")
        .arg("--data")
        .arg(dir.join("data"))
        .arg("--jwt-key-file")
        .arg(&key)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// A peer that takes nothing keeps a stopping server until the deadline; a second signal does not wait for it.
#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = serve(dir.path(), &["--shutdown-deadline", "1h", "--write-deadline", "1h"]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    let url = first.rsplit(' ').next().unwrap();
    let mut peer = connect(url, &token(&["streamkit::*"])).await.unwrap();
    let payload = "AAAA".repeat(3000);
    let head = peer.open(&produce("s", "a")).await;
    for sequence in 1..=2000 {
        let record = format!("{{\"sequence\":{sequence},\"payload\":\"{payload}\"}}");
        peer.send(head, record.as_bytes()).await;
    }
    peer.send(head, &Terminal::Close.encode()).await;
    assert_eq!(peer.finish(head).await.1, Terminal::Close);
    peer.open(&Request::ConsumeSegment(consume("s", "a"))).await;
    peer.frame().await.unwrap();
    // Nothing tells when all queues are full; by now they are.
    tokio::time::sleep(Duration::from_millis(500)).await;
    interrupt(&child).await;
    let stopping = async { while !lines.next_line().await.unwrap().unwrap().contains("stopping") {} };
    tokio::time::timeout(PATIENCE, stopping)
        .await
        .expect("it does not stop");
    interrupt(&child).await;
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert_eq!(ended.expect("it still waits").unwrap().code(), Some(130));
}

/// The line is what scripts wait for: whatever they do next, the server is there for it.
#[tokio::test]
async fn a_signal_right_after_the_address_stops_it_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let mut child = serve(dir.path(), &["--commit-method", "threads"]);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        interrupt(&child).await;
        assert!(first.starts_with("streamkit: serving on ws://"), "{first}");
        let mut rest = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            rest.push(line);
        }
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "round {round}: {rest:?}");
        let told = rest
            .iter()
            .filter(|line| line.contains("commit_method=\"threads\""))
            .count();
        assert_eq!(told, 1, "{rest:?}");
    }
}

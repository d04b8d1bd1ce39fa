//! A server whose disk fails or is full: what producers, consumers, `/readyz` and the log are told, and what is there after a
//! restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use streamkit_engine::{Engine, EngineConfig, limits};
use streamkit_protocol::{FrameHead, Request, Terminal};
use streamkit_server_core::Limits;
use uuid::Uuid;

use crate::handshake::get;
use crate::peer::{Host, Peer, STORE, consume, produce, record};
use crate::refusing::{Refusing, all_lines};

async fn host(dir: &Arc<tempfile::TempDir>, disk: &Refusing) -> Host {
    let config = EngineConfig {
        disk: Arc::new(disk.clone()),
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir.path())
    };
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = engine.unwrap().unwrap();
    Host::over(
        Arc::new(engine.clone()),
        engine,
        dir.clone(),
        Limits::default(),
        "127.0.0.1:0",
    )
    .await
}

/// What is logged as a warning or worse of a data directory or a store in it.
fn warnings_of(dir: &Path) -> Vec<String> {
    let (text, dir) = (all_lines().text(), dir.to_string_lossy().into_owned());
    let lines = text.lines().filter(|line| line.contains(&dir));
    let warnings = lines.filter(|line| line.contains("WARN") || line.contains("ERROR"));
    warnings.map(str::to_owned).collect()
}

/// Appends one record, and returns how that ended.
async fn append(peer: &mut Peer, segment: &str, sequence: u64) -> Terminal {
    peer.produce("s", segment, &[&record(sequence)]).await.1
}

fn why(end: &Terminal) -> &str {
    match end {
        Terminal::CloseError(why) => why,
        other => panic!("{other:?} is no refusal"),
    }
}

#[tokio::test]
async fn a_store_whose_write_failed_refuses_writes_reads_on_and_is_right_again_after_a_restart() {
    all_lines();
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let disk = Refusing::default();
    let host = host(&dir, &disk).await;
    let mut peer = host.connect().await;
    for sequence in 1..=3 {
        assert_eq!(append(&mut peer, "a", sequence).await, Terminal::Close);
    }
    let method = "streamkit-commit-method: threads\r\n";
    let ready = get(&host, "/readyz", "").await;
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.ends_with("\r\n\r\nok") && ready.contains(method),
        "{ready}"
    );
    disk.groups.store(true, Ordering::Release);
    let lost = append(&mut peer, "a", 4).await;
    assert!(
        why(&lost).starts_with("failed to write transaction: the outcome is unknown: ")
            && !why(&lost).contains(&*dir.path().to_string_lossy())
            && why(&lost).contains("the cable is out"),
        "{lost:?}"
    );
    // Red it stays, whatever the disk does next: what it holds is unknown until the store is opened again.
    disk.groups.store(false, Ordering::Release);
    for sequence in 4..=20 {
        let red = get(&host, "/readyz", "").await;
        assert!(red.starts_with("HTTP/1.1 503") && red.contains(method), "{red}");
        let refused = append(&mut peer, "a", sequence.min(4)).await;
        let store = STORE.to_string();
        for said in [why(&refused), &red] {
            for part in [
                "the store accepts no writes since a write failed",
                &store,
                "a file of the server: the cable is out",
                "restart to recover",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert!(!said.contains(&*dir.path().to_string_lossy()), "{said}");
        }
    }
    let read = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!((read.0.len(), read.1), (3, Terminal::Close), "reads go on");
    assert!(get(&host, "/healthz", "").await.starts_with("HTTP/1.1 200"));
    let metrics = get(&host, "/metrics", "").await;
    for line in [
        "streamkit_ready 0",
        "streamkit_connections 1",
        "streamkit_transactions_total 3",
        "streamkit_appends_failed_total{reason=\"unknown\"} 1",
        "streamkit_appends_failed_total{reason=\"halted\"} 17",
    ] {
        assert!(metrics.lines().any(|said| said == line), "{line}: {metrics}");
    }
    // Other stores go on.
    let other = FrameHead::new(Uuid::from_u128(9), Uuid::new_v4());
    peer.send(other, &produce("s", "a").encode()).await;
    peer.send(other, record(1).as_bytes()).await;
    peer.send(other, &Terminal::Close.encode()).await;
    assert_eq!(peer.finish(other).await.1, Terminal::Close);
    let said = warnings_of(dir.path());
    assert_eq!(said.len(), 1, "once, not for each that is refused: {said:?}");
    assert!(
        said[0].contains("ERROR") && said[0].contains(&STORE.to_string()) && said[0].contains("the cable is out"),
        "{said:?}"
    );
    drop(peer);
    let host = host.restart().await;
    let mut peer = host.connect().await;
    let read = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!(
        (read.0.len(), read.1),
        (3, Terminal::Close),
        "what was acknowledged is there"
    );
    assert_eq!(append(&mut peer, "a", 4).await, Terminal::Close);
    assert!(get(&host, "/readyz", "").await.starts_with("HTTP/1.1 200"));
    host.stop().await;
}

/// Many under way and queued when the disk fails: none is told that it is stored, and none that it is not which may be.
#[tokio::test]
async fn producers_under_way_when_a_write_fails_are_told_that_the_outcome_is_unknown() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let disk = Refusing::default();
    let host = host(&dir, &disk).await;
    let mut peer = host.connect().await;
    assert_eq!(append(&mut peer, "before", 1).await, Terminal::Close);
    disk.groups.store(true, Ordering::Release);
    let mut heads = Vec::new();
    for segment in 0..50 {
        let head = peer.open(&produce("s", &segment.to_string())).await;
        peer.send(head, record(1).as_bytes()).await;
        peer.send(head, &Terminal::Close.encode()).await;
        heads.push(head);
    }
    let (mut unknown, mut refused) = (0, 0);
    for _ in &heads {
        let frame = peer.frame().await.unwrap();
        let end = Terminal::decode(&frame.message()).expect("nothing is acknowledged");
        match why(&end).strip_prefix("failed to write transaction: ").unwrap() {
            said if said.starts_with("the outcome is unknown: ") => unknown += 1,
            said if said.starts_with("the store accepts no writes since a write failed") => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(unknown > 0 && unknown + refused == heads.len(), "{unknown} {refused}");
    drop(peer);
    disk.groups.store(false, Ordering::Release);
    let host = host.restart().await;
    let mut peer = host.connect().await;
    assert_eq!(append(&mut peer, "before", 2).await, Terminal::Close);
    host.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_by_name_before_anything_is_written_and_passes_without_a_restart() {
    all_lines();
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let disk = Refusing::default();
    let host = host(&dir, &disk).await;
    let mut peer = host.connect().await;
    let large = |sequence: u64| format!("{{\"sequence\":{sequence},\"payload\":\"{}\"}}", "AAAA".repeat(10_000));
    assert_eq!(append(&mut peer, "a", 1).await, Terminal::Close);
    // Less than is to stay free.
    disk.free
        .store(EngineConfig::new("").keep_free_bytes, Ordering::Release);
    let mut head = 1;
    let refused = loop {
        match peer.produce("s", "a", &[&large(head + 1)]).await.1 {
            Terminal::Close => head += 1,
            end => break end,
        }
    };
    for _ in 0..20 {
        assert_eq!(peer.produce("s", "a", &[&large(head + 1)]).await.1, refused);
        assert!(get(&host, "/readyz", "").await.starts_with("HTTP/1.1 200"), "it passes");
    }
    assert_eq!(why(&refused), "failed to write transaction: the disk is full");
    let read = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!(
        (read.0.len() as u64, read.1),
        (head, Terminal::Close),
        "nothing of it is stored"
    );
    let mut said = warnings_of(dir.path());
    said.retain(|line| line.contains("appends are refused"));
    assert_eq!(said.len(), 1, "once, not for each that is refused: {said:?}");
    assert!(said[0].contains(&STORE.to_string()), "{said:?}");
    let all = all_lines().text();
    assert!(!all.contains("an append failed error=the disk is full"), "{all}");
    disk.free.store(u64::MAX, Ordering::Release);
    assert_eq!(peer.produce("s", "a", &[&large(head + 1)]).await.1, Terminal::Close);
    host.stop().await;
}

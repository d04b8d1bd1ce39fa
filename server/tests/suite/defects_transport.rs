//! Weaknesses of the transport that Go peers have to live with, and that this server and this client do not have.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_client::NewRecord;
use streamkit_engine::{Engine, EngineConfig, OpenError, StorageError, Store, StoreId, Stores};
use streamkit_protocol::*;
use streamkit_server_core::Limits;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::handshake::get;
use crate::peer::*;

const OTHER: Uuid = Uuid::from_u128(0x0b5e_77ed);

/// One after the other, as a client of Go servers loses one of in the end.
#[tokio::test]
async fn thousands_of_single_produces_over_one_connection_all_return() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    peer.answers_pings = true;
    for sequence in 1..=1500 {
        let head = FrameHead::new(STORE, Uuid::new_v4());
        for message in [produce("s", "a").encode(), record(sequence).into_bytes()] {
            let frame = String::from_utf8(head.data(&message)).unwrap();
            peer.socket.feed(Message::Text(frame.into())).await.unwrap();
        }
        peer.send(head, &Terminal::Close.encode()).await;
        let (statuses, end) = peer.finish(head).await;
        assert_eq!((statuses.len(), end), (1, Terminal::Close));
        let status = SegmentStatus::decode(statuses[0].as_bytes()).unwrap();
        assert_eq!(status.last_sequence, sequence);
    }
}

#[tokio::test]
async fn a_peer_that_reads_late_gets_all_of_twenty_thousand_entries() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    peer.answers_pings = true;
    let records: Vec<String> = (1..=20_000).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    assert_eq!(peer.produce("s", "a", &records).await.1, Terminal::Close);
    let head = peer.open(&Request::ConsumeSegment(consume("s", "a"))).await;
    // Others go on meanwhile, also over this connection.
    let producing = peer.open(&produce("s", "b")).await;
    peer.send(producing, record(1).as_bytes()).await;
    peer.send(producing, &Terminal::Close.encode()).await;
    let mut other = host.connect().await;
    while other.call(&peek("s", "b")).await.0[0].contains("\"sequence\":0,") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (mut next, mut ended) = (1, 0);
    while ended < 2 {
        let frame = peer.frame().await.expect("the connection ended");
        let id = frame.channel_id;
        let message = frame.message();
        match Terminal::decode(&message) {
            Some(end) => {
                assert_eq!(end, Terminal::Close);
                ended += 1;
            }
            None if id == head.channel_id => {
                assert_eq!(Entry::decode(&message).unwrap().sequence, next);
                next += 1;
            }
            None => {}
        }
    }
    assert_eq!(next, 20_001);
}

/// Stores of which one opens only when a gate does.
struct Gated(Engine, watch::Sender<bool>);

#[async_trait::async_trait]
impl Stores for Gated {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        if id.0 == OTHER {
            let mut gate = self.1.subscribe();
            gate.wait_for(|open| *open).await.unwrap();
        }
        self.0.store(id).await
    }
    fn ready(&self) -> Result<(), StorageError> {
        self.0.ready()
    }
    async fn close(&self) {
        self.0.close().await;
    }
}

#[tokio::test]
async fn a_store_that_opens_slowly_holds_up_nobody_else() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig::new(dir.path());
    let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = opened.unwrap().unwrap();
    let gated = Arc::new(Gated(engine.clone(), watch::Sender::new(false)));
    let host = Host::over(gated.clone(), engine, dir, Limits::default(), "127.0.0.1:0").await;
    let mut peer = host.connect().await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(peer.open_in(OTHER, &peek("s", "a")).await.channel_id);
    }
    // Neither over the same connection nor over another.
    assert_eq!(peer.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    assert_eq!(peer.call(&peek("s", "a")).await.1, Terminal::Close);
    peer.answers_ping().await;
    let mut other = host.connect().await;
    assert_eq!(other.produce("s", "a", &[&record(2)]).await.1, Terminal::Close);
    gated.1.send_replace(true);
    while !waiting.is_empty() {
        let frame = peer.frame().await.expect("the connection ended");
        let id = frame.channel_id;
        if let Some(end) = Terminal::decode(&frame.message()) {
            assert_eq!(end, Terminal::Close);
            waiting.retain(|one| *one != id);
        }
    }
}

#[tokio::test]
async fn no_read_creates_a_store() {
    let host = Host::start().await;
    let mut peer = host.connect().await;
    let space = || "s".to_owned();
    let reads = [
        peek("s", "a"),
        Request::GetSpaces,
        Request::GetSegments(GetSegments {
            space: space(),
            ..Default::default()
        }),
        Request::GetStatus(GetStatus::default()),
        Request::ConsumeSegment(consume("s", "a")),
        Request::ConsumeSpace(ConsumeSpace {
            space: space(),
            ..Default::default()
        }),
        Request::Consume(Consume {
            offsets: [(space(), LexKey::default())].into(),
            ..Default::default()
        }),
    ];
    for (n, read) in reads.iter().enumerate() {
        let head = peer.open_in(Uuid::from_u128(100 + n as u128), read).await;
        assert_eq!(peer.finish(head).await.1, Terminal::Close, "{read:?}");
    }
    let authorization = format!("Authorization: Bearer {}\r\n", token(&["streamkit::*"]));
    let stores = get(&host, "/backup", &authorization).await;
    assert!(stores.ends_with("{\"stores\":[]}"), "{stores}");
}

/// What a client closes itself is not read to its end either.
#[tokio::test]
async fn a_read_under_a_client_that_is_closed_ends_with_an_error() {
    let host = Host::start().await;
    let client = crate::served::client::client(&host);
    let store = client.store(STORE);
    let big = NewRecord::new(vec![b'x'; 10_000]);
    store.produce_all("s", "a", 1, vec![big; 4000]).await.unwrap();
    let reads = [
        store.consume_segment(streamkit_client::ConsumeSegment::all("s", "a")),
        store.consume_space(streamkit_client::ConsumeSpace::all("s")),
        store.consume(streamkit_client::Consume::all(["s"])),
    ];
    let mut begun = Vec::new();
    for mut read in reads {
        assert_eq!(read.next().await.unwrap().unwrap().sequence, 1);
        begun.push(read);
    }
    client.close().await;
    for mut read in begun {
        let mut last = 1;
        let error = loop {
            match read.next().await.expect("a broken stream must not look like its end") {
                Ok(entry) => last = entry.sequence,
                Err(error) => break error,
            }
        };
        assert!(last < 4000, "it was over before");
        assert!(
            matches!(
                error,
                streamkit_client::Error::Closed | streamkit_client::Error::ConnectionLost(_)
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_token_as_a_go_signer_mints_it_opens_all_stores() {
    // Signed with `top-secret`, which zeros make a key of the length that is asked for and change nothing for HMAC.
    let minted = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInNjb3BlcyI6WyJzdHJlYW1raXQ6OioiXSwidGVuYW50X2lk\
                  IjoiMmMxZDFlMGEtNWQwYy00ZjZlLTliOWUtMGU4YTZiMWY3YzU1In0.8welK20bevlK-eTsmtbmnB77ezVfH6cDXP2Qzqkoxts";
    let mut secret = b"top-secret".to_vec();
    secret.resize(32, 0);
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig::new(dir.path());
    let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = opened.unwrap().unwrap();
    let key = streamkit_server_core::Key::hs256(&secret).unwrap();
    let server = streamkit_server_core::Server::new(Arc::new(engine.clone()), key, Limits::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let accepting = server.clone();
    let serving = tokio::spawn(async move { accepting.serve(listener).await });
    let mut peer = connect(&url, minted).await.unwrap();
    for segment in ["a", "b", "c"] {
        let expected = Entry {
            space: "s".into(),
            segment: segment.into(),
            ..Entry::default()
        };
        let (answers, end) = peer.call(&peek("s", segment)).await;
        assert_eq!(end, Terminal::Close);
        assert_eq!(Entry::decode(answers[0].as_bytes()).unwrap(), expected);
    }
    serving.abort();
    server.shutdown().await;
    engine.close().await;
}

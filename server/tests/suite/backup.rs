//! The routes of a backup: who may read them, and that no answer that broke off looks whole.

use std::sync::Arc;

use async_trait::async_trait;
use streamkit_engine::backup::{BackupError, ExtentPrefix, LogPrefix, Pieces, Source};
use streamkit_engine::{
    Engine, EngineConfig, OpenError, Record, SegmentPath, Sequence, StorageError, Store, StoreId, Stores, Transaction,
};
use streamkit_server_core::Limits;
use streamkit_server_core::backup::{ExtentList, READS_MAX, StoreList};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::*;

/// The answer's head and the bytes behind it.
async fn get(host: &Host, path: &str, token: &str) -> (String, Vec<u8>) {
    let address = host.url.trim_start_matches("ws://");
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // One that breaks off may end with a reset.
    let _ = tcp.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap(), body)
}

fn admin() -> String {
    token(&["streamkit::*"])
}

async fn fill(engine: &Engine, records: u64) {
    let store = Stores::store(engine, StoreId(STORE)).await.unwrap();
    for sequence in 1..=records {
        let path = SegmentPath::new("s", "a").unwrap();
        let record = Record::new(vec![b'x'; 20_000]);
        store
            .append(Transaction::single(path, Sequence(sequence), vec![record]))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn only_a_token_for_all_stores_that_is_not_narrowed_reads_a_backup() {
    let host = Host::start().await;
    fill(&host.engine, 1).await;
    let one = format!("streamkit::{STORE}");
    for path in [
        "/backup".to_owned(),
        format!("/backup/{STORE}"),
        format!("/backup/{STORE}/1/4096"),
    ] {
        assert!(get(&host, &path, "forged").await.0.starts_with("HTTP/1.1 401"));
        for scope in [one.as_str(), "streamkit::*:read", "streamkit::*:write"] {
            let (head, body) = get(&host, &path, &token(&[scope])).await;
            assert!(head.starts_with("HTTP/1.1 403"), "{scope}: {head}");
            assert!(String::from_utf8(body).unwrap().contains("streamkit::*"));
        }
        assert!(get(&host, &path, &admin()).await.0.starts_with("HTTP/1.1 200"));
        let both = token(&["streamkit::*:read", "streamkit::*:write"]);
        assert!(get(&host, &path, &both).await.0.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn an_extent_is_sent_with_its_length_first_and_its_checksum_last() {
    let host = Host::start().await;
    fill(&host.engine, 30).await;
    let (_, body) = get(&host, "/backup", &admin()).await;
    let stores: StoreList = serde_json::from_slice(&body).unwrap();
    assert_eq!(stores.stores, [STORE]);
    let (_, body) = get(&host, &format!("/backup/{STORE}"), &admin()).await;
    let list: ExtentList = serde_json::from_slice(&body).unwrap();
    assert!(list.extents.len() > 1);
    for extent in &list.extents {
        let used = extent.used_bytes as usize;
        let path = format!("/backup/{STORE}/{}/{used}", extent.extent);
        let (head, body) = get(&host, &path, &admin()).await;
        assert!(head.contains(&format!("content-length: {}", used + 4)), "{head}");
        assert_eq!(body.len(), used + 4);
        assert_eq!(crc32fast::hash(&body[..used]).to_le_bytes(), body[used..]);
        // Nothing that is not durable, or not there, or less than a header.
        for other in [used + 1, 4095, 100, 0] {
            let other = format!("/backup/{STORE}/{}/{other}", extent.extent);
            let head = get(&host, &other, &admin()).await.0;
            assert!(head.starts_with("HTTP/1.1 404"), "{other}: {head}");
        }
    }
    for path in [
        "/backup/6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b11",
        "/backup/none",
        "/backup/6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10/9/4096",
    ] {
        let head = get(&host, path, &admin()).await.0;
        assert!(head.starts_with("HTTP/1.1 4"), "{path}: {head}");
    }
    let (_, body) = get(&host, "/backup", &admin()).await;
    assert_eq!(
        serde_json::from_slice::<StoreList>(&body).unwrap().stores,
        [STORE],
        "asking makes no store"
    );
}

/// A server that dies after it made a store's folder and before anything stands in it leaves a store that is in the list.
#[tokio::test]
async fn a_store_with_an_empty_folder_has_a_list_of_no_extents() {
    let host = Host::start().await;
    fill(&host.engine, 1).await;
    let empty = uuid::Uuid::from_u128(5);
    std::fs::create_dir(host.data().join("stores").join(empty.to_string())).unwrap();
    let (_, body) = get(&host, "/backup", &admin()).await;
    let stores: StoreList = serde_json::from_slice(&body).unwrap();
    assert_eq!(stores.stores, [empty, STORE]);
    let (head, body) = get(&host, &format!("/backup/{empty}"), &admin()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(serde_json::from_slice::<ExtentList>(&body).unwrap().extents.is_empty());
}

/// An engine whose backups fail after some pieces.
struct Failing(Engine);

struct FailingSource(Arc<dyn Source>);

struct FailingPieces(Box<dyn Pieces>, u32);

impl Pieces for FailingPieces {
    fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        self.1 += 1;
        match self.1 {
            1..=2 => self.0.next(),
            _ => Err(BackupError::Source("the cable is out".into())),
        }
    }
}

impl Source for FailingSource {
    fn stores(&self) -> Result<Vec<StoreId>, BackupError> {
        self.0.stores()
    }
    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError> {
        self.0.prefix(store)
    }
    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError> {
        Ok(Box::new(FailingPieces(self.0.read(store, extent)?, 0)))
    }
}

#[async_trait]
impl Stores for Failing {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        Stores::store(&self.0, id).await
    }
    fn backup(&self) -> Option<Arc<dyn Source>> {
        Some(Arc::new(FailingSource(Stores::backup(&self.0)?)))
    }
    fn ready(&self) -> Result<(), StorageError> {
        self.0.ready()
    }
    async fn close(&self) {
        Stores::close(&self.0).await;
    }
}

#[tokio::test]
async fn an_answer_that_fails_on_its_way_is_shorter_than_it_said() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let config = EngineConfig::new(dir.path());
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = engine.unwrap().unwrap();
    fill(&engine, 60).await;
    let stores = Arc::new(Failing(engine.clone()));
    let host = Host::over(stores, engine, dir, Limits::default(), "127.0.0.1:0").await;
    let (_, body) = get(&host, &format!("/backup/{STORE}"), &admin()).await;
    let list: ExtentList = serde_json::from_slice(&body).unwrap();
    let large = list.extents.iter().max_by_key(|extent| extent.used_bytes).unwrap();
    let path = format!("/backup/{STORE}/{}/{}", large.extent, large.used_bytes);
    // More often than may be read at a time: what broke off gives its place back.
    for _ in 0..3 * READS_MAX {
        let (head, body) = get(&host, &path, &admin()).await;
        assert!(
            head.contains(&format!("content-length: {}", large.used_bytes + 4)),
            "{head}"
        );
        assert!(body.len() < large.used_bytes as usize, "{}", body.len());
    }
}

#[tokio::test]
async fn those_who_take_nothing_hold_up_only_so_many_others_and_only_for_a_while() {
    let limits = Limits {
        write_deadline: std::time::Duration::from_millis(1),
        ..Limits::default()
    };
    let host = Host::with_limits(limits).await;
    let store = Stores::store(&host.engine, StoreId(STORE)).await.unwrap();
    for sequence in 1..=4 {
        let path = SegmentPath::new("s", "a").unwrap();
        let records = (0..4).map(|_| Record::new(vec![b'x'; 4 << 20 >> 1])).collect();
        store
            .append(Transaction::single(path, Sequence(sequence * 4 - 3), records))
            .await
            .unwrap();
    }
    let (_, body) = get(&host, &format!("/backup/{STORE}"), &admin()).await;
    let list: ExtentList = serde_json::from_slice(&body).unwrap();
    let large = list.extents.iter().max_by_key(|extent| extent.used_bytes).unwrap();
    assert!(large.used_bytes > 8 << 20);
    let path = format!("/backup/{STORE}/{}/{}", large.extent, large.used_bytes);
    let address = host.url.trim_start_matches("ws://");
    let mut silent = Vec::new();
    for _ in 0..READS_MAX {
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
            admin()
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp.readable().await.unwrap();
        silent.push(tcp);
    }
    let head = get(&host, &path, &admin()).await.0;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    // The deadline is at least a second.
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let (head, body) = get(&host, &path, &admin()).await;
        if head.starts_with("HTTP/1.1 200") {
            assert_eq!(body.len(), large.used_bytes as usize + 4);
            return;
        }
    }
    panic!("they hold up others for ever");
}

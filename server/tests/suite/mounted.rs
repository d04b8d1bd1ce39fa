//! The router in a service of one's own, which knows by itself who asks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use streamkit_engine::{Engine, EngineConfig, StoreId, Stores as _};
use streamkit_protocol::Terminal;
use streamkit_server_core::{Access, AccessError, Authenticate, Limits, Rights, Scopes, Server, TokenFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::*;

/// Knows its guests by a header.
struct Guests;

#[async_trait]
impl Authenticate for Guests {
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError> {
        let guest = head.headers.get("authorization").and_then(|guest| guest.to_str().ok());
        match guest {
            Some("Bearer reader") => Ok(Access {
                scopes: Scopes::default().with(StoreId(STORE), Rights::READ),
                expires_in: Duration::MAX,
            }),
            Some("Bearer banned") => Err(AccessError::Forbidden("you were here before".to_owned())),
            Some("Bearer new") => Err(AccessError::Unavailable("nobody can be asked".to_owned())),
            _ => Err(AccessError::Unknown(TokenFault::Other)),
        }
    }
}

struct Service {
    address: String,
    server: Server,
    engine: Engine,
    serving: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Service {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(dir.path());
        let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
        let engine = opened.unwrap().unwrap();
        let server = Server::new(Arc::new(engine.clone()), Guests, Limits::default());
        let router = Router::new()
            .route("/", get(async || "a service"))
            .merge(server.router());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            server,
            engine,
            serving,
            _dir: dir,
        }
    }

    async fn get(&self, path: &str, guest: &str) -> String {
        let mut tcp = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {guest}\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn stop(self) {
        self.server.shutdown().await;
        self.serving.abort();
        self.engine.close().await;
    }
}

#[tokio::test]
async fn a_service_says_itself_who_may_do_what() {
    let service = Service::start().await;
    assert!(service.get("/", "").await.ends_with("\r\n\r\na service"));
    for path in ["/streamz", "/backup"] {
        for (guest, status, why) in [
            ("nobody", "401 ", "Unauthorized\n"),
            ("banned", "403 ", "you were here before\n"),
            ("new", "503 ", "nobody can be asked\n"),
        ] {
            let answer = service.get(path, guest).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{why}")), "{path}: {answer}");
        }
    }
    let refused = service.get("/backup", "reader").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");

    let mut reader = connect(&format!("ws://{}", service.address), "reader").await.unwrap();
    assert_eq!(reader.call(&peek("s", "a")).await.1, Terminal::Close);
    // Who may do it comes before whether it could be done.
    let denied = Terminal::Error("access denied".into());
    for space in ["s", ""] {
        assert_eq!(reader.call(&produce(space, "a")).await.1, denied);
    }
    service.stop().await;
}

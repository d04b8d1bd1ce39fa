//! The real server on a free port, and a plan to try it.

use std::sync::Arc;
use std::time::Duration;

use streamkit_client::Tls;
use streamkit_engine::{Engine, EngineConfig, Stores as _};
use streamkit_server_core::{Key, Limits, Server};
use streamkit_wire_conformance::dial;
use streamkit_wire_conformance::run::Plan;
use streamkit_wire_conformance::world::Restricted;
use uuid::Uuid;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// A server, and the folder of its stores.
pub struct Host {
    /// Its address.
    pub address: std::net::SocketAddr,
    server: Server,
    engine: Engine,
    serving: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Host {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(dir.path());
        let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await.unwrap();
        let engine = opened.unwrap();
        let server = Server::new(Arc::new(engine.clone()), Key::hs256(SECRET).unwrap(), Limits::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = server.clone();
        let serving = tokio::spawn(async move { accepting.serve(listener).await });
        Self {
            address,
            server,
            engine,
            serving,
            _dir: dir,
        }
    }

    pub async fn stop(self) {
        self.serving.abort();
        self.server.shutdown().await;
        self.engine.close().await;
    }
}

fn token(scope: &str) -> String {
    let key = Key::hs256(SECRET).unwrap();
    key.mint(&[scope.to_owned()], Duration::from_secs(3600)).unwrap()
}

/// All checks of whoever is at this address.
pub fn plan(address: std::net::SocketAddr) -> Plan {
    let store = Uuid::new_v4();
    Plan {
        server: dial::Server::at(&format!("ws://{address}"), Tls::default()),
        token: token("streamkit::*"),
        restricted: Restricted {
            reader: Some(token(&format!("streamkit::{store}:read"))),
            writer: Some(token(&format!("streamkit::{store}:write"))),
        },
        store,
        only: String::new(),
        patience: Duration::from_secs(20),
        deadline: Duration::from_secs(120),
    }
}

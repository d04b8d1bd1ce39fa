//! A server over an engine, and clients of it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use streamkit_client::{Client, RetryPolicy, StoreClient};
use streamkit_engine::{Engine, EngineConfig, LocalStore, StoreId};
use streamkit_server_core::{Key, Limits, Server};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The store of all runs.
pub const STORE: Uuid = Uuid::from_u128(0x7061_6964);

pub(crate) const SECRET: &[u8] = b"a secret of the torture alone, of 32 bytes or more";

/// Whatever goes wrong before anything was tried.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// A server on loopback.
pub struct Host {
    /// Its engine, which outlives it.
    pub engine: Engine,
    server: Server,
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Host {
    /// One over a fresh engine in a folder.
    ///
    /// # Errors
    /// The engine does not open, or there is no port.
    pub async fn in_folder(folder: &Path) -> Result<Self, Trouble> {
        Self::with(folder, Limits::default()).await
    }

    /// The same, with limits of its own.
    ///
    /// # Errors
    /// The engine does not open, or there is no port.
    pub async fn with(folder: &Path, limits: Limits) -> Result<Self, Trouble> {
        let config = EngineConfig::new(folder);
        let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await??;
        Self::serve(engine, limits).await
    }

    /// Another one over an engine.
    ///
    /// # Errors
    /// There is no port.
    pub async fn over(engine: Engine) -> Result<Self, Trouble> {
        Self::serve(engine, Limits::default()).await
    }

    async fn serve(engine: Engine, limits: Limits) -> Result<Self, Trouble> {
        let auth = Key::hs256(SECRET)?;
        let server = Server::new(std::sync::Arc::new(engine.clone()), auth, limits);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = server.clone();
        let serving = tokio::spawn(async move { _ = accepting.serve(listener).await });
        Ok(Self {
            engine,
            server,
            address,
            serving,
        })
    }

    /// Its store, as the engine has it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn store(&self) -> Result<LocalStore, Trouble> {
        let engine = self.engine.clone();
        Ok(tokio::task::spawn_blocking(move || engine.open_store(StoreId(STORE))).await??)
    }

    /// Stops it in good order; the engine stays.
    pub async fn stop(self) -> Engine {
        self.server.shutdown().await;
        self.serving.abort();
        let _ = self.serving.await;
        self.engine
    }

    /// The same, of which nobody waits for the end.
    pub fn leave(&self) -> JoinHandle<()> {
        let server = self.server.clone();
        tokio::spawn(async move { server.shutdown().await })
    }
}

/// A token for everything.
///
/// # Errors
/// None that is known.
pub fn token() -> Result<String, Trouble> {
    token_for(&["streamkit::*"])
}

/// A token for some scopes.
///
/// # Errors
/// They are none.
pub fn token_for(scopes: &[&str]) -> Result<String, Trouble> {
    let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
    Ok(Key::hs256(SECRET)?.mint(&scopes, Duration::from_secs(3600))?)
}

/// A client of its own at an address.
///
/// # Errors
/// None that is known.
pub fn client(address: SocketAddr) -> Result<StoreClient, Trouble> {
    client_within(address, Duration::from_secs(2))
}

/// The same, whose calls wait for so long.
pub(crate) fn client_within(address: SocketAddr, timeout: Duration) -> Result<StoreClient, Trouble> {
    let retry = RetryPolicy {
        attempts: 6,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
        factor: 2.0,
    };
    let client = Client::builder(format!("ws://{address}")).token(token()?).retry(retry);
    Ok(client.timeout(timeout).build().store(STORE))
}

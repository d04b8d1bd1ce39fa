//! `serve` and `dev`: open the engine, listen, and leave in good order on SIGINT or SIGTERM.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::serve::ListenerExt as _;
use streamkit_engine::{Engine, EngineConfig, Stores as _};
use streamkit_server::{Key, Limits, Server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::development::Development;
use super::failure::Failure;

#[derive(clap::Args)]
pub(crate) struct Serve {
    /// Where to listen
    #[arg(long, env = "STREAMKIT_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder of the stores
    #[arg(long, env = "STREAMKIT_DATA", default_value = "streamkit-data")]
    data: PathBuf,
    /// File with the HS256 secret that signs tokens, at least 32 bytes
    #[arg(long, env = "STREAMKIT_JWT_KEY_FILE")]
    jwt_key_file: PathBuf,
    /// Most sessions at a time
    #[arg(long, env = "STREAMKIT_CONNECTIONS", default_value_t = Limits::default().connections)]
    connections: usize,
    /// Most open channels of one connection
    #[arg(long, env = "STREAMKIT_CHANNELS", default_value_t = Limits::default().channels)]
    channels: usize,
}

#[derive(clap::Args)]
pub(crate) struct Dev {
    /// Where to listen
    #[arg(long, env = "STREAMKIT_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Folder of the stores, the development key and the store id
    #[arg(long, env = "STREAMKIT_DATA", default_value = "streamkit-data")]
    data: PathBuf,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let key = Key::hs256_file(&self.jwt_key_file).map_err(|error| Failure::new(error.to_string()))?;
        let limits = Limits {
            connections: self.connections,
            channels: self.channels,
            ..Limits::default()
        };
        let running = Running::start(self.listen, self.data, key, limits).await?;
        eprintln!("streamkit: serving on ws://{}", running.address);
        running.until_stopped().await
    }
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let development = Development::open(&self.data)?;
        let token = development.token()?;
        let running = Running::start(self.listen, self.data, development.key, Limits::default()).await?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "export STREAMKIT_URL=ws://{}", running.address)?;
        writeln!(out, "export STREAMKIT_TOKEN={token}")?;
        writeln!(out, "export STREAMKIT_STORE={}", development.store)?;
        out.flush()?;
        drop(out);
        eprintln!("streamkit: paste the three lines above into another terminal, then try");
        eprintln!("  echo hello | streamkit produce greetings/world");
        eprintln!("  streamkit consume greetings/world");
        running.until_stopped().await
    }
}

/// A server at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    engine: Engine,
    server: Server,
    stop_accepting: CancellationToken,
    accepting: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start(listen: SocketAddr, data: PathBuf, key: Key, limits: Limits) -> Result<Self, Failure> {
        let config = EngineConfig::new(data);
        let opened = tokio::task::spawn_blocking(move || Engine::open(config)).await;
        let engine = opened.map_err(|error| Failure::new(error.to_string()))??;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|error| {
            Failure::from(error)
                .during(format!("cannot listen on {listen}"))
                .hint("choose another --listen")
        })?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|stream| {
            // Frames are small and answers are waited for.
            let _ = stream.set_nodelay(true);
        });
        let server = Server::new(Arc::new(engine.clone()), key, limits);
        let stop_accepting = CancellationToken::new();
        let stopped = stop_accepting.clone().cancelled_owned();
        let serving = axum::serve(listener, server.router()).with_graceful_shutdown(stopped);
        let accepting = tokio::spawn(serving.into_future());
        Ok(Self {
            address,
            engine,
            server,
            stop_accepting,
            accepting,
        })
    }

    async fn until_stopped(mut self) -> Result<(), Failure> {
        tokio::select! {
            signal = stop_signal() => signal?,
            ended = &mut self.accepting => {
                ended.map_err(|error| Failure::new(error.to_string()))??;
            }
        }
        eprintln!("streamkit: stopping");
        self.stop().await;
        Ok(())
    }

    /// Ends sessions, then closes the stores.
    pub(crate) async fn stop(self) {
        self.stop_accepting.cancel();
        self.server.shutdown().await;
        self.engine.close().await;
    }
}

#[cfg(unix)]
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

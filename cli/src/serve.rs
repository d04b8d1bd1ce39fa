//! `serve` and `dev`: open the engine, listen, and leave in good order on SIGINT or SIGTERM.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::doctor::judge_ground;
use streamkit_engine::limits::TRANSACTION_ENCODED_BYTES_MAX;
use streamkit_engine::{CommitMethod, Engine, EngineConfig, QUEUE_DEADLINE_MAX, QUEUE_DEADLINE_MIN, Stores as _, disk};
use streamkit_server::{Key, KeyError, Limits, Server};
use tokio::net::TcpListener;

use super::called::called;
use super::connect::{at_least, count, some_time};
use super::development::Development;
use super::failure::Failure;
use super::files;
use super::log;
use super::output::{Out, note};
use super::signals::StopSignals;

/// Where a server is, on the network and on the disk.
#[derive(clap::Args)]
struct Place {
    /// Where to listen
    #[arg(
        long,
        env = "STREAMKIT_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS",
        value_parser = super::address::listen,
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,
    /// Folder of the stores
    #[arg(
        long,
        env = "STREAMKIT_DATA",
        hide_env_values = true,
        value_name = "DIR",
        default_value = "streamkit-data"
    )]
    data: PathBuf,
}

const VARIABLES: &str = "\
Every option has a variable: --open-stores is STREAMKIT_OPEN_STORES.";

#[derive(clap::Args)]
#[command(args_override_self = true, after_help = VARIABLES)]
pub(crate) struct Serve {
    /// TOML file with any of the options below
    #[arg(long, env = "STREAMKIT_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// File with the HS256 secret, ≥ 32 bytes
    #[arg(long, env = "STREAMKIT_JWT_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    jwt_key_file: PathBuf,
    /// Stores open at a time
    #[arg(
        long,
        env = "STREAMKIT_OPEN_STORES",
        hide_env_values = true,
        value_name = "COUNT",
        value_parser = count,
        default_value_t = 10_000
    )]
    open_stores: usize,
    /// Time whoever asks for a store waits until it is open
    #[arg(long, env = "STREAMKIT_OPEN_DEADLINE", hide_env = true, value_parser = some_time, value_name = "TIME", default_value_t = EngineConfig::new("").open_deadline.into())]
    open_deadline: humantime::Duration,
    /// auto: io_uring where it can be had; or threads
    #[arg(
        long,
        env = "STREAMKIT_COMMIT_METHOD",
        hide_env = true,
        value_enum,
        hide_possible_values = true,
        value_name = "METHOD",
        default_value_t
    )]
    commit_method: Method,
    /// Time a producer waits for room in a store's queue
    #[arg(long, env = "STREAMKIT_QUEUE_DEADLINE", hide_env = true, value_parser = queue_deadline, value_name = "TIME", default_value = "20s")]
    queue_deadline: humantime::Duration,
    /// Bytes that wait for the disk, of all stores
    #[arg(long, env = "STREAMKIT_QUEUES_BYTES", hide_env = true, value_parser = at_least(TRANSACTION_ENCODED_BYTES_MAX), value_name = "BYTES", default_value_t = EngineConfig::new("").queues_bytes)]
    queues_bytes: usize,
    /// Bytes of the disk left to others
    #[arg(long, env = "STREAMKIT_KEEP_FREE_BYTES", hide_env = true, value_name = "BYTES", default_value_t = EngineConfig::new("").keep_free_bytes)]
    keep_free_bytes: u64,
    #[command(flatten)]
    limits: LimitOptions,
}

#[derive(clap::ValueEnum, Clone, Copy, Default)]
enum Method {
    #[default]
    Auto,
    Threads,
}

impl From<Method> for CommitMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Auto => Self::Auto,
            Method::Threads => Self::Threads,
        }
    }
}

fn queue_deadline(text: &str) -> Result<humantime::Duration, String> {
    let time = some_time(text)?;
    match (QUEUE_DEADLINE_MIN..=QUEUE_DEADLINE_MAX).contains(&*time) {
        true => Ok(time),
        false => Err(format!(
            "it must be from {QUEUE_DEADLINE_MIN:?} to {QUEUE_DEADLINE_MAX:?}"
        )),
    }
}

/// The server's limits that an operator may want to change.
// Their variables are not shown: each is named like its option, and a line of help with it would be too long.
#[derive(clap::Args)]
struct LimitOptions {
    /// Sessions at a time
    #[arg(long, env = "STREAMKIT_CONNECTIONS", hide_env = true, value_parser = count, default_value_t = Limits::default().connections)]
    connections: usize,
    /// Connections not upgraded yet
    #[arg(long, env = "STREAMKIT_HANDSHAKES", hide_env = true, value_parser = count, default_value_t = Limits::default().handshakes)]
    handshakes: usize,
    /// Connections of one address (IPv6: /64) not upgraded yet
    #[arg(long, env = "STREAMKIT_HANDSHAKES_PER_ADDRESS", hide_env = true, value_parser = count, default_value_t = Limits::default().handshakes_per_address)]
    handshakes_per_address: usize,
    /// Time a connection has for its handshake
    #[arg(long, env = "STREAMKIT_HANDSHAKE", hide_env = true, value_parser = some_time, default_value_t = Limits::default().handshake.into())]
    handshake: humantime::Duration,
    /// A peer silent for so long is gone
    #[arg(long, env = "STREAMKIT_SILENCE", hide_env = true, value_parser = some_time, default_value_t = Limits::default().silence.into())]
    silence: humantime::Duration,
    /// A peer that takes no bytes for so long is gone
    #[arg(long, env = "STREAMKIT_WRITE_DEADLINE", hide_env = true, value_parser = some_time, default_value_t = Limits::default().write_deadline.into())]
    write_deadline: humantime::Duration,
    /// Time sessions have to end at shutdown
    #[arg(long, env = "STREAMKIT_SHUTDOWN_DEADLINE", hide_env = true, default_value_t = Limits::default().shutdown_deadline.into())]
    shutdown_deadline: humantime::Duration,
    /// Open channels of one connection
    #[arg(long, env = "STREAMKIT_CHANNELS", hide_env = true, value_parser = count, default_value_t = Limits::default().channels)]
    channels: usize,
    /// Bytes waiting to be sent to one connection
    #[arg(long, env = "STREAMKIT_OUTBOUND_BYTES", hide_env = true, value_parser = at_least(1 << 20), default_value_t = Limits::default().outbound_bytes)]
    outbound_bytes: usize,
    /// Bytes one connection has not stored yet
    #[arg(long, env = "STREAMKIT_CONNECTION_INBOUND_BYTES", hide_env = true, value_parser = at_least(1 << 20), default_value_t = Limits::default().connection_inbound_bytes)]
    connection_inbound_bytes: usize,
    /// Bytes received and not stored yet, ≥ 64 MiB
    #[arg(long, env = "STREAMKIT_INBOUND_BYTES", hide_env = true, value_parser = at_least(64 << 20), default_value_t = Limits::default().inbound_bytes)]
    inbound_bytes: usize,
    /// Bytes one channel has not stored yet, ≥ 32 MiB
    #[arg(long, env = "STREAMKIT_CHANNEL_INBOUND_BYTES", hide_env = true, value_parser = at_least(32 << 20), default_value_t = Limits::default().channel_inbound_bytes)]
    channel_inbound_bytes: usize,
    /// Time a message waits for room before its channel ends
    #[arg(long, env = "STREAMKIT_INBOUND_WAIT", hide_env = true, value_parser = some_time, default_value_t = Limits::default().inbound_wait.into())]
    inbound_wait: humantime::Duration,
    /// Reads of one connection that hold entries at a time
    #[arg(long, env = "STREAMKIT_READS", hide_env = true, value_parser = count, default_value_t = Limits::default().reads)]
    reads: usize,
    /// Bytes read and not taken yet, ≥ 64 MiB
    #[arg(long, env = "STREAMKIT_OUTGOING_BYTES", hide_env = true, value_parser = at_least(64 << 20), default_value_t = Limits::default().outgoing_bytes)]
    outgoing_bytes: usize,
    /// Bytes of unfinished frames, ≥ 16 MiB
    #[arg(long, env = "STREAMKIT_FRAMES_BYTES", hide_env = true, value_parser = at_least(16 << 20), default_value_t = Limits::default().frames_bytes)]
    frames_bytes: usize,
    /// Time a peer may keep others waiting
    #[arg(long, env = "STREAMKIT_GIVE_WAY", hide_env = true, value_parser = some_time, default_value_t = Limits::default().give_way.into())]
    give_way: humantime::Duration,
    /// Finished channels a connection remembers
    #[arg(long, env = "STREAMKIT_FINISHED_CHANNELS", hide_env = true, value_parser = count, default_value_t = Limits::default().finished_channels)]
    finished_channels: usize,
    /// Time it remembers them
    #[arg(long, env = "STREAMKIT_FINISHED_AGE", hide_env = true, default_value_t = Limits::default().finished_age.into())]
    finished_age: humantime::Duration,
    /// Failed openings of a store in a row before a pause
    #[arg(long, env = "STREAMKIT_STORE_OPEN_FAILURES", hide_env = true, default_value_t = Limits::default().store_open_failures)]
    store_open_failures: u32,
    /// Time before such a store is tried again
    #[arg(long, env = "STREAMKIT_STORE_OPEN_PAUSE", hide_env = true, default_value_t = Limits::default().store_open_pause.into())]
    store_open_pause: humantime::Duration,
}

impl From<LimitOptions> for Limits {
    fn from(options: LimitOptions) -> Self {
        Self {
            connections: options.connections,
            handshakes: options.handshakes,
            handshakes_per_address: options.handshakes_per_address,
            handshake: options.handshake.into(),
            silence: options.silence.into(),
            write_deadline: options.write_deadline.into(),
            shutdown_deadline: options.shutdown_deadline.into(),
            channels: options.channels,
            outbound_bytes: options.outbound_bytes,
            connection_inbound_bytes: options.connection_inbound_bytes,
            inbound_bytes: options.inbound_bytes,
            channel_inbound_bytes: options.channel_inbound_bytes,
            inbound_wait: options.inbound_wait.into(),
            reads: options.reads,
            outgoing_bytes: options.outgoing_bytes,
            frames_bytes: options.frames_bytes,
            give_way: options.give_way.into(),
            finished_channels: options.finished_channels,
            finished_age: options.finished_age.into(),
            store_open_failures: options.store_open_failures,
            store_open_pause: options.store_open_pause.into(),
        }
    }
}

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Dev {
    #[command(flatten)]
    place: Place,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let key = key(&self.jwt_key_file)?;
        if files::is_open_to_all(&self.jwt_key_file) {
            tracing::warn!(
                file = %self.jwt_key_file.display(),
                "everybody on this host may read or change the key, and so mint tokens for every store; `chmod o-rwx` it"
            );
        }
        if let Some(file) = &self.config {
            tracing::debug!(file = %file.display(), "settings were read");
        }
        let config = EngineConfig {
            open_stores: self.open_stores,
            open_deadline: self.open_deadline.into(),
            commit_method: self.commit_method.into(),
            queue_deadline: self.queue_deadline.into(),
            queues_bytes: self.queues_bytes,
            keep_free_bytes: self.keep_free_bytes,
            ..EngineConfig::new(self.place.data)
        };
        let ready = Ready::open(self.place.listen, config).await?;
        // Whoever reads the address may stop the server at once, and connect to it at once.
        let signals = StopSignals::new()?;
        note(format_args!("streamkit: serving on ws://{}", ready.address));
        log::release();
        ready.serve(key, self.limits.into()).until_stopped(signals).await
    }
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let ready = Ready::open(self.place.listen, EngineConfig::new(&self.place.data)).await?;
        let development = Development::open(&self.place.data)?;
        let token = development.token()?;
        let signals = StopSignals::new()?;
        let mut out = Out::new();
        out.text(format_args!("export STREAMKIT_URL=ws://{}", ready.address))?;
        out.text(format_args!("export STREAMKIT_TOKEN={token}"))?;
        out.text(format_args!("export STREAMKIT_STORE={}", development.store))?;
        out.flush()?;
        note("streamkit: paste the three lines above into another terminal, then try");
        let called = called();
        note(format_args!("  echo hello | {called} produce greetings/world"));
        note(format_args!("  {called} consume greetings/world"));
        log::release();
        let running = ready.serve(development.key, Limits::default());
        running.until_stopped(signals).await
    }
}

/// The key in a file.
pub(crate) fn key(file: &Path) -> Result<Key, Failure> {
    Key::hs256_file(file).map_err(|error| match error {
        KeyError::TooShort(_) => Failure::new(format!("{}: {error}", file.display())),
        error => Failure::new(error.to_string()),
    })
}

/// A data folder that is ours and an address that is ours, not yet served.
pub(crate) struct Ready {
    engine: Engine,
    listener: TcpListener,
    address: SocketAddr,
}

impl Ready {
    /// Takes both. Nothing is written into a folder that another process has, or that is of a newer format.
    pub(crate) async fn open(listen: SocketAddr, config: EngineConfig) -> Result<Self, Failure> {
        let data = config.dir.clone();
        let dir = config.dir.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let opened = Engine::open(config);
            let findings = opened.is_ok().then(|| judge_ground(&disk::ground(&dir)));
            for finding in findings.into_iter().flatten() {
                tracing::warn!(dir = %dir.display(), "{}; `{} doctor` tells more", finding.what, called());
            }
            opened
        });
        let opened = opened.await;
        let engine = opened.map_err(|error| Failure::new(error.to_string()))??;
        if streamkit_engine::disk::is_open_to_others(&data) {
            tracing::warn!(
                dir = %data.display(),
                "other users of this host may look into the data directory: what is in it is for its owner alone; `chmod go-rwx` it"
            );
        }
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|error| {
            use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
            let is_address = matches!(error.kind(), AddrInUse | AddrNotAvailable | PermissionDenied);
            let failure = Failure::from(error).during(format!("cannot listen on {listen}"));
            match is_address {
                true => failure.hint("choose another --listen"),
                false => failure,
            }
        })?;
        let address = listener.local_addr()?;
        Ok(Self {
            engine,
            listener,
            address,
        })
    }

    pub(crate) fn serve(self, key: Key, limits: Limits) -> Running {
        let server = Server::new(Arc::new(self.engine.clone()), key, limits);
        let (accepting, listener) = (server.clone(), self.listener);
        tokio::spawn(async move { accepting.serve(listener).await });
        Running {
            address: self.address,
            engine: self.engine,
            server,
        }
    }
}

/// A server at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    engine: Engine,
    server: Server,
}

impl Running {
    /// Serves until a signal, then leaves in good order; or at once on a second signal, or when a disk does not let the
    /// stores close. What was acknowledged is stored either way.
    async fn until_stopped(self, mut signals: StopSignals) -> Result<(), Failure> {
        signals.next().await?;
        note("streamkit: stopping");
        let engine = self.engine.clone();
        let deadline = self.server.shutdown_deadline();
        let in_order = async {
            self.server.shutdown().await;
            closed(&self.engine, deadline).await
        };
        let stopped = tokio::select! {
            stopped = in_order => stopped,
            again = signals.next() => again.map_err(Failure::from).and(Err(Failure::interrupted())),
        };
        if stopped.is_err() {
            // Dropped for the last time, an engine waits for its threads, and they for the disk.
            std::mem::forget(engine);
        }
        stopped
    }

    /// Ends sessions, then closes the stores.
    pub(crate) async fn stop(self) {
        self.server.shutdown().await;
        self.engine.close().await;
    }
}

/// Closes the stores, as long as they go on closing: what they hold is synced long before, and a disk that hangs would keep us
/// for ever.
async fn closed(engine: &Engine, deadline: Duration) -> Result<(), Failure> {
    const NAMED: usize = 5;
    let mut closing = std::pin::pin!(engine.close());
    let mut left = engine.unfinished();
    // Some time without sessions, too.
    let deadline = deadline.max(Duration::from_secs(1));
    while tokio::time::timeout(deadline, &mut closing).await.is_err() {
        let now_left = engine.unfinished();
        if now_left.len() >= left.len() {
            let named: Vec<String> = now_left.iter().take(NAMED).map(ToString::to_string).collect();
            let more = match now_left.len() {
                0 => "what they had begun in the background did not end".to_owned(),
                count if count > NAMED => format!("{} and {} more did not close", named.join(", "), count - NAMED),
                _ => format!("{} did not close", named.join(", ")),
            };
            return Err(Failure::new(format!(
                "the disk hangs: {more} within {deadline:?}; what was acknowledged is stored"
            )));
        }
        left = now_left;
    }
    Ok(())
}

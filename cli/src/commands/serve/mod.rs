//! `serve`: open the engine, listen, and leave in good order on SIGINT or SIGTERM.

mod found;
mod hosts;
mod keys;
mod limits;
pub(crate) mod log;
mod look;
mod storage;
mod tls;

use std::path::PathBuf;

pub(crate) use keys::ANY_KEY;
use keys::KeyOptions;
use limits::LimitOptions;
use log::LogFilter;
use storage::StorageOptions;
use streamkit_engine::limits::TRANSACTION_ENCODED_BYTES_MAX;
use streamkit_engine::{CommitMethod, EngineConfig, QUEUE_DEADLINE_MAX, QUEUE_DEADLINE_MIN};
use streamkit_server_core::Limits;
use tls::TlsOptions;

use crate::arguments::log::LogOptions;
use crate::arguments::{at_least, count, some_time};
use crate::failure::Failure;
use crate::output::note;
use crate::serving::{Place, Ready, Reloads};
use crate::signals::StopSignals;
use crate::terminal::log as own_log;

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
    #[command(flatten)]
    pub(super) log: LogOptions,
    #[command(flatten)]
    keys: KeyOptions,
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
    /// Threads for connections, if not all processors but one
    #[arg(long, env = "STREAMKIT_NETWORK_THREADS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "COUNT")]
    pub(super) network_threads: Option<u16>,
    /// Time a producer waits for room in a store's queue
    #[arg(long, env = "STREAMKIT_QUEUE_DEADLINE", hide_env = true, value_parser = queue_deadline, value_name = "TIME", default_value = "20s")]
    queue_deadline: humantime::Duration,
    /// Bytes that wait for the disk, of all stores
    #[arg(long, env = "STREAMKIT_QUEUES_BYTES", hide_env = true, value_parser = at_least(TRANSACTION_ENCODED_BYTES_MAX), value_name = "BYTES", default_value_t = EngineConfig::new("").queues_bytes)]
    queues_bytes: usize,
    /// Bytes of the disk left to others
    #[arg(long, env = "STREAMKIT_KEEP_FREE_BYTES", hide_env = true, value_name = "BYTES", default_value_t = EngineConfig::new("").keep_free_bytes)]
    keep_free_bytes: u64,
    /// Time /readyz is red before a stop begins
    #[arg(
        long,
        env = "STREAMKIT_DRAIN",
        hide_env = true,
        value_name = "TIME",
        default_value = "0s"
    )]
    drain: humantime::Duration,
    #[command(flatten)]
    tls: TlsOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    storage: StorageOptions,
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

impl Serve {
    /// The settings of the engine.
    fn engine(&self) -> EngineConfig {
        EngineConfig {
            open_stores: self.open_stores,
            open_deadline: self.open_deadline.into(),
            commit_method: self.commit_method.into(),
            queue_deadline: self.queue_deadline.into(),
            queues_bytes: self.queues_bytes,
            keep_free_bytes: self.keep_free_bytes,
            ..EngineConfig::new(&self.place.data)
        }
    }

    pub(crate) async fn run(self) -> Result<(), Failure> {
        let keys = self.keys.open(self.limits.origins.clone())?;
        if let Some(file) = &self.config {
            tracing::debug!(file = %file.display(), "settings were read");
        }
        let mut reloads = Reloads::default();
        let filter = LogFilter::new(self.config.clone(), self.log.log.clone());
        filter.clone().look_now_and_then();
        reloads.add("log filter", move || filter.reload());
        let config = self.engine();
        let certificates = self.tls.open()?;
        let limits: Limits = self.limits.into();
        let ready = match self.storage.reach(&self.place.data).await? {
            Some(reached) => {
                let ready = Ready::open(self.place.listen, reached.copies(config)?).await?;
                let data = &self.place.data;
                reached.serve(ready, data, self.open_stores, limits.clone()).await?
            }
            None => Ready::open(self.place.listen, config).await?,
        };
        // Whoever reads the address may stop the server at once, and connect to it at once.
        let signals = StopSignals::with_reload()?;
        let again = keys.clone();
        reloads.add("keys", move || again.reload());
        if let Some(certificates) = certificates.clone() {
            reloads.add("certificates", move || certificates.reload());
        }
        let scheme = match certificates {
            Some(_) => "wss",
            None => "ws",
        };
        note(format_args!("streamkit: serving on {scheme}://{}", ready.address()));
        own_log::release();
        if certificates.is_none() {
            tls::warn_without(ready.address());
        }
        ready
            .serve(keys, limits, certificates)
            .until_stopped(signals, reloads, self.drain.into())
            .await
    }
}

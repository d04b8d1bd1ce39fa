//! `backup` and `restore`: a copy of a data directory, made while its server runs or at rest, and the way back.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use streamkit_engine::backup::{self, BackupError, CopyProgress, FolderSource, Source, Stage};
use streamkit_engine::disk::best;

use super::failure::Failure;
use super::output::{Out, json_lines};
use super::remote::{Remote, RemoteError};

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Backup {
    /// Data directory that no server is using, or a server: ws://HOST:PORT
    #[arg(value_name = "DIR|URL")]
    from: String,
    /// Folder of the backup: empty, or with an earlier backup of the same
    target: PathBuf,
    /// Token for all stores, with a server
    #[arg(long, env = "STREAMKIT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Longest silence of a server
    #[arg(
        long,
        env = "STREAMKIT_TIMEOUT",
        hide_env_values = true,
        value_name = "TIME",
        default_value = "30s"
    )]
    timeout: humantime::Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct Restore {
    /// Folder of the backup
    backup: PathBuf,
    /// Data directory to make: empty, or not there yet
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Handle::current();
        let is_server = self.from.contains("://");
        let token = match (is_server, self.token) {
            (true, None) => {
                let next = "set STREAMKIT_TOKEN to what `streamkit token --store '*'` prints";
                return Err(Failure::arguments("a server needs a token").hint(next));
            }
            (_, token) => token.unwrap_or_default(),
        };
        let remote = match is_server {
            true => {
                let remote = Remote::new(&self.from, token, self.timeout.into(), runtime);
                let wrong = || Failure::arguments(format!("bad address {:?}: use ws://HOST:PORT", self.from));
                Some(remote.ok_or_else(wrong)?)
            }
            false => None,
        };
        let (from, target) = (PathBuf::from(&self.from), self.target.clone());
        let started = Instant::now();
        let done = blocking(move |progress| {
            let source: Box<dyn Source> = match remote {
                Some(remote) => Box::new(remote),
                None => Box::new(FolderSource::open(best(), &from)?),
            };
            backup::backup(&*source, &best(), &target, progress)
        });
        let done = done.await?;
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&serde_json::json!({
                "target": self.target,
                "stores": done.stores,
                "extents": done.extents,
                "bytes": done.bytes,
                "copied_extents": done.copied_extents,
                "copied_bytes": done.copied_bytes,
                "seconds": seconds(started.elapsed()),
            }))?;
        } else {
            out.text(format_args!(
                "backed up {} stores: {} extents, {}; copied now: {} extents, {}",
                done.stores,
                done.extents,
                indicatif::HumanBytes(done.bytes),
                done.copied_extents,
                indicatif::HumanBytes(done.copied_bytes)
            ))?;
        }
        out.flush()
    }
}

impl Restore {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (backup, dir) = (self.backup, self.dir.clone());
        let started = Instant::now();
        let done = blocking(move |progress| backup::restore(&best(), &backup, &dir, progress)).await?;
        let entries: u64 = done.verified.stores.iter().map(|store| store.entries).sum();
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&serde_json::json!({
                "dir": self.dir,
                "stores": done.stores,
                "extents": done.extents,
                "bytes": done.bytes,
                "entries": entries,
                "seconds": seconds(started.elapsed()),
            }))?;
        } else {
            out.text(format_args!(
                "restored {} stores: {} extents, {}, {entries} entries, no damage",
                done.stores,
                done.extents,
                indicatif::HumanBytes(done.bytes)
            ))?;
        }
        out.flush()
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Runs what blocks, with its progress on a terminal.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&mut dyn FnMut(CopyProgress)) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(move || {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(0),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}") {
            bar.set_style(style);
        }
        let done = work(&mut |now| {
            bar.set_message(match now.stage {
                Stage::Copying => "copying",
                Stage::Checking => "checking",
            });
            bar.set_length(now.bytes_total);
            bar.set_position(now.bytes_done);
        });
        bar.finish_and_clear();
        done
    });
    let done = done.await.map_err(|error| Failure::new(error.to_string()))?;
    done.map_err(Failure::from)
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let text = error.to_string();
        if error.is_damage() {
            return Self::damage(text);
        }
        match &error {
            BackupError::Source(source) => match source.downcast_ref::<RemoteError>() {
                Some(RemoteError::Token { .. }) => Self::token(text),
                Some(RemoteError::NoAnswer(_)) => Self::no_answer(text),
                Some(RemoteError::Damage(_)) => Self::damage(text),
                Some(RemoteError::Failed(_)) | None => Self::new(text),
            },
            _ => Self::new(text),
        }
    }
}

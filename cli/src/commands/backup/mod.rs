//! `backup` and `restore`: a copy of a data directory, made while its server runs or at rest, and the way back.

mod remote;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use streamkit_engine::StoreId;
use streamkit_engine::backup::{self, BackupError, BackupReport, CopyProgress, FolderSource, Recheck, Source, Stage};
use streamkit_engine::disk::best;

use crate::arguments::address;
use crate::connect::trust::Trust;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines, path_text};
use crate::serving::folder;
use remote::{Remote, RemoteError};

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Backup {
    /// Data directory that no server is using, or a server: ws://HOST:PORT
    #[arg(value_name = "DIR|URL")]
    from: OsString,
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
        value_parser = crate::arguments::some_time,
        default_value = "30s"
    )]
    timeout: humantime::Duration,
    #[command(flatten)]
    trust: Trust,
    /// Read earlier copies too, and replace those that are damaged
    #[arg(long)]
    recheck: bool,
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
        let url = self.from.to_str().filter(|from| from.contains("://"));
        let url = url.map(|url| {
            let wrong = |why| Failure::arguments(format!("bad address {:?}: {why}", address::without_user(url)));
            address::url(url).map_err(wrong)
        });
        let url = url.transpose()?;
        let is_server = url.is_some();
        let token = match (is_server, self.token) {
            (true, None) => {
                let called = crate::called::called();
                let next = format!("set STREAMKIT_TOKEN to what `{called} token --store '*'` prints");
                return Err(Failure::arguments("a server needs a token").hint(next));
            }
            (_, token) => token.unwrap_or_default(),
        };
        let remote = match is_server {
            true => {
                let remote = Remote::new(
                    url.as_deref().unwrap_or_default(),
                    token,
                    self.timeout.into(),
                    self.trust.open()?,
                    runtime,
                );
                let wrong = || {
                    Failure::arguments(format!(
                        "bad address {:?}: use ws://HOST:PORT or wss://HOST:PORT",
                        self.from
                    ))
                };
                Some(remote.ok_or_else(wrong)?)
            }
            false => None,
        };
        let (from, target) = (PathBuf::from(&self.from), self.target.clone());
        if !is_server {
            folder::refuse_host(&from)?;
        }
        let recheck = if self.recheck { Recheck::Bytes } else { Recheck::Header };
        let started = Instant::now();
        let done = blocking(move |progress| {
            let source: Box<dyn Source> = match remote {
                Some(remote) => Box::new(remote),
                None => Box::new(FolderSource::open(best(), &from)?),
            };
            match backup::backup_with(&*source, &best(), &target, recheck, progress) {
                Err(BackupError::Incomplete { report, failed }) => Ok((report, failed)),
                done => done.map(|report| (report, Vec::new())),
            }
        });
        let (done, failed) = done.await?;
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&serde_json::json!({
                "target": path_text(&self.target),
                "stores": done.stores,
                "extents": done.extents,
                "bytes": done.bytes,
                "copied_extents": done.copied_extents,
                "copied_bytes": done.copied_bytes,
                "mended_extents": done.mended_extents,
                "failed": failed.iter().map(failed_json).collect::<Vec<_>>(),
                "seconds": seconds(started.elapsed()),
            }))?;
        } else {
            print(&mut out, &done, &failed)?;
        }
        out.flush()?;
        match failed.is_empty() {
            true => Ok(()),
            false => Err(incomplete(&failed)),
        }
    }
}

fn failed_json((store, error): &(StoreId, BackupError)) -> serde_json::Value {
    serde_json::json!({ "store": store.0, "error": error.to_string(), "damage": error.is_damage() })
}

fn print(out: &mut Out, done: &BackupReport, failed: &[(StoreId, BackupError)]) -> Result<(), Failure> {
    for (store, error) in failed {
        out.text(format_args!("store {store} could not be read: {error}"))?;
    }
    if done.mended_extents > 0 {
        out.text(format_args!(
            "replaced damaged copies of {}",
            counted(done.mended_extents, "extent")
        ))?;
    }
    out.text(format_args!(
        "the backup holds {}: {}, {}; copied now: {}, {}",
        counted(done.stores, "store"),
        counted(done.extents, "extent"),
        indicatif::HumanBytes(done.bytes),
        counted(done.copied_extents, "extent"),
        indicatif::HumanBytes(done.copied_bytes)
    ))
}

/// Some stores were not backed up, though all others were. Standard error names the first: who looks there looks on.
fn incomplete(failed: &[(StoreId, BackupError)]) -> Failure {
    let first = failed.first().map(|(store, error)| format!(": store {store}: {error}"));
    let what = format!(
        "{} could not be backed up{}",
        counted(failed.len() as u64, "store"),
        first.unwrap_or_default()
    );
    let is_lost = |error: &BackupError| matches!(remote_error(error), Some(RemoteError::BrokeOff(_)));
    if failed.iter().any(|(_, error)| error.is_damage()) {
        let called = crate::called::called();
        let next = format!("`{called} verify` says what is lost, when no server is using the data directory");
        return Failure::damage(what).hint(next);
    }
    match failed.iter().all(|(_, error)| is_lost(error)) {
        true => Failure::no_answer(what).hint("try again"),
        false => Failure::new(what),
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
                "dir": path_text(&self.dir),
                "stores": done.stores,
                "extents": done.extents,
                "bytes": done.bytes,
                "entries": entries,
                "unreadable": done.unreadable.iter().map(|store| store.0).collect::<Vec<_>>(),
                "seconds": seconds(started.elapsed()),
            }))?;
        } else {
            for store in &done.unreadable {
                out.text(format_args!(
                    "store {store} could not be read by the last backup: what is here of it, if anything, is older"
                ))?;
            }
            out.text(format_args!(
                "restored {}: {}, {}, {}, no damage",
                counted(done.stores, "store"),
                counted(done.extents, "extent"),
                indicatif::HumanBytes(done.bytes),
                counted(entries, "entry")
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
        match remote_error(&error) {
            Some(RemoteError::Token { .. }) => Self::token(text),
            Some(RemoteError::NoAnswer(_) | RemoteError::BrokeOff(_)) => Self::no_answer(text),
            Some(RemoteError::Damage(_)) => Self::damage(text),
            Some(RemoteError::Failed(_) | RemoteError::Refused(_)) | None => Self::new(text),
        }
    }
}

fn remote_error(error: &BackupError) -> Option<&RemoteError> {
    match error {
        BackupError::Source(why) | BackupError::Unreadable { why, .. } => why.downcast_ref(),
        _ => None,
    }
}

//! `doctor`: is a disk fit for the promise, how will the engine write to it, and how fast is that.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar};
use streamkit_engine::EngineConfig;
use streamkit_engine::doctor::{Diagnosis, Examination, Finding, Severity, clock_behind, examine};
use streamkit_server_core::Limits;

use crate::arguments::some_time;
use crate::failure::Failure;
use crate::output::{Out, json_lines, path_text};
use crate::signals::StopSignals;

#[derive(clap::Args)]
#[command(
    next_line_help = true,
    override_usage = "streamkit doctor [OPTIONS] <DIR|--disk <PATH>>"
)]
pub(crate) struct Doctor {
    /// A data directory; its server may be running, and is slower meanwhile
    #[arg(required_unless_present = "disk", conflicts_with = "disk")]
    dir: Option<PathBuf>,
    /// Any folder on the disk, instead
    #[arg(long, value_name = "PATH")]
    disk: Option<PathBuf>,
    /// How long each way of writing is measured
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "1s")]
    time: humantime::Duration,
    /// Bytes of the disk left to others, as of serve
    #[arg(long, value_name = "BYTES", default_value_t = EngineConfig::new("").keep_free_bytes)]
    keep_free_bytes: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let path = match (&self.dir, &self.disk) {
            (Some(dir), _) => data_directory(dir)?,
            (None, Some(disk)) => disk.clone(),
            (None, None) => return Err(Failure::arguments("name a data directory, or a folder with --disk")),
        };
        let found = std::fs::metadata(&path).map_err(|error| Failure::from(error).during(path.display()))?;
        if !found.is_dir() {
            return Err(Failure::new(format!("{} is no folder", path.display())));
        }
        let how = Examination {
            time: self.time.into(),
            keep_free_bytes: self.keep_free_bytes,
            open_files: open_files(),
        };
        let mut signals = StopSignals::new()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (folder, stop) = (path.clone(), Arc::clone(&stopped));
        let mut examined = tokio::task::spawn_blocking(move || {
            let bar = match std::io::stderr().is_terminal() {
                true => ProgressBar::new_spinner(),
                false => ProgressBar::hidden(),
            };
            bar.enable_steady_tick(Duration::from_millis(200));
            let found = examine(&folder, &how, &|| stop.load(Ordering::Relaxed), &mut |method| {
                bar.set_message(format!("measuring {}", method.name()));
            });
            bar.finish_and_clear();
            found
        });
        let examined = tokio::select! {
            examined = &mut examined => examined,
            signal = signals.next() => {
                signal?;
                stopped.store(true, Ordering::Relaxed);
                // It removes its file. A disk that never answers is not waited for twice.
                tokio::select! {
                    examined = examined => examined,
                    _ = signals.next() => return Err(Failure::interrupted()),
                }
            }
        };
        let examined = examined.map_err(|error| Failure::new(error.to_string()))?;
        let Some(mut found) = examined.map_err(|error| Failure::new(error.to_string()))? else {
            return Err(Failure::interrupted());
        };
        if self.dir.is_some() && streamkit_engine::disk::is_open_to_others(&path) {
            found.findings.push(Finding {
                severity: Severity::Warning,
                what: "other users of this host may look into the data directory; `chmod go-rwx` it".to_owned(),
            });
        }
        let behind = match self.dir {
            Some(_) => last_commit_ahead(path.clone()).await?,
            None => None,
        };
        if let Some(by) = behind.filter(|by| !by.is_zero()) {
            found.findings.push(Finding {
                severity: Severity::Warning,
                what: format!(
                    "the clock is {} behind the last commit here, whose time all entries get until it has caught up; was it ahead before?",
                    humantime::format_duration(Duration::from_secs(by.as_secs()))
                ),
            });
        }
        let mut out = Out::new();
        match json_lines(self.json) {
            true => out.json(&as_json(&path, &found, behind))?,
            false => print(&mut out, &path, &found)?,
        }
        out.flush()?;
        match found.keeps_the_promise() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "what is acknowledged in {} may be lost: see what is broken above",
                path.display()
            ))),
        }
    }
}

/// Files that a server with its default limits may have open: one of each store at rest, two of each extent that is read, its
/// connections, and some for everything else.
fn open_files() -> u64 {
    let config = EngineConfig::new("");
    let files = config.open_stores + 2 * config.open_extents + Limits::default().connections + 100;
    files as u64
}

/// How far the clock is behind the last commit in a data directory, if that can be told.
async fn last_commit_ahead(dir: PathBuf) -> Result<Option<Duration>, Failure> {
    let asked = tokio::task::spawn_blocking(move || clock_behind(&dir)).await;
    asked.map_err(|error| Failure::new(error.to_string()))
}

/// A folder that says of itself that it is one.
fn data_directory(dir: &Path) -> Result<PathBuf, Failure> {
    let there = dir.join("format").try_exists();
    match there.map_err(|error| Failure::from(error).during(dir.display()))? {
        true => Ok(dir.to_owned()),
        false => {
            let what = format!("{} is no data directory of streamkit", dir.display());
            Err(Failure::new(what).hint("for any other folder, use --disk"))
        }
    }
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Broken => "broken",
    }
}

fn as_json(path: &Path, found: &Diagnosis, behind: Option<Duration>) -> serde_json::Value {
    let methods = found.measured.iter().map(|measured| {
        serde_json::json!({
            "method": measured.method.name(),
            "writes": measured.writes,
            "p50_us": micros(measured.p50),
            "p99_us": micros(measured.p99),
            "per_second": measured.per_second.round(),
        })
    });
    let findings = found
        .findings
        .iter()
        .map(|finding| serde_json::json!({"severity": severity(finding.severity), "what": finding.what}));
    serde_json::json!({
        "dir": path_text(path),
        "file_system": found.ground.file_system,
        "device": found.ground.device,
        "volatile_cache": found.ground.volatile_cache,
        "syncs_flush": found.ground.syncs_flush,
        "free_bytes": found.free_bytes,
        "clock_behind_seconds": behind.map(|by| by.as_secs()),
        "open_files": found.ground.open_files,
        "direct_writes": found.direct,
        "io_uring": found.ring_refused.is_none(),
        "methods": methods.collect::<Vec<_>>(),
        "commit_method": found.commit_method,
        "alone_per_second": found.alone_per_second.round(),
        "together_per_second": found.together_per_second.round(),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn print(out: &mut Out, path: &Path, found: &Diagnosis) -> Result<(), Failure> {
    let ground = &found.ground;
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    // That is what the device tells the system, no more.
    let cache = match ground.volatile_cache {
        Some(true) => "said to be volatile",
        Some(false) => "said to be none, or one that keeps",
        None => "unknown",
    };
    let able = |able| if able { "yes" } else { "no" };
    out.text(format_args!("folder         {}", path.display()))?;
    out.text(format_args!(
        "file system    {} on {}",
        said(&ground.file_system),
        said(&ground.device)
    ))?;
    out.text(format_args!("device cache   {cache}"))?;
    if let Some(free) = found.free_bytes {
        out.text(format_args!("free           {}", HumanBytes(free)))?;
    }
    if let Some(files) = ground.open_files {
        out.text(format_args!("open files     {files}"))?;
    }
    out.text(format_args!("direct writes  {}", able(found.direct)))?;
    out.text(format_args!("io_uring       {}", able(found.ring_refused.is_none())))?;
    out.text("")?;
    let rows = found.measured.iter().map(|measured| {
        vec![
            measured.method.name().to_owned(),
            format!("{:.1}", micros(measured.p50)),
            format!("{:.1}", micros(measured.p99)),
            format!("{:.0}", measured.per_second),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    out.table(&["durable write of 4 KiB", "p50 µs", "p99 µs", "per second"], &rows)?;
    out.text("")?;
    out.text(format_args!("the engine will commit with {}", found.commit_method))?;
    out.text("to expect, of the disk:")?;
    out.text(format_args!(
        "  {:.0} commits/s of one producer that waits for each",
        found.alone_per_second
    ))?;
    let least = if found.ring_refused.is_some() { "at least " } else { "" };
    out.text(format_args!(
        "  {least}{:.0} groups/s of many stores, each with what came meanwhile",
        found.together_per_second
    ))?;
    for finding in &found.findings {
        out.text(format_args!(
            "{}: {}",
            severity(finding.severity).to_uppercase(),
            finding.what
        ))?;
    }
    if found.findings.is_empty() {
        out.text("nothing to complain about")?;
    }
    Ok(())
}

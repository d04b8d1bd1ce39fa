//! `import`: the rows of a file, of which a rerun stores only what is missing.

use std::io::Read;
use std::path::Path;

use crate::arguments::space;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::import::{Imported, Source, entries, run, stored_now};
use crate::input::{Format, check_packed};
use crate::output::{Out, counted, json_lines, note};
use crate::terminal::bar::Bar;

/// Bytes of the name that every row of a window has a copy of.
const SOURCE_BYTES_MAX: usize = 512;

#[derive(clap::Args)]
pub(crate) struct Import {
    /// The space to import into
    #[arg(value_parser = space)]
    space: String,
    /// CSV with a head line, or NDJSON; .gz, .zst too; - is standard input
    file: String,
    /// Column that names each row's segment; without it, all go to "all"
    #[arg(long, value_name = "FIELD")]
    segment_by: Option<String>,
    /// csv or ndjson, where the file does not tell
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<Format>,
    /// Name that tells a rerun what is stored, instead of the file's
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Keep the file's order in the space, not in segments only: slower
    #[arg(long)]
    ordered: bool,
    /// Store rows once more that are stored under another name
    #[arg(long)]
    again: bool,
    /// Lines of export, each at the sequence it had
    #[arg(long, conflicts_with_all = ["segment_by", "format", "source", "ordered", "again"])]
    entries: bool,
    /// Metadata for an entry's time [original-timestamp]
    #[arg(
        long,
        value_name = "KEY",
        requires = "entries",
        default_value = "original-timestamp",
        hide_default_value = true
    )]
    time_as: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Import {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let during = |error: std::io::Error| Failure::from(error).during(&self.file);
        let is_stdin = self.file == "-";
        let named = self.source.is_some();
        let name = match self.source {
            Some(name) => name,
            None if is_stdin && !self.entries => {
                return Err(
                    Failure::arguments("standard input has no name that a rerun could go on under")
                        .hint("give it one with --source NAME"),
                );
            }
            None => self.file.clone(),
        };
        if name.is_empty() {
            return Err(Failure::arguments("a source without a name cannot be gone on with")
                .hint("give it one with --source NAME"));
        }
        if name.len() > SOURCE_BYTES_MAX {
            let (what, bytes) = (if named { "--source" } else { "the file's name" }, name.len());
            return Err(Failure::arguments(format!(
                "{what} has {bytes} bytes, and every entry has a copy of it: {SOURCE_BYTES_MAX} at most"
            ))
            .hint("give a shorter one with --source NAME"));
        }
        let store = self.connect.open().await?;
        let mut bytes = 0;
        let input: Box<dyn Read + Send> = match is_stdin {
            true => Box::new(std::io::stdin()),
            false => {
                let file = std::fs::File::open(&self.file).map_err(during)?;
                let about = file.metadata().map_err(during)?;
                if about.is_dir() {
                    return Err(Failure::new(format!("{} is a folder; name one file of it", self.file)));
                }
                if about.is_file() {
                    bytes = about.len();
                    check(&self.file).await?;
                }
                Box::new(file)
            }
        };
        let source = Source {
            named,
            told_by: if is_stdin { name.clone() } else { self.file.clone() },
            name,
            format: self.format,
            segment_by: self.segment_by,
            ordered: self.ordered,
            again: self.again,
        };
        let one_segment = source.segment_by.is_none() && !self.entries;
        let bar = Bar::new(bytes);
        let imported = match self.entries {
            true => entries::run(&store, &self.space, source.told_by, self.time_as, input, &bar).await,
            false => run(&store, &self.space, source, input, &bar).await,
        };
        bar.clear();
        let imported = imported?;
        let Imported {
            rows,
            stored,
            segments,
            seconds,
        } = imported;
        if rows == 0 {
            note(format_args!("streamkit: {} has no rows", self.file));
        }
        let rate = stored as f64 / seconds.max(1e-9);
        let ordered = self.ordered || one_segment;
        Out::new().result(stored_now(stored), |out| {
            if json_lines(self.json) {
                out.json(&serde_json::json!({
                    "rows": rows,
                    "stored": stored,
                    "stored_before": rows - stored,
                    "segments": segments,
                    "seconds": seconds,
                    "rows_per_second": rate.round(),
                    "ordered": ordered,
                }))?;
            } else {
                out.text(format_args!(
                    "{} in {}: {stored} stored now, {} before; {seconds:.2} s, {rate:.0} rows/s",
                    counted(rows, "row"),
                    counted(segments as u64, "segment"),
                    rows - stored
                ))?;
                if !ordered && segments > 1 {
                    let how = if self.entries { "" } else { " (--ordered keeps it)" };
                    out.text(format_args!(
                        "each segment has the order of the file, the space has not{how}"
                    ))?;
                }
            }
            Ok(())
        })
    }
}

/// Reads a compressed file to its end before any row of it is stored.
async fn check(file: &str) -> Result<(), Failure> {
    let path = Path::new(file).to_owned();
    let checked = tokio::task::spawn_blocking(move || check_packed(&path)).await;
    let checked = checked.map_err(|error| Failure::new(error.to_string()))?;
    checked.map_err(|why| Failure::new(format!("{file}: {why}")).hint("nothing was stored; mend it and rerun"))
}

//! `import`: each row of a file becomes an entry of the segment its field names. An import can be killed at any point and
//! run again: rows of a segment are stored in the file's order, and each entry's metadata says which row it was, so the
//! head of a segment tells which of its rows are stored. Nothing else needs to be remembered.

use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal as _, Read};
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use streamkit_client::{Error, StoreClient};
use tokio::sync::mpsc;

use super::connect::{Connect, space};
use super::failure::Failure;
use super::output::{Out, json_lines};
use super::records;
use super::rows::{Format, Row, Rows};
use super::standing::{Numbered, SEGMENTS_AT_ONCE, Standing, Standings, Target};

/// Rows gathered before they are sent, by segment: large enough that most segments get several rows per transaction. An
/// import that was interrupted is resumed with the same windows: with others, it may be taken for another file's.
const WINDOW_ROWS: usize = 65_536;

/// Bytes of payload after which a window is sent even with fewer rows.
const WINDOW_BYTES: usize = 64 << 20;

/// Times the rows of a segment are tried when others append to it too.
const ATTEMPTS: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Import {
    /// The space to import into
    #[arg(value_parser = space)]
    space: String,
    /// CSV with a head line, or NDJSON; .gz too; - is standard input
    file: String,
    /// Column that names each row's segment; without it, all go to "all"
    #[arg(long, value_name = "FIELD")]
    segment_by: Option<String>,
    /// Name that tells a rerun what is stored, instead of the file's
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// What an import did.
pub(crate) struct Imported {
    /// Rows of the file.
    pub(crate) rows: u64,
    /// Rows stored now; the others were stored before.
    pub(crate) stored: u64,
    pub(crate) segments: usize,
    pub(crate) seconds: f64,
}

impl Import {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let during = |error: std::io::Error| Failure::from(error).during(&self.file);
        let is_file = self.file != "-";
        let input: Box<dyn Read + Send> = match is_file {
            true => Box::new(std::fs::File::open(&self.file).map_err(during)?),
            false => Box::new(std::io::stdin()),
        };
        let named = self.source.is_some();
        let name = match self.source {
            Some(name) => name,
            None if is_file => self.file.clone(),
            None => {
                return Err(
                    Failure::arguments("standard input has no name that a rerun could go on under")
                        .hint("give it one with --source NAME"),
                );
            }
        };
        let source = Source {
            named,
            format: Format::of(if is_file { &self.file } else { &name }),
            zipped: is_file && self.file.ends_with(".gz"),
            name,
            segment_by: self.segment_by,
        };
        let bytes = std::fs::metadata(&self.file).map_or(0, |meta| meta.len());
        let progress = progress(bytes);
        let imported = run(&self.connect.open(), &self.space, source, input, &progress).await;
        progress.finish_and_clear();
        let imported = imported?;
        let Imported {
            rows,
            stored,
            segments,
            seconds,
        } = imported;
        let rate = stored as f64 / seconds.max(1e-9);
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&serde_json::json!({
                "rows": rows,
                "stored": stored,
                "stored_before": rows - stored,
                "segments": segments,
                "seconds": seconds,
                "rows_per_second": rate.round(),
            }))?;
        } else {
            out.text(format_args!(
                "{rows} rows in {segments} segments: {stored} stored now, {} before; {seconds:.2} s, {rate:.0} rows/s",
                rows - stored
            ))?;
        }
        out.flush()
    }
}

/// A bar over the bytes of the file, on a terminal only.
pub(crate) fn progress(bytes: u64) -> ProgressBar {
    if bytes == 0 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left");
    let bar = ProgressBar::new(bytes);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Where rows come from.
pub(crate) struct Source {
    /// What is kept in every entry's metadata.
    pub(crate) name: String,
    /// Whether that is more than the way a file was written.
    pub(crate) named: bool,
    pub(crate) format: Format,
    /// Whether it is to be unpacked.
    pub(crate) zipped: bool,
    pub(crate) segment_by: Option<String>,
}

/// Rows of one pass, by segment in the file's order.
#[derive(Default)]
struct Window {
    rows: u64,
    bytes: usize,
    /// Number of the last row.
    last: u64,
    segments: HashMap<String, Numbered>,
}

impl Window {
    fn push(&mut self, row: Row) {
        self.rows += 1;
        self.last = row.number;
        self.bytes += row.record.payload.len();
        self.segments
            .entry(row.segment)
            .or_default()
            .push((row.number, row.record));
    }

    fn is_full(&self) -> bool {
        self.rows as usize >= WINDOW_ROWS || self.bytes >= WINDOW_BYTES
    }
}

/// Imports everything; what stands before a broken row is stored when the error is returned.
pub(crate) async fn run(
    store: &StoreClient,
    space: &str,
    source: Source,
    input: Box<dyn Read + Send>,
    progress: &ProgressBar,
) -> Result<Imported, Failure> {
    let started = Instant::now();
    let (send, mut windows) = mpsc::channel(1);
    let target = Target {
        store: store.clone(),
        space: space.to_owned(),
        source: source.name.clone(),
        named: source.named,
    };
    let input = progress.wrap_read(input);
    let reading = tokio::task::spawn_blocking(move || read(&source, input, &send));
    let mut standings = Standings::of(target.clone()).await?;
    let mut imported = Imported {
        rows: 0,
        stored: 0,
        segments: 0,
        seconds: 0.0,
    };
    let mut seen = HashSet::new();
    while let Some(window) = windows.recv().await {
        let window: Window = window;
        let examined = standings.examine(&window.segments, window.last).await;
        examined.map_err(|failure| failure.hint(stored_now(imported.stored)))?;
        seen.extend(window.segments.keys().cloned());
        let work = window.segments.into_iter().map(|(segment, rows)| {
            let (target, standing) = (target.clone(), standings.get(&segment));
            async move {
                let task = tokio::spawn(async move {
                    let (standing, stored) = append(&target, &segment, standing, rows, window.last).await?;
                    Ok::<_, Failure>((segment, standing, stored))
                });
                task.await.map_err(|error| Failure::new(error.to_string()))?
            }
        });
        let done: Vec<_> = stream::iter(work)
            .buffer_unordered(SEGMENTS_AT_ONCE)
            .try_collect()
            .await?;
        for (segment, standing, stored) in done {
            standings.set(segment, standing);
            imported.stored += stored;
        }
        imported.rows += window.rows;
        let seconds = started.elapsed().as_secs_f64();
        progress.set_message(format!(
            "{} rows, {:.0} rows/s",
            imported.rows,
            imported.rows as f64 / seconds
        ));
    }
    imported.segments = seen.len();
    imported.seconds = started.elapsed().as_secs_f64();
    let read = reading.await.map_err(|error| Failure::new(error.to_string()))?;
    read.map_err(|fault| {
        let stored = match imported.rows {
            0 => "no row stands before it".to_owned(),
            1 => "the row before it is stored".to_owned(),
            rows => format!("the {rows} rows before it are stored"),
        };
        Failure::new(format!("{}: {fault}", target.source)).hint(format!("{stored}; mend the line and rerun"))
    })?;
    let proven = standings.prove_all();
    proven.map_err(|failure| failure.hint(stored_now(imported.stored)))?;
    Ok(imported)
}

fn stored_now(rows: u64) -> String {
    match rows {
        0 => "no row was stored now".to_owned(),
        _ => format!("{rows} rows were stored now"),
    }
}

fn read(source: &Source, input: impl Read, send: &mpsc::Sender<Window>) -> Result<(), String> {
    let rows = Rows {
        source: &source.name,
        format: source.format,
        segment_by: source.segment_by.as_deref(),
        segment: "all",
    };
    let mut window = Window::default();
    let mut each = |row: Row| {
        window.push(row);
        !window.is_full() || send.blocking_send(std::mem::take(&mut window)).is_ok()
    };
    let read = if source.zipped {
        rows.read(flate2::read::MultiGzDecoder::new(input), &mut each)
    } else {
        rows.read(input, &mut each)
    };
    if window.rows > 0 {
        let _ = send.blocking_send(window);
    }
    read
}

/// Appends the rows that the segment does not hold yet. Where somebody else was first (the server may still be committing
/// what an import that was just killed had sent) it looks again what is there.
async fn append(
    target: &Target,
    segment: &str,
    mut standing: Standing,
    rows: Numbered,
    read: u64,
) -> Result<(Standing, u64), Failure> {
    let path = (target.space.as_str(), segment);
    let last_row = rows.last().map_or(0, |(number, _)| *number);
    let mut attempts = 1;
    loop {
        let new = standing.new_rows(&rows);
        let records = new.iter().map(|(_, record)| record);
        match records::append(&target.store, path, standing.head + 1, records).await {
            Ok(()) => {
                let count = new.len() as u64;
                standing.advance(count, last_row);
                return Ok((standing, count));
            }
            Err(Error::Conflict { .. }) if attempts < ATTEMPTS => {
                attempts += 1;
                standing = target.find(segment).await?;
                target.prove(segment, &mut standing, &rows, read)?;
            }
            Err(error) => {
                let conflict = matches!(error, Error::Conflict { .. });
                let failure = Failure::from(error).during(format!("{}/{segment}", target.space));
                let next = "what was acknowledged is stored, rerun to go on";
                return Err(if conflict {
                    failure.hint(format!("others append to it all the time; {next}"))
                } else {
                    failure.hint(next)
                });
            }
        }
    }
}

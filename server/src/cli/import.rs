//! `import`: each row of a file becomes an entry of the segment its field names. An import can be killed at any point and
//! run again: rows of a segment are stored in the file's order, and each entry's metadata says which row it was, so the
//! head of a segment tells which of its rows are stored. Nothing else needs to be remembered.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Read};
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use streamkit_client::{ConsumeSegment, Entry, Error, NewRecord, StoreClient};
use tokio::sync::mpsc;

use super::connect::Connect;
use super::failure::Failure;
use super::output::json_lines;
use super::rows::{Format, Row, Rows};

/// Rows gathered before they are sent, by segment: large enough that most segments get several rows per transaction.
const WINDOW_ROWS: usize = 65_536;

/// Bytes of payload after which a window is sent even with fewer rows.
const WINDOW_BYTES: usize = 64 << 20;

/// Times the rows of a segment are tried when others append to it too.
const ATTEMPTS: u32 = 10;

/// Segments written at the same time.
const SEGMENTS_AT_ONCE: usize = 512;

#[derive(clap::Args)]
pub(crate) struct Import {
    /// The space to import into
    space: String,
    /// CSV (with a head line) or NDJSON file; .gz is unpacked; - is standard input, CSV
    file: String,
    /// The column or field whose value names the segment of a row; without it all rows go to the segment "all"
    #[arg(long)]
    segment_by: Option<String>,
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
        let input: Box<dyn Read + Send> = match self.file.as_str() {
            "-" => Box::new(std::io::stdin()),
            file => Box::new(std::fs::File::open(file).map_err(during)?),
        };
        let bytes = std::fs::metadata(&self.file).map_or(0, |meta| meta.len());
        let progress = progress(bytes);
        let store = self.connect.open();
        let source = Source {
            name: self.file,
            segment_by: self.segment_by,
        };
        let imported = run(&store, &self.space, source, input, &progress).await;
        progress.finish_and_clear();
        let imported = imported?;
        let Imported {
            rows,
            stored,
            segments,
            seconds,
        } = imported;
        let rate = stored as f64 / seconds.max(1e-9);
        if json_lines(self.json) {
            println!(
                "{}",
                serde_json::json!({"rows": rows, "stored": stored, "stored_before": rows - stored, "segments": segments,
                    "seconds": seconds, "rows_per_second": rate.round()})
            );
        } else {
            println!(
                "{rows} rows in {segments} segments: {stored} stored now, {} before; {seconds:.2} s, {rate:.0} rows/s",
                rows - stored
            );
        }
        Ok(())
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
    /// Name of the file, kept in every entry's metadata.
    pub(crate) name: String,
    pub(crate) segment_by: Option<String>,
}

/// Rows of one pass, by segment in the file's order.
#[derive(Default)]
struct Window {
    rows: u64,
    bytes: usize,
    segments: HashMap<String, Vec<(u64, NewRecord)>>,
}

impl Window {
    fn push(&mut self, row: Row) {
        self.rows += 1;
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

/// Where a segment stands.
#[derive(Clone, Copy, Default)]
struct Standing {
    head: u64,
    /// The last row of this source in it.
    row: u64,
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
    let name = source.name.clone();
    let input = progress.wrap_read(input);
    let reading = tokio::task::spawn_blocking(move || read(&source, input, &send));
    let known = store.segment_statuses(space, "", 0).await?;
    let mut standings: HashMap<String, Option<Standing>> = known.into_iter().map(|s| (s.segment, None)).collect();
    let mut imported = Imported {
        rows: 0,
        stored: 0,
        segments: 0,
        seconds: 0.0,
    };
    let mut seen = std::collections::HashSet::new();
    while let Some(window) = windows.recv().await {
        let window: Window = window;
        imported.rows += window.rows;
        let work = window.segments.into_iter().map(|(segment, rows)| {
            let standing = standings.get(&segment).copied().unwrap_or(Some(Standing::default()));
            let (store, space, name) = (store.clone(), space.to_owned(), name.clone());
            if !seen.contains(&segment) {
                seen.insert(segment.clone());
            }
            async move {
                let task = tokio::spawn(async move {
                    let standing = match standing {
                        Some(standing) => standing,
                        None => find_standing(&store, &space, &segment, &name).await?,
                    };
                    let (standing, stored) = append(&store, &space, &segment, standing, rows).await?;
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
            standings.insert(segment, Some(standing));
            imported.stored += stored;
        }
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
        let stored = imported.rows;
        Failure::new(format!("{name}: {fault}")).hint(format!(
            "the {stored} rows before it are stored; mend the line and rerun"
        ))
    })?;
    Ok(imported)
}

fn read(source: &Source, input: impl Read, send: &mpsc::Sender<Window>) -> Result<(), String> {
    let rows = Rows {
        source: &source.name,
        format: Format::of(&source.name),
        segment_by: source.segment_by.as_deref(),
        segment: "all",
    };
    let mut window = Window::default();
    let mut each = |row: Row| {
        window.push(row);
        !window.is_full() || send.blocking_send(std::mem::take(&mut window)).is_ok()
    };
    let read = if source.name.ends_with(".gz") {
        rows.read(flate2::read::MultiGzDecoder::new(input), &mut each)
    } else {
        rows.read(input, &mut each)
    };
    if window.rows > 0 {
        let _ = send.blocking_send(window);
    }
    read
}

/// Which rows of this source a segment holds. Its head says so, unless something else was appended after the import:
/// then the whole segment is read.
async fn find_standing(store: &StoreClient, space: &str, segment: &str, source: &str) -> Result<Standing, Failure> {
    let Some(last) = store.peek(space, segment).await? else {
        return Ok(Standing::default());
    };
    let head = last.sequence;
    if let Some(row) = row_of(&last, source) {
        return Ok(Standing { head, row });
    }
    let mut entries = store.consume_segment(ConsumeSegment::all(space, segment));
    let mut row = 0;
    while let Some(entry) = entries.try_next().await? {
        row = row_of(&entry, source).unwrap_or(row);
    }
    Ok(Standing { head, row })
}

fn row_of(entry: &Entry, source: &str) -> Option<u64> {
    let same = entry.metadata.get("source").is_some_and(|from| from == source);
    same.then(|| entry.metadata.get("row")?.parse().ok())?
}

/// Appends the rows that the segment does not hold yet. Where somebody else was first (the server may still be committing
/// what an import that was just killed had sent) it looks again what is there.
async fn append(
    store: &StoreClient,
    space: &str,
    segment: &str,
    mut standing: Standing,
    rows: Vec<(u64, NewRecord)>,
) -> Result<(Standing, u64), Failure> {
    let last_row = rows.last().map_or(0, |(number, _)| *number);
    let mut attempts = 1;
    loop {
        let new = &rows[rows.partition_point(|(number, _)| *number <= standing.row)..];
        match produce(store, space, segment, standing.head + 1, new).await {
            Ok(count) => {
                let standing = Standing {
                    head: standing.head + count,
                    row: standing.row.max(last_row),
                };
                return Ok((standing, count));
            }
            Err(Error::Conflict { .. }) if attempts < ATTEMPTS => {
                attempts += 1;
                standing = find_standing(store, space, segment, source_of(&rows)).await?;
            }
            Err(error) => {
                let conflict = matches!(error, Error::Conflict { .. });
                let failure = Failure::from(error).during(format!("{space}/{segment}"));
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

fn source_of(rows: &[(u64, NewRecord)]) -> &str {
    rows.first()
        .and_then(|(_, record)| record.metadata.get("source"))
        .map_or("", String::as_str)
}

async fn produce(
    store: &StoreClient,
    space: &str,
    segment: &str,
    first: u64,
    rows: &[(u64, NewRecord)],
) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut producer = store.produce(space, segment, first).await?;
    for (_, record) in rows {
        producer.send(record).await?;
    }
    producer.finish().await?;
    Ok(rows.len() as u64)
}

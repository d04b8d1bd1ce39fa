//! `import`: each row of a file becomes an entry of the segment its field names. An import can be killed at any point and
//! run again: rows of a segment are stored in the file's order, and each entry's metadata says which row it was and has the
//! digest of all rows up to it, so the head of a segment tells which of its rows are stored, and whether they are this
//! file's. Nothing else needs to be remembered.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use streamkit_client::{Error, StoreClient};
use tokio::sync::mpsc;

use super::acknowledged::{Bar, BytesRead};
use super::connect::{Connect, space};
use super::failure::Failure;
use super::input::{Format, Input, check_packed};
use super::output::{Out, counted, json_lines, note};
use super::records;
use super::rows::{Row, Rows};
use super::standing::{SEGMENTS_AT_ONCE, Standing, Standings, Target};

/// Rows gathered before they are sent, by segment: large enough that most segments get several rows per transaction. An
/// import that was interrupted is resumed with the same windows: with others, it may be taken for another file's.
const WINDOW_ROWS: usize = 65_536;

/// Bytes of payload after which a window is sent even with fewer rows.
const WINDOW_BYTES: usize = 64 << 20;

/// Bytes of the name that every row of a window has a copy of.
const SOURCE_BYTES_MAX: usize = 512;

/// Times the rows of a segment are tried when others append to it too.
const ATTEMPTS: u32 = 10;

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
        let is_stdin = self.file == "-";
        let named = self.source.is_some();
        let name = match self.source {
            Some(name) => name,
            None if is_stdin => {
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
        let one_segment = source.segment_by.is_none();
        let bar = Bar::new(bytes);
        let imported = run(&self.connect.open(), &self.space, source, input, &bar).await;
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
                    out.text("each segment has the order of the file, the space has not (--ordered keeps it)")?;
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

/// Where rows come from.
pub(crate) struct Source {
    /// What is kept in every entry's metadata.
    pub(crate) name: String,
    /// Whether that is more than the way a file was written.
    pub(crate) named: bool,
    /// The name whose ending helps to tell the format.
    pub(crate) told_by: String,
    /// The format, if it was asked for.
    pub(crate) format: Option<Format>,
    pub(crate) segment_by: Option<String>,
    /// Whether the space has the order of the rows too.
    pub(crate) ordered: bool,
    /// Whether rows are stored that stand there under another name.
    pub(crate) again: bool,
}

/// Rows of one pass, by segment in the file's order.
#[derive(Default)]
struct Window {
    rows: u64,
    bytes: usize,
    /// Number of the last row.
    last: u64,
    /// Bytes of the input that were read for it and those before.
    read: u64,
    segments: HashMap<String, Vec<Row>>,
}

impl Window {
    fn push(&mut self, segment: &str, row: Row) {
        self.rows += 1;
        self.last = row.number;
        self.bytes += row.record.payload.len();
        match self.segments.get_mut(segment) {
            Some(rows) => rows.push(row),
            None => {
                self.segments.insert(segment.to_owned(), vec![row]);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.rows as usize >= WINDOW_ROWS || self.bytes >= WINDOW_BYTES
    }

    /// Its rows as they follow each other in the file: from row to row of each segment, as long as no row of another one stands
    /// between.
    fn runs(&self) -> Vec<(&str, &[Row])> {
        let mut starts: Vec<(u64, &str, usize)> = Vec::with_capacity(self.rows as usize);
        for (segment, rows) in &self.segments {
            let placed = rows.iter().enumerate();
            starts.extend(placed.map(|(index, row)| (row.number, segment.as_str(), index)));
        }
        starts.sort_unstable();
        let runs = starts.chunk_by(|(_, one, _), (_, next, _)| one == next);
        runs.map(|run| {
            let (_, segment, first) = run[0];
            (segment, &self.segments[segment][first..first + run.len()])
        })
        .collect()
    }
}

/// Imports everything; what stands before a broken row is stored when the error is returned.
pub(crate) async fn run(
    store: &StoreClient,
    space: &str,
    source: Source,
    input: Box<dyn Read + Send>,
    bar: &Bar,
) -> Result<Imported, Failure> {
    let started = Instant::now();
    let (send, mut windows) = mpsc::channel(1);
    let target = Target {
        store: store.clone(),
        space: space.to_owned(),
        source: source.name.clone(),
        named: source.named,
        again: source.again,
    };
    let ordered = source.ordered;
    let reading = tokio::task::spawn_blocking(move || read(&source, input, &send));
    let mut standings = Standings::of(target.clone()).await?;
    let mut imported = Imported {
        rows: 0,
        stored: 0,
        segments: 0,
        seconds: 0.0,
    };
    let mut seen = HashSet::new();
    let mut read_before = 0;
    while let Some(window) = windows.recv().await {
        let window: Window = window;
        let examined = standings.examine(&window.segments, window.last).await;
        examined.map_err(|failure| failure.hint(stored_now(imported.stored)))?;
        seen.extend(window.segments.keys().cloned());
        let rows_stored = AtomicU64::new(0);
        let shown = |rows: usize| {
            let stored = rows_stored.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
            bar.stored((read_before, window.read), stored, window.rows);
            let (rows, seconds) = (imported.rows + stored, started.elapsed().as_secs_f64());
            bar.say(format!("{rows} rows, {:.0} rows/s", rows as f64 / seconds));
        };
        let (rows, read) = (window.rows, window.read);
        imported.stored += match ordered {
            true => store_in_order(&target, &mut standings, &window, &shown).await?,
            false => store_by_segment(&target, &mut standings, window.segments, &shown).await?,
        };
        imported.rows += rows;
        read_before = read;
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
        Failure::new(format!("{}: {fault}", target.source)).hint(format!("{stored}; mend it and rerun"))
    })?;
    let proven = standings.prove_all();
    proven.map_err(|failure| failure.hint(stored_now(imported.stored)))?;
    Ok(imported)
}

fn stored_now(rows: u64) -> String {
    match rows {
        0 => "no row was stored now".to_owned(),
        1 => "1 row was stored now".to_owned(),
        _ => format!("{rows} rows were stored now"),
    }
}

fn read(source: &Source, input: Box<dyn Read + Send>, send: &mpsc::Sender<Window>) -> Result<(), String> {
    let bytes_read = BytesRead::default();
    let input = Input::open(bytes_read.count(input), &source.told_by, source.format)?;
    let rows = Rows {
        source: &source.name,
        segment_by: source.segment_by.as_deref(),
        segment: "all",
    };
    let mut window = Window::default();
    let read = rows.read(input, &mut |segment: &str, row: Row| {
        window.push(segment, row);
        window.read = bytes_read.get();
        !window.is_full() || send.blocking_send(std::mem::take(&mut window)).is_ok()
    });
    if window.rows > 0 {
        let _ = send.blocking_send(window);
    }
    read
}

/// Stores rows of many segments at a time; returns how many were new. Each segment keeps the order of its rows.
async fn store_by_segment(
    target: &Target,
    standings: &mut Standings,
    segments: HashMap<String, Vec<Row>>,
    shown: &impl Fn(usize),
) -> Result<u64, Failure> {
    let work = segments.into_iter().map(|(segment, rows)| {
        let (target, standing) = (target.clone(), standings.get(&segment));
        async move {
            let task = tokio::spawn(async move {
                let (standing, stored) = append(&target, &segment, standing, &rows, &rows).await?;
                Ok::<_, Failure>((segment, standing, stored, rows.len()))
            });
            task.await.map_err(|error| Failure::new(error.to_string()))?
        }
    });
    let mut done = stream::iter(work.collect::<Vec<_>>()).buffer_unordered(SEGMENTS_AT_ONCE);
    let mut new = 0;
    while let Some((segment, standing, stored, rows)) = done.try_next().await? {
        standings.set(segment, standing);
        new += stored;
        shown(rows);
    }
    Ok(new)
}

/// Stores rows one run after the other, each when those before it are durable; returns how many were new.
async fn store_in_order(
    target: &Target,
    standings: &mut Standings,
    window: &Window,
    shown: &impl Fn(usize),
) -> Result<u64, Failure> {
    let mut new = 0;
    for (segment, rows) in window.runs() {
        let all = &window.segments[segment];
        let (standing, stored) = append(target, segment, standings.get(segment), rows, all).await?;
        standings.set(segment.to_owned(), standing);
        new += stored;
        shown(rows.len());
    }
    Ok(new)
}

/// Appends the rows that the segment does not hold yet. Where somebody else was first (the server may still be committing
/// what an import that was just killed had sent) it looks again what is there, which must be among `all` rows of the window.
async fn append(
    target: &Target,
    segment: &str,
    mut standing: Standing,
    rows: &[Row],
    all: &[Row],
) -> Result<(Standing, u64), Failure> {
    let path = (target.space.as_str(), segment);
    let last_row = rows.last().map_or(0, |row| row.number);
    let mut attempts = 1;
    loop {
        let new = standing.new_rows(rows);
        let records = new.iter().map(|row| &row.record);
        match records::append(&target.store, path, standing.head + 1, records).await {
            Ok(()) => {
                let count = new.len() as u64;
                standing.advance(count, last_row);
                return Ok((standing, count));
            }
            Err(Error::Conflict { .. }) if attempts < ATTEMPTS => {
                attempts += 1;
                standing = target.look_again(segment, standing, all).await?;
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

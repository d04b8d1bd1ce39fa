//! Import: each row of a file becomes an entry of the segment its field names. An import can be killed at any point and
//! run again: rows of a segment are stored in the file's order, and each entry's metadata says which row it was and has the
//! digest of all rows up to it, so the head of a segment tells which of its rows are stored, and whether they are this
//! file's. Nothing else needs to be remembered.

pub(crate) mod entries;
pub(crate) mod pieces;
mod rows;
mod standing;
mod store;
mod window;

use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rows::{Row, Rows};
use standing::{Standings, Target};
use streamkit_client::StoreClient;
use tokio::sync::mpsc;
use window::Window;

use crate::failure::Failure;
use crate::input::{Format, Input};
use crate::terminal::bar::{Bar, BytesRead};

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

/// What an import did.
pub(crate) struct Imported {
    /// Rows of the file.
    pub(crate) rows: u64,
    /// Rows stored now; the others were stored before.
    pub(crate) stored: u64,
    pub(crate) segments: usize,
    pub(crate) seconds: f64,
}

/// Imports everything; what stands before a broken row is stored when the error is returned.
pub(crate) async fn run(
    client: &StoreClient,
    space: &str,
    source: Source,
    input: Box<dyn Read + Send>,
    bar: &Bar,
) -> Result<Imported, Failure> {
    let started = Instant::now();
    let (send, mut windows) = mpsc::channel(1);
    let target = Target {
        store: client.clone(),
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
            true => store::in_order(&target, &mut standings, &window, &shown).await?,
            false => store::by_segment(&target, &mut standings, window.segments, &shown).await?,
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

/// Says how many rows were stored.
pub(crate) fn stored_now(rows: u64) -> String {
    match rows {
        0 => "no row was stored now".to_owned(),
        1 => "1 row was stored now".to_owned(),
        _ => format!("{rows} rows were stored now"),
    }
}

/// Reads rows into windows, on a thread that may block.
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

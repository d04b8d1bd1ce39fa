//! Entries of an export, stored at the sequences they had. What a segment holds is compared, so nothing is stored twice, and nothing is
//! stored behind something else.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use streamkit_client::{Error, NewRecord, StoreClient};
use streamkit_engine::Name;
use tokio::sync::mpsc;

use super::pieces::Pieces;
use super::{Imported, stored_now};
use crate::failure::Failure;
use crate::input::lines::{LineEnd, Lines};
use crate::input::{Format, Input, entry_line, records};
use crate::terminal::bar::{Bar, BytesRead};

/// Entries gathered before they are sent.
const WINDOW_ENTRIES: u64 = 65_536;

/// Bytes of payload after which they are sent.
const WINDOW_BYTES: usize = 64 << 20;

/// Segments appended to at a time.
const SEGMENTS_AT_ONCE: usize = 64;

/// Consecutive entries of one segment.
struct Run {
    line: u64,
    first: u64,
    records: Vec<NewRecord>,
}

/// Entries of one pass, by segment.
#[derive(Default)]
struct Window {
    segments: HashMap<String, Run>,
    entries: u64,
    bytes: usize,
    /// Bytes of the input that were read for it and those before.
    read: u64,
}

/// Stores them in a space. The time of each goes into its metadata under this key, unless it has one there from before.
///
/// # Errors
/// What stands before a broken line is stored. A segment that holds other entries at these sequences is a conflict.
pub(crate) async fn run(
    store: &StoreClient,
    space: &str,
    name: String,
    time_as: String,
    input: Box<dyn Read + Send>,
    bar: &Bar,
) -> Result<Imported, Failure> {
    let started = Instant::now();
    let (send, mut windows) = mpsc::channel(1);
    let source = name.clone();
    let reading = tokio::task::spawn_blocking(move || read(&source, &time_as, input, &send));
    let mut heads: HashMap<String, u64> = HashMap::new();
    let (mut rows, mut stored, mut read_before) = (0, 0, 0);
    while let Some(window) = windows.recv().await {
        let window: Window = window;
        let (done, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let work = window.segments.into_iter().map(|(segment, run)| {
            let (head, done, count) = (heads.get(&segment).copied(), &done, run.records.len() as u64);
            let failed = &failed;
            async move {
                if failed.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let new = append(store, (space, &segment), head, &run).await?;
                let there = done.fetch_add(count, Ordering::Relaxed) + count;
                bar.stored((read_before, window.read), there, window.entries);
                Ok(Some((segment, run.first + count - 1, new)))
            }
        });
        let mut appended = stream::iter(work.collect::<Vec<_>>()).buffer_unordered(SEGMENTS_AT_ONCE);
        let mut first: Option<Failure> = None;
        // Where one segment fails, those under way are waited for, and no others begun: what is told to be stored is all of it.
        while let Some(next) = appended.next().await {
            match next {
                Ok(Some((segment, last, new))) => {
                    let head = heads.entry(segment).or_default();
                    *head = last.max(*head);
                    stored += new;
                }
                Ok(None) => {}
                Err(failure) => {
                    failed.store(true, Ordering::Relaxed);
                    first.get_or_insert(failure);
                }
            }
        }
        if let Some(failure) = first {
            return Err(failure.hint(stored_now(stored)));
        }
        rows += window.entries;
        read_before = window.read;
        bar.say(format!("{rows} entries"));
    }
    let read = reading.await.map_err(|error| Failure::new(error.to_string()))?;
    read.map_err(|fault| {
        Failure::new(format!("{name}: {fault}")).hint(format!("{}; mend it and rerun", stored_now(stored)))
    })?;
    Ok(Imported {
        rows,
        stored,
        segments: heads.len(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Appends those of a run that the segment does not hold yet; returns how many.
async fn append(store: &StoreClient, path: (&str, &str), head: Option<u64>, run: &Run) -> Result<u64, Failure> {
    let (space, segment) = path;
    let during = |error: Error| Failure::from(error).during(format!("{space}/{segment}"));
    let head = match head {
        Some(head) => head,
        None => {
            let last = store.peek(space, segment).await.map_err(during)?;
            last.map_or(0, |entry| entry.sequence)
        }
    };
    if run.first > head + 1 {
        return Err(Failure::conflict(format!(
            "line {}: {space}/{segment} ends at sequence {head}, and the entry had {}",
            run.line, run.first
        ))
        .hint("it was exported without what stood before; import that first"));
    }
    let last = run.first + run.records.len() as u64 - 1;
    let mut there = Pieces::new(store, path, run.first, head.min(last));
    let mut held = 0;
    while let Some(entry) = there.next().await.map_err(during)? {
        let record = &run.records[held];
        if (&entry.payload, &entry.metadata) != (&record.payload, &record.metadata) {
            return Err(Failure::conflict(format!(
                "{space}/{segment} holds another entry at sequence {}",
                entry.sequence
            ))
            .hint("nothing there was changed; import into another space"));
        }
        held += 1;
    }
    let new = &run.records[held..];
    let appended = records::append(store, path, run.first + held as u64, new.iter()).await;
    appended.map_err(during)?;
    Ok(new.len() as u64)
}

/// Reads entries into windows, on a thread that may block.
fn read(name: &str, time_as: &str, input: Box<dyn Read + Send>, send: &mpsc::Sender<Window>) -> Result<(), String> {
    let bytes_read = BytesRead::default();
    let input = Input::open(bytes_read.count(input), name, Some(Format::Ndjson))?;
    let mut window = Window::default();
    let mut fault = Ok(());
    for line in Lines::new(input.text, LineEnd::CrLf) {
        let taken = line.and_then(|(number, line)| {
            if line.trim_ascii().is_empty() {
                return Ok(());
            }
            take(&mut window, number, &line, time_as).map_err(|why| format!("line {number}: {why}"))
        });
        window.read = bytes_read.get();
        match taken {
            Ok(()) if window.entries < WINDOW_ENTRIES && window.bytes < WINDOW_BYTES => {}
            Ok(()) => {
                if send.blocking_send(std::mem::take(&mut window)).is_err() {
                    return Ok(());
                }
            }
            Err(why) => {
                fault = Err(why);
                break;
            }
        }
    }
    if window.entries > 0 {
        let _ = send.blocking_send(window);
    }
    fault
}

/// Puts an entry into a window.
fn take(window: &mut Window, number: u64, line: &[u8], time_as: &str) -> Result<(), String> {
    let mut entry = entry_line::read(line)?;
    Name::new(&entry.segment).map_err(|error| format!("the segment: {error}"))?;
    let time = entry.timestamp.to_string();
    entry.record.metadata.entry(time_as.to_owned()).or_insert(time);
    let bytes = records::record_bytes(&entry.record)?;
    let begun = window.segments.get(&entry.segment);
    let next = begun.map_or(entry.sequence.max(1), |run| {
        run.first.saturating_add(run.records.len() as u64)
    });
    if entry.sequence != next {
        let sequence = entry.sequence;
        return Err(format!("sequence {sequence}, where {next} comes next in its segment"));
    }
    let run = window.segments.entry(entry.segment).or_insert_with(|| Run {
        line: number,
        first: next,
        records: Vec::new(),
    });
    run.records.push(entry.record);
    window.bytes += bytes;
    window.entries += 1;
    Ok(())
}

//! `produce`: lines in, entries out. Lines leave in chunks, one call each: after a failure it is known to the line what is
//! stored, or which lines may be.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamkit_client::{Error, Metadata, NewRecord, StoreClient};
use streamkit_engine::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_RECORDS_MAX};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::arguments::{key_value, path};
use crate::called::called;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::input::lines::{LineEnd, Lines};
use crate::input::record_line;
use crate::input::records::{append, record_bytes};
use crate::output::{Out, counted, json_lines};

/// Bytes after which a chunk leaves, such that one more record cannot make it two transactions.
const CHUNK_BYTES: usize = TRANSACTION_BYTES_MAX - RECORD_BYTES_MAX;

/// Time after its first line at which a chunk leaves as it is: an input that trickles is stored while it is open.
const CHUNK_AGE: Duration = Duration::from_millis(100);

/// Lines read ahead of the chunk being sent.
const LINES_AHEAD: usize = 64;

/// Times a chunk is tried that may go after any head.
const ATTEMPTS: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Produce {
    /// Where they go
    #[arg(value_name = "SPACE/SEGMENT", value_parser = path)]
    target: (String, String),
    /// File with one record a line; - or nothing: standard input
    file: Option<String>,
    /// Head that must hold, 0 for a new segment; without it, any will do
    #[arg(long, value_name = "HEAD")]
    expect: Option<u64>,
    /// Read lines as {"payload":…,"metadata":{…}}, and print JSON
    #[arg(long)]
    json: bool,
    /// A carriage return before a line's end is no part of the record
    #[arg(long)]
    crlf: bool,
    /// Metadata of every record; once for each key
    #[arg(short = 'H', long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    connect: Connect,
}

/// What is to be said of lines under way if the command is ended at once.
#[derive(Clone, Default)]
pub(crate) struct InDoubt(Arc<Mutex<Option<String>>>);

impl InDoubt {
    fn set(&self, what: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Adds it to what a command that was ended says.
    pub(crate) fn told(&self, failure: Failure) -> Failure {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(what) => failure.hint_if_interrupted(what),
            None => failure,
        }
    }
}

/// A record, or why there is none and no more are read.
type Parsed = Result<NewRecord, Failure>;

/// Why no more lines come.
enum End {
    Input,
    Broken(Failure),
    Stopped,
}

/// Lines that are sent together.
#[derive(Default)]
struct Chunk {
    records: Vec<NewRecord>,
    bytes: usize,
}

/// How far the input is stored.
struct Progress {
    /// Lines stored.
    lines: u64,
    /// The head after them: what must hold for the next.
    head: u64,
}

impl Produce {
    /// `stop` ends the input; what was read until then is still stored. Dropped before its end, it has put into `doubt` what is
    /// known then.
    pub(crate) async fn run(self, stop: CancellationToken, doubt: InDoubt) -> Result<(), Failure> {
        doubt.set(Some("nothing was stored".to_owned()));
        let done = self.run_on(stop, &doubt).await;
        doubt.set(None);
        done
    }

    async fn run_on(&self, stop: CancellationToken, doubt: &InDoubt) -> Result<(), Failure> {
        let common: Metadata = self.metadata.iter().cloned().collect();
        if common.len() < self.metadata.len() {
            return Err(Failure::arguments("a key of --metadata is given twice"));
        }
        let store = self.connect.open().await?;
        let input: Box<dyn Read + Send> = match self.file.as_deref() {
            None | Some("-") => Box::new(std::io::stdin()),
            Some(file) => Box::new(open(file)?),
        };
        let end = match self.crlf {
            true => LineEnd::CrLf,
            false => LineEnd::Lf,
        };
        let mut lines = read(input, end, self.json, common);
        let head = match self.expect {
            Some(head) => head,
            None => head_of(&store, &self.target).await?,
        };
        let mut progress = Progress { lines: 0, head };
        let end = loop {
            let (chunk, end) = Chunk::gather(&mut lines, &stop).await;
            let sent = chunk.records.len() as u64;
            if sent > 0 {
                doubt.set(Some(progress.in_doubt(&self.target, sent)));
            }
            self.store(&store, &chunk.records, &mut progress).await?;
            doubt.set(Some(progress.stored()));
            if let Some(end) = end {
                break end;
            }
        };
        let Progress { lines, head } = progress;
        if let (0, Some(expected)) = (lines, self.expect) {
            // No call has checked it.
            let actual = head_of(&store, &self.target).await?;
            if actual != expected {
                return Err(progress.conflict(actual));
            }
        }
        // Whoever rereads a lost result must not send the lines again.
        let printed = self
            .print(lines, head)
            .map_err(|failure| progress.behind(failure, &self.target));
        // Whoever reads the result may be gone; what went wrong counts all the same.
        match end {
            End::Input => printed,
            End::Broken(failure) => Err(progress.go_on(failure)),
            End::Stopped => Err(progress.go_on(Failure::interrupted())),
        }
    }

    fn print(&self, lines: u64, head: u64) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        let mut out = Out::new();
        if json_lines(self.json) {
            out.json(&serde_json::json!({"space": space, "segment": segment, "produced": lines, "head": head}))?;
        } else {
            out.text(format_args!(
                "{} appended to {space}/{segment}, its head is {head}",
                counted(lines, "line")
            ))?;
        }
        out.flush()
    }

    /// Stores a chunk. Where any head will do, it goes after what others have appended in the meantime.
    async fn store(&self, store: &StoreClient, chunk: &[NewRecord], progress: &mut Progress) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        let mut left = chunk;
        let mut attempts = 1;
        loop {
            match append(store, (space, segment), progress.head.saturating_add(1), left.iter()).await {
                Ok(()) => {
                    progress.advance(left.len() as u64);
                    return Ok(());
                }
                Err(Error::Conflict { head: actual, got }) => {
                    // A server that had to split the chunk has stored what comes before the refused sequence.
                    let stored = got
                        .saturating_sub(progress.head.saturating_add(1))
                        .min(left.len() as u64);
                    progress.advance(stored);
                    left = &left[stored as usize..];
                    if self.expect.is_some() || attempts == ATTEMPTS {
                        return Err(progress.conflict(actual));
                    }
                    attempts += 1;
                    progress.head = actual;
                }
                Err(error) => return Err(self.failed(store, error, left.len() as u64, progress).await),
            }
        }
    }

    /// What is known after a failed call with so many lines.
    async fn failed(&self, store: &StoreClient, error: Error, sent: u64, progress: &Progress) -> Failure {
        if error.is_not_stored() && self.stands_at(store, &error, progress.head).await {
            // Not the usual advice, which cannot say where to go on.
            let text = error.to_string();
            return progress.go_on(match error {
                Error::Unavailable(_) | Error::NotBegun(_) => Failure::from(error).because(text),
                error => Failure::from(error),
            });
        }
        let text = error.to_string();
        // Not the usual advice: to try again at once could store the lines twice.
        Failure::from(error)
            .because(text)
            .hint(progress.in_doubt(&self.target, sent))
    }

    /// Whether nothing was stored before what was refused: a server that is short of memory may split a chunk.
    async fn stands_at(&self, store: &StoreClient, error: &Error, head: u64) -> bool {
        if !matches!(error, Error::Unavailable(_)) {
            return true;
        }
        let (space, segment) = &self.target;
        // Without a look at the disk, which may be what is short; a server that does not know this call is asked for an entry.
        let actual = match store.status(space, segment).await {
            Ok(status) => Ok(status.last_sequence),
            Err(_) => head_of(store, &self.target).await,
        };
        actual.is_ok_and(|actual| actual == head)
    }
}

impl Progress {
    fn advance(&mut self, lines: u64) {
        self.lines += lines;
        self.head = self.head.saturating_add(lines);
    }

    /// The head is another than expected.
    fn conflict(&self, actual: u64) -> Failure {
        let expected = self.head;
        let failure = Failure::conflict(format!("sequence conflict: expected head {expected}, it is {actual}"));
        match self.lines {
            0 => failure.hint(format!("rerun with --expect {actual}")),
            _ => Self {
                lines: self.lines,
                head: actual,
            }
            .go_on(failure),
        }
    }

    /// Adds where to go on.
    fn go_on(&self, failure: Failure) -> Failure {
        let (lines, head) = (self.lines, self.head);
        failure.hint(match lines {
            0 => "nothing was stored".to_owned(),
            _ => format!("{}; go on with line {} at --expect {head}", self.stored(), lines + 1),
        })
    }

    /// Adds what is stored to a failure that came behind the last line.
    fn behind(&self, failure: Failure, (space, segment): &(String, String)) -> Failure {
        match self.lines {
            0 => failure.hint(self.stored()),
            _ => failure.hint(format!(
                "{}, the head of {space}/{segment} is {}",
                self.stored(),
                self.head
            )),
        }
    }

    fn stored(&self) -> String {
        match self.lines {
            0 => "nothing was stored".to_owned(),
            1 => "the first line is stored".to_owned(),
            lines => format!("the first {lines} lines are stored"),
        }
    }

    /// How to find out whether the next lines are stored.
    fn in_doubt(&self, (space, segment): &(String, String), sent: u64) -> String {
        let (stored, which) = match self.lines {
            0 => (String::new(), "first"),
            _ => (format!("{}; ", self.stored()), "next"),
        };
        let (lines, if_none, if_all) = match sent {
            1 => (format!("{which} line is"), "it is not", "it is"),
            _ => (format!("{which} {sent} lines are"), "none of them is", "all are"),
        };
        let (none, all) = (self.head, self.head.saturating_add(sent));
        format!(
            "{stored}whether the {lines} stored is unknown: look with `{} peek {space}/{segment}` before you go on, its sequence is {none} if {if_none} and {all} if {if_all}",
            called()
        )
    }
}

impl Chunk {
    /// Gathers lines until the chunk is full, old, or the input has ended.
    async fn gather(lines: &mut mpsc::Receiver<Parsed>, stop: &CancellationToken) -> (Self, Option<End>) {
        let mut chunk = Self::default();
        let mut old = tokio::time::Instant::now() + CHUNK_AGE;
        loop {
            let read = tokio::select! {
                read = lines.recv() => read,
                () = stop.cancelled() => return (chunk, Some(End::Stopped)),
                () = tokio::time::sleep_until(old), if !chunk.records.is_empty() => return (chunk, None),
            };
            match read {
                None => return (chunk, Some(End::Input)),
                Some(Err(failure)) => return (chunk, Some(End::Broken(failure))),
                Some(Ok(record)) => {
                    if chunk.records.is_empty() {
                        old = tokio::time::Instant::now() + CHUNK_AGE;
                    }
                    chunk.bytes += record_bytes(&record).unwrap_or(RECORD_BYTES_MAX);
                    chunk.records.push(record);
                }
            }
            if chunk.records.len() == TRANSACTION_RECORDS_MAX || chunk.bytes >= CHUNK_BYTES {
                return (chunk, None);
            }
        }
    }
}

async fn head_of(store: &StoreClient, (space, segment): &(String, String)) -> Result<u64, Failure> {
    match store.peek(space, segment).await {
        Ok(last) => Ok(last.map_or(0, |entry| entry.sequence)),
        Err(Error::AccessDenied) => Err(Failure::token(
            "access denied: the token does not allow reading this store, which tells the head",
        )
        .hint("give --expect HEAD, check STREAMKIT_STORE, or get a token with another scope")),
        Err(error) => Err(error.into()),
    }
}

fn open(file: &str) -> Result<std::fs::File, Failure> {
    let during = |error: std::io::Error| Failure::from(error).during(file);
    let input = std::fs::File::open(file).map_err(during)?;
    match input.metadata().map_err(during)?.is_dir() {
        true => Err(Failure::new(format!("{file} is a folder; name one file of it"))),
        false => Ok(input),
    }
}

/// Reads on a thread of its own.
fn read(input: Box<dyn Read + Send>, end: LineEnd, as_json: bool, common: Metadata) -> mpsc::Receiver<Parsed> {
    let (send, lines) = mpsc::channel(LINES_AHEAD);
    tokio::task::spawn_blocking(move || {
        for line in Lines::new(input, end) {
            let record = line.and_then(|(number, line)| {
                let record = match as_json {
                    true => record_line::read(number, &line),
                    false => Ok(NewRecord::new(line)),
                };
                let record = record.and_then(|record| with_metadata(record, &common));
                record.map_err(|why| format!("line {number}: {why}"))
            });
            let last = record.is_err();
            if send.blocking_send(record.map_err(Failure::new)).is_err() || last {
                return;
            }
        }
    });
    lines
}

/// Adds the metadata that all records get.
fn with_metadata(mut record: NewRecord, common: &Metadata) -> Result<NewRecord, String> {
    if let Some(key) = common.keys().find(|key| record.metadata.contains_key(*key)) {
        return Err(format!("the metadata key {key:?} is given by --metadata too"));
    }
    record.metadata.extend(common.clone());
    record_bytes(&record).map(|_| record)
}

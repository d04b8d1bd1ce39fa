//! The log, on standard error. Scripts read a server's address from the first line there, so what is logged earlier is
//! held back until that line is out.
//!
//! A server never waits for whoever reads its log: its lines go through a bounded queue to a thread of their own. Those that find
//! no room are dropped and counted, and a line that repeats itself is written a few times and then counted.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use streamkit_server_core::LOG_LINES_DROPPED;

use crate::terminal::lines;
use crate::terminal::repeated::Repeated;
use crate::terminal::shown::{shown, shown_line};

/// Bytes of lines that wait for whoever reads the log.
const QUEUE_BYTES: usize = 1 << 20;

/// How long a server that ends waits for its last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    held: false,
    said: 0,
    is_server: false,
    lines: VecDeque::new(),
    bytes: 0,
    dropped: 0,
    writing: false,
    repeated: Repeated::new(),
});

/// Told when a line was queued, and when all are written.
static CHANGED: Condvar = Condvar::new();

struct Queue {
    /// Nothing is written yet.
    held: bool,
    /// Lines that go before those held back.
    said: usize,
    /// There is a thread that writes.
    is_server: bool,
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Since a line was written last.
    dropped: u64,
    writing: bool,
    repeated: Repeated,
}

impl Queue {
    fn push(&mut self, line: Vec<u8>) {
        if self.bytes + line.len() > QUEUE_BYTES {
            self.dropped += 1;
            LOG_LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line);
    }
}

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on this is a server's log: nobody waits for its reader, and lines are held back until [`release`]. What panics say
/// goes the same way.
pub(crate) fn serve() -> io::Result<()> {
    std::thread::Builder::new()
        .name("sk-log".to_owned())
        .spawn(write_lines)?;
    {
        let mut queue = queue();
        (queue.held, queue.is_server) = (true, true);
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        let traced = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
        let trace = if traced { backtrace.to_string() } else { String::new() };
        let at = panic.location().map_or_else(|| "?".to_owned(), ToString::to_string);
        // What a panic says may come from a peer, who must not write lines of the log.
        let what = panic.payload_as_str().unwrap_or("?");
        let panicked = format!("thread '{}' panicked at {at}: {what}", thread.name().unwrap_or("?"));
        let lines = std::iter::once(panicked.as_str()).chain(trace.lines());
        complain(&lines.map(|line| shown(line).to_string()).collect::<Vec<_>>().join("\n"));
    }));
    Ok(())
}

fn write_lines() {
    let mut queue = queue();
    loop {
        if let Some(more) = queue.repeated.due(Instant::now()) {
            queue.push(more);
        }
        if queue.held || queue.lines.is_empty() {
            queue.writing = false;
            CHANGED.notify_all();
            let waited = CHANGED.wait_timeout(queue, Duration::from_secs(1));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        queue.writing = true;
        queue.bytes = 0;
        let lines = std::mem::take(&mut queue.lines);
        let dropped = std::mem::take(&mut queue.dropped);
        drop(queue);
        // Nobody may be there to read it.
        let mut stderr = io::stderr();
        let _ = stderr.write_all(&lines.into_iter().flatten().collect::<Vec<u8>>());
        if dropped > 0 {
            let what = format!("streamkit: {dropped} lines of the log were dropped here: nobody read it in time");
            let _ = stderr.write_all(&lines::said("WARN", &what));
        }
        queue = self::queue();
    }
}

/// Writes what was held back, and lets the log go on.
pub(crate) fn release() {
    queue().held = false;
    CHANGED.notify_all();
}

/// Writes a line that is not of the log: at once, where nothing is held back and this is no server.
pub(crate) fn say(line: &str) {
    say_as("INFO", line);
}

/// The same of what went wrong.
pub(crate) fn complain(line: &str) {
    say_as("ERROR", line);
}

fn say_as(level: &str, line: &str) {
    let mut queue = queue();
    if queue.is_server {
        let line = lines::said(level, line);
        match queue.held {
            // Before what is held back.
            true => {
                let place = queue.said;
                queue.lines.insert(place, line);
                queue.said += 1;
            }
            false => queue.push(line),
        }
        drop(queue);
        CHANGED.notify_all();
    } else {
        drop(queue);
        // Nobody may be there to read it.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Whether a terminal is drawn on, where lines of the log would stand amid what is drawn.
static IS_MUTE: AtomicBool = AtomicBool::new(false);

/// Writes no more of the log to a terminal, or does so again. What is drawn there says what there is to know. A log that is written
/// elsewhere goes on.
pub(crate) fn mute(is_mute: bool) {
    IS_MUTE.store(is_mute && io::stderr().is_terminal(), Ordering::Relaxed);
}

/// Waits until all is written, but not for ever for whoever reads it.
pub(crate) fn flush() {
    release();
    let since = Instant::now();
    let mut queue = queue();
    while queue.is_server && (queue.writing || !queue.lines.is_empty()) {
        let Some(left) = LAST_LINES.checked_sub(since.elapsed()) else {
            return;
        };
        let waited = CHANGED.wait_timeout(queue, left);
        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Where the log is written to, an event at a time.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = shown_line(bytes, lines::has_styles());
        let mut queue = queue();
        if queue.is_server {
            if queue.repeated.lets_pass(&line, Instant::now()) {
                queue.push(line);
            }
            drop(queue);
            CHANGED.notify_all();
        } else {
            drop(queue);
            if !IS_MUTE.load(Ordering::Relaxed) {
                io::stderr().write_all(&line)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

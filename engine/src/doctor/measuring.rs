//! Measures how fast one block after the other becomes durable, with one way of writing.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{Measured, Method};
use crate::disk::blocks::Blocks;
use crate::disk::{Disk, EndedWrite, LogFile, WriteOutcome, WriteQueue};
use crate::limits::BLOCK_BYTES;

/// Bytes with which it can be measured: many more blocks than are under way at a time.
pub(super) const ROOM_BYTES_MIN: u64 = 1 << 20;

/// Writes under way at a time in the deepest measurement.
const DEPTH: usize = 32;

/// A file as the log's are.
pub(super) fn prepare(disk: &dyn Disk, path: &Path, size: u64) -> io::Result<Arc<dyn LogFile>> {
    let file = disk.open_log(path, true)?;
    let zeros = Blocks::zeros(ROOM_BYTES_MIN as usize);
    for at in (0..size).step_by(zeros.len()) {
        file.grow(at, &zeros)?;
    }
    file.settle(size)?;
    Ok(file)
}

fn block() -> Blocks {
    Blocks::from(&[b'x'; BLOCK_BYTES][..])
}

/// How each method is measured.
pub(super) struct Measuring<'a> {
    pub(super) time: Duration,
    pub(super) stopped: &'a dyn Fn() -> bool,
}

impl Measuring<'_> {
    fn goes_on(&self, since: Instant) -> bool {
        since.elapsed() < self.time && !(self.stopped)()
    }

    pub(super) fn one_at_a_time(&self, method: Method, file: &dyn LogFile, room: u64) -> io::Result<Measured> {
        let block = block();
        let mut took = Vec::new();
        let (started, mut at) = (Instant::now(), 0);
        while took.is_empty() || self.goes_on(started) {
            if at == room {
                // Written over, it would not grow any more.
                if method == Method::AppendSync {
                    break;
                }
                at = 0;
            }
            let began = Instant::now();
            file.write(at, &block)?;
            took.push(began.elapsed());
            at += BLOCK_BYTES as u64;
        }
        Ok(summed(method, took, started.elapsed()))
    }

    pub(super) fn many_at_a_time(
        &self,
        queue: &mut dyn WriteQueue,
        file: &Arc<dyn LogFile>,
        room: u64,
    ) -> io::Result<Measured> {
        let mut took = Vec::new();
        let mut began = [Instant::now(); DEPTH];
        let started = Instant::now();
        let mut at = 0;
        let mut start = |queue: &mut dyn WriteQueue, began: &mut [Instant; DEPTH], ticket: usize, block| {
            began[ticket] = Instant::now();
            queue.start(ticket as u64, Arc::clone(file), at, block);
            at = (at + BLOCK_BYTES as u64) % room;
        };
        for ticket in 0..DEPTH {
            start(queue, &mut began, ticket, block());
        }
        let (mut under_way, mut ended, mut failed) = (DEPTH, Vec::new(), Ok(()));
        while under_way > 0 {
            let reaped = queue.reap(true, &mut ended);
            for EndedWrite {
                ticket,
                outcome,
                blocks,
            } in ended.drain(..)
            {
                let ticket = ticket as usize;
                took.push(began[ticket].elapsed());
                failed = failed.and(match outcome {
                    WriteOutcome::Made(made) => made,
                    WriteOutcome::NotBegun => Err(io::Error::other("the queue broke")),
                });
                if failed.is_ok() && self.goes_on(started) {
                    start(queue, &mut began, ticket, blocks);
                } else {
                    under_way -= 1;
                }
            }
            reaped.map_err(|broken| broken.cause)?;
        }
        failed.map(|()| summed(Method::Ring, took, started.elapsed()))
    }
}

fn summed(method: Method, mut took: Vec<Duration>, elapsed: Duration) -> Measured {
    took.sort_unstable();
    let writes = took.len();
    Measured {
        method,
        writes: writes as u64,
        p50: took[writes / 2],
        p99: took[writes * 99 / 100],
        per_second: writes as f64 / elapsed.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::files::Files;

    #[test]
    fn a_file_that_grows_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = Files.open_log(&dir.path().join("file"), true).unwrap();
        let measuring = Measuring {
            time: Duration::MAX,
            stopped: &|| false,
        };
        let measured = measuring.one_at_a_time(Method::AppendSync, &*file, 3 * BLOCK_BYTES as u64);
        assert_eq!(measured.unwrap().writes, 3);
    }
}

//! Durable writes, several at a time: by threads that each wait for their own, and by one thread with io_uring. The floor
//! is whichever is faster, for threads cost switches that a small machine feels.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio_uring::buf::BoundedBuf as _;

use super::prepared::{Aligned, Prepared};
use crate::Outcome;
use crate::figures::{self, Figures};

/// Bytes of the file that one loop goes round in.
const FILE_BYTES: usize = 64 << 20;

/// One loop: how large and how many writes, and where the next one goes.
struct Depth {
    prepared: Prepared,
    blocks: usize,
    block: usize,
    depth: usize,
    next: AtomicUsize,
    started: Instant,
    time: Duration,
}

/// Durable O_DIRECT|O_DSYNC writes of `block` bytes, so many at a time, each in the next of the files. The figures are
/// those of the faster way, with the rate of each beside them.
///
/// # Errors
/// Of the file system.
pub fn at_depth(dir: &Path, files: usize, depth: usize, block: usize, time: Duration) -> Outcome<Figures> {
    let blocks = (FILE_BYTES / block / files).max(4);
    let depth = Depth {
        prepared: Prepared::direct(dir, files, blocks * block)?,
        blocks,
        block,
        depth,
        next: AtomicUsize::new(0),
        started: Instant::now(),
        time: time / 2,
    };
    let by_threads = depth.figures(depth.threads()?)?;
    let depth = Rc::new(Depth {
        started: Instant::now(),
        ..depth
    });
    let Ok(ring) = tokio_uring::Runtime::new(&tokio_uring::builder()) else {
        // A kernel or container without io_uring.
        return Ok(by_threads);
    };
    let by_ring = depth.figures(ring.block_on(Depth::ring(Rc::clone(&depth)))?)?;
    let rates = (by_threads.get("per_s"), by_ring.get("per_s"));
    let faster = if rates.0 >= rates.1 { by_threads } else { by_ring };
    Ok(faster.with("threads_per_s", rates.0).with("io_uring_per_s", rates.1))
}

impl Depth {
    fn goes_on(&self) -> bool {
        self.started.elapsed() < self.time
    }

    /// The next place: which file, and where in it.
    fn place(&self) -> (usize, u64) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let files = self.prepared.files.len();
        (number % files, (number / files % self.blocks * self.block) as u64)
    }

    fn figures(&self, parts: Vec<Histogram<u64>>) -> Outcome<Figures> {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut latency = figures::nanoseconds()?;
        for part in parts {
            latency.add(part)?;
        }
        let bandwidth = latency.len() as f64 * self.block as f64 / 1e6 / seconds;
        Ok(figures::latency(&latency, seconds).with("mb_per_s", bandwidth))
    }

    fn threads(&self) -> Outcome<Vec<Histogram<u64>>> {
        let one = || -> Outcome<Histogram<u64>> {
            let content = Aligned::new(self.block);
            let mut latency = figures::nanoseconds()?;
            while self.goes_on() {
                let (file, at) = self.place();
                let began = Instant::now();
                self.prepared.files[file].write_all_at(content.bytes(), at)?;
                figures::record(&mut latency, began.elapsed());
            }
            Ok(latency)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.depth).map(|_| scope.spawn(one)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a loop does not panic"))
                .collect()
        })
    }

    async fn ring(depth: Rc<Self>) -> Outcome<Vec<Histogram<u64>>> {
        let files: Result<Vec<_>, _> = depth.prepared.files.iter().map(std::fs::File::try_clone).collect();
        let files: Rc<Vec<_>> = Rc::new(files?.into_iter().map(tokio_uring::fs::File::from_std).collect());
        let loops: Vec<_> = (0..depth.depth)
            .map(|_| {
                let (depth, files) = (Rc::clone(&depth), Rc::clone(&files));
                tokio_uring::spawn(async move {
                    let (bytes, part) = Aligned::new(depth.block).into_parts();
                    let mut content = bytes.slice(part);
                    let mut latency = figures::nanoseconds()?;
                    while depth.goes_on() {
                        let (file, at) = depth.place();
                        let began = Instant::now();
                        let (written, back) = files[file].write_at(content, at).submit().await;
                        if written? != depth.block {
                            return Err("a write was cut short".into());
                        }
                        content = back;
                        figures::record(&mut latency, began.elapsed());
                    }
                    Outcome::Ok(latency)
                })
            })
            .collect();
        let mut parts = Vec::with_capacity(loops.len());
        for one in loops {
            parts.push(one.await??);
        }
        Ok(parts)
    }
}

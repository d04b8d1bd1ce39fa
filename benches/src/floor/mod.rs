//! Floors: what the disk does for a bare loop without checksum, index or thread hand-over. Same preparation as an extent's:
//! files are filled with zeros and synced first, so that no write changes their metadata.

mod depth;
mod prepared;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::Outcome;
use crate::figures::{self, Figures};
pub use depth::at_depth;
use prepared::{Aligned, Prepared};

/// Bytes of the group that one record of 256 bytes makes, rounded up.
pub const GROUP_BYTES: usize = 512;

/// The unit in which a device writes without reading first.
pub const BLOCK_BYTES: usize = 4096;

/// One durable write after the other: a write and a data sync of `bytes`, and an O_DIRECT|O_DSYNC write of the blocks
/// they take. The figures are those of the faster way, with the median of each beside them.
///
/// # Errors
/// Of the file system.
pub fn one_at_a_time(dir: &Path, bytes: usize, rounds: usize) -> Outcome<Figures> {
    let buffered = Prepared::new(dir, 1, bytes * rounds, 0)?;
    let content = vec![b'x'; bytes];
    let (latency, seconds) = rounds_of(rounds, |round| {
        buffered.files[0].write_all_at(&content, (round * bytes) as u64)?;
        buffered.files[0].sync_data()
    })?;
    let buffered = figures::latency(&latency, seconds);
    let blocks = bytes.next_multiple_of(BLOCK_BYTES);
    let direct = Prepared::direct(dir, 1, blocks * rounds)?;
    let content = Aligned::new(blocks);
    let (latency, seconds) = rounds_of(rounds, |round| {
        direct.files[0].write_all_at(content.bytes(), (round * blocks) as u64)
    })?;
    let direct = figures::latency(&latency, seconds);
    let (with_sync, with_dsync) = (buffered.get("p50_us"), direct.get("p50_us"));
    let faster = if with_sync <= with_dsync { buffered } else { direct };
    Ok(faster
        .with("write_and_sync_p50_us", with_sync)
        .with("direct_p50_us", with_dsync))
}

/// Durable writes of one block, for a loop that does something else between them.
pub struct OneBlock {
    prepared: Prepared,
    content: Aligned,
    blocks: u64,
    written: u64,
}

impl OneBlock {
    /// A file of so many blocks; behind the last comes the first again.
    ///
    /// # Errors
    /// Of the file system.
    pub fn new(dir: &Path, blocks: usize) -> Outcome<Self> {
        Ok(Self {
            prepared: Prepared::direct(dir, 1, blocks * BLOCK_BYTES)?,
            content: Aligned::new(BLOCK_BYTES),
            blocks: blocks as u64,
            written: 0,
        })
    }

    /// Writes the next one.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&mut self) -> std::io::Result<()> {
        let at = self.written % self.blocks * BLOCK_BYTES as u64;
        self.written += 1;
        self.prepared.files[0].write_all_at(self.content.bytes(), at)
    }
}

/// Durable sequential writes of 1 MiB, one at a time or four: the faster.
///
/// # Errors
/// Of the file system.
pub fn sequential(dir: &Path, time: Duration) -> Outcome<Figures> {
    let one = at_depth(dir, 1, 1, 1 << 20, time / 2)?;
    let four = at_depth(dir, 1, 4, 1 << 20, time / 2)?;
    let faster = if one.get("mb_per_s") >= four.get("mb_per_s") {
        one
    } else {
        four
    };
    Ok(Figures(vec![
        ("mb_per_s", faster.get("mb_per_s")),
        ("p50_us", faster.get("p50_us")),
    ]))
}

/// Reads a file from the page cache in pieces of 256 KiB and checksums them: megabytes a second on one thread.
///
/// # Errors
/// Of the file system.
pub fn read_and_checksum(dir: &Path, bytes: usize) -> Outcome<Figures> {
    let prepared = Prepared::new(dir, 1, bytes, 0)?;
    let mut piece = vec![0; 256 << 10];
    let started = Instant::now();
    let mut at = 0;
    while at < bytes {
        let read = prepared.files[0].read_at(&mut piece, at as u64)?;
        std::hint::black_box(crc32fast::hash(&piece[..read]));
        at += read.max(1);
    }
    Ok(Figures(vec![(
        "mb_per_s",
        bytes as f64 / 1e6 / started.elapsed().as_secs_f64(),
    )]))
}

/// Reads single blocks at random places of the extents in a folder: what a point read costs the system alone.
///
/// # Errors
/// Of the file system; if there is no extent.
pub fn random_reads(dir: &Path, reads: usize) -> Outcome<Figures> {
    let mut files = Vec::new();
    extents(dir, &mut files)?;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut block = vec![0; BLOCK_BYTES];
    let (latency, seconds) = rounds_of(reads, |_| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (file, blocks) = &files[(random >> 40) as usize % files.len().max(1)];
        file.read_exact_at(&mut block, (random >> 16) % blocks * BLOCK_BYTES as u64)
    })?;
    Ok(figures::latency(&latency, seconds))
}

/// The extents below a folder, each with how many blocks it has.
fn extents(dir: &Path, found: &mut Vec<(File, u64)>) -> Outcome {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            extents(&path, found)?;
        } else if path.extension().is_some_and(|kind| kind == "extent") {
            let file = File::open(&path)?;
            let blocks = file.metadata()?.len() / BLOCK_BYTES as u64;
            found.push((file, blocks.max(1)));
        }
    }
    Ok(())
}

/// Drops what the page cache holds of the files in a folder.
///
/// # Errors
/// Of the file system.
pub fn forget_pages(dir: &Path) -> Outcome {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else {
            let file = File::open(&path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

fn rounds_of(rounds: usize, mut round: impl FnMut(usize) -> std::io::Result<()>) -> Outcome<(Histogram<u64>, f64)> {
    let mut latency = figures::nanoseconds()?;
    let started = Instant::now();
    for number in 0..rounds {
        let began = Instant::now();
        round(number)?;
        figures::record(&mut latency, began.elapsed());
    }
    Ok((latency, started.elapsed().as_secs_f64()))
}

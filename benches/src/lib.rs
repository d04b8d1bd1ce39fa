//! What the benchmarks share: what the process costs the system, floors, and the latency of appends.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use streamkit_engine::{Record, SegmentPath, Sequence, Store, Transaction};

/// What the kernel says this process uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes of memory that are really there.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Usage {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub fn now() -> std::io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            number.ok_or_else(|| std::io::Error::other(format!("no {name} in /proc/self/status")))
        };
        Ok(Self {
            resident_bytes: field("VmRSS:")? << 10,
            threads: field("Threads:")?,
            descriptors: std::fs::read_dir("/proc/self/fd")?.count() as u64,
        })
    }
}

/// The middle one.
pub fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

/// Bytes of files in a folder, as the file system counts them: blocks, not lengths.
///
/// # Errors
/// Of the file system.
pub fn disk_bytes(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += entry.metadata()?.blocks() * 512;
        if entry.file_type()?.is_dir() {
            bytes += disk_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}

/// Writes and syncs `bytes` at a time into a file filled with zeros beforehand, one after the other.
///
/// # Errors
/// Of the file system.
pub fn bare_disk(dir: &Path, bytes: usize, rounds: usize) -> std::io::Result<Vec<Duration>> {
    let path = dir.join("floor");
    let file = std::fs::File::create(&path)?;
    file.write_all_at(&vec![0; bytes * rounds], 0)?;
    file.sync_all()?;
    let mut taken = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let started = Instant::now();
        file.write_all_at(&vec![b'x'; bytes], (round * bytes) as u64)?;
        file.sync_data()?;
        taken.push(started.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(taken)
}

/// Appends one record of 256 bytes per transaction, one after the other, behind the head of a segment.
///
/// # Errors
/// Of the store.
pub async fn appends(
    store: &dyn Store,
    path: &SegmentPath,
    rounds: usize,
) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let status = store.segment_status(path).await?;
    let mut next = status.map_or(Sequence::FIRST, |status| status.last_sequence.next());
    let payload = bytes::Bytes::from(vec![b'x'; 256]);
    let mut taken = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let transaction = Transaction::single(path.clone(), next, vec![Record::new(payload.clone())]);
        let started = Instant::now();
        store.append(transaction).await?;
        taken.push(started.elapsed());
        next = next.next();
    }
    Ok(taken)
}

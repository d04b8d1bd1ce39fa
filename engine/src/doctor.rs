//! Is a disk fit for the promise, how will it be written to, and how fast: measured with the very code that writes the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::blocks::Blocks;
use crate::disk::files::Files;
use crate::disk::{Disk, Ended, Ground, LogFile, WriteQueue, best, ground, is_direct};
use crate::error::StorageError;
use crate::limits::BLOCK_BYTES;

/// The file that is written to while a folder is examined.
pub const SCRATCH: &str = "doctor.tmp";

/// Writes under way at a time in the deepest measurement.
const DEPTH: usize = 32;

/// Bytes of the file that is written over again and again.
const FILE_BYTES: usize = 8 << 20;

/// Bytes to which a file that grows may grow.
const GROWN_BYTES: u64 = 256 << 20;

/// No device makes a write durable faster: the way to it and back takes that long.
pub const IMPLAUSIBLE: Duration = Duration::from_micros(10);

/// To flush a cache that loses its content with the power, into flash or onto a platter, takes longer than this.
pub const IMPLAUSIBLE_FLUSH: Duration = Duration::from_micros(50);

/// Free bytes below which an operator should be told.
const FREE_BYTES_LOW: u64 = 1 << 30;

/// Files that a server with its default limits may have open: a store each, two an extent that is read, and its connections.
const OPEN_FILES_WANTED: u64 = 10_000 + 2 * 256 + 10_000 + 100;

/// A way to make a write of one block durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Appended to a file that grows, then a data sync.
    AppendSync,
    /// Into a file filled with zeros before, then a data sync: what the engine does where there are no direct writes.
    PreparedSync,
    /// Past the page cache, durable when it returns, one at a time: what the engine does with threads.
    Direct,
    /// The same through io_uring, 32 at a time: what the engine does where it can.
    Ring,
}

impl Method {
    /// In a word or two, for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::AppendSync => "append+fdatasync",
            Self::PreparedSync => "prepared+fdatasync",
            Self::Direct => "direct",
            Self::Ring => "io_uring-32",
        }
    }
}

/// What one method reached.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// The method.
    pub method: Method,
    /// Durable writes made.
    pub writes: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// Durable writes in a second.
    pub per_second: f64,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// It works, but slower, or not for long.
    Warning,
    /// What was acknowledged may be lost here.
    Broken,
}

/// Something that an operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, how it was judged, and what to do.
    pub what: String,
}

/// What was found of a folder.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnosis {
    /// What it stands on.
    pub ground: Ground,
    /// Whether the log can be written past the page cache.
    pub direct: bool,
    /// Why io_uring cannot be had; `None`: it can.
    pub ring_refused: Option<String>,
    /// How the engine will commit here: `io_uring` or `threads`.
    pub commit_method: &'static str,
    /// The methods that there are.
    pub measured: Vec<Measured>,
    /// Commits a second to expect of one store with one producer that waits for each.
    pub alone_per_second: f64,
    /// Groups a second to expect of many stores; each holds as many transactions as come meanwhile. With threads, at least.
    pub together_per_second: f64,
    /// What an operator should know, the worst first.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Whether nothing found here breaks the promise.
    pub fn keeps_the_promise(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Broken)
    }
}

/// Examines a folder that is there, each method for `time`. Writes one file, [`SCRATCH`], of up to 256 MiB, and removes it. A
/// server may be using the folder; then both are slower meanwhile. Blocks. `begins` is told of each method that is measured.
///
/// # Errors
/// [`StorageError::Io`] when the disk refuses a write or a sync.
pub fn examine(dir: &Path, time: Duration, begins: &mut dyn FnMut(Method)) -> Result<Diagnosis, StorageError> {
    let file = Scratch(dir.join(SCRATCH));
    let path = &file.0;
    let io = |e| StorageError::io("write", path, e);
    let mut measured = Vec::new();
    begins(Method::AppendSync);
    let growing = Files.open_log(path, true).map_err(io)?;
    measured.push(one_at_a_time(Method::AppendSync, &*growing, time, GROWN_BYTES).map_err(io)?);
    begins(Method::PreparedSync);
    let prepared = prepare(&Files, path).map_err(io)?;
    measured.push(one_at_a_time(Method::PreparedSync, &*prepared, time, FILE_BYTES as u64).map_err(io)?);
    let disk = best();
    let log = prepare(&*disk, path).map_err(io)?;
    let direct = is_direct(&*log);
    if direct {
        begins(Method::Direct);
        measured.push(one_at_a_time(Method::Direct, &*log, time, FILE_BYTES as u64).map_err(io)?);
    }
    let ring_refused = match disk.write_queue(None) {
        Ok(Some(mut queue)) => {
            if direct {
                begins(Method::Ring);
                measured.push(many_at_a_time(&mut *queue, &log, time).map_err(io)?);
            }
            None
        }
        Ok(None) => Some("this system has none".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    let rate = |method| {
        measured
            .iter()
            .find(|m| m.method == method)
            .map(|m: &Measured| m.per_second)
    };
    let alone = rate(Method::Direct).or(rate(Method::PreparedSync)).unwrap_or_default();
    let mut diagnosis = Diagnosis {
        ground: ground(dir),
        direct,
        commit_method: if ring_refused.is_none() { "io_uring" } else { "threads" },
        ring_refused,
        alone_per_second: alone,
        together_per_second: rate(Method::Ring).unwrap_or(alone),
        measured,
        findings: Vec::new(),
    };
    diagnosis.findings = judge(&diagnosis);
    Ok(diagnosis)
}

/// Removed when done.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = Files.remove(&self.0);
    }
}

/// A file as the log's are.
fn prepare(disk: &dyn Disk, path: &Path) -> std::io::Result<Arc<dyn LogFile>> {
    let file = disk.open_log(path, true)?;
    let zeros = Blocks::zeros(1 << 20);
    for at in (0..FILE_BYTES).step_by(zeros.len()) {
        file.grow(at as u64, &zeros)?;
    }
    file.settle(FILE_BYTES as u64)?;
    Ok(file)
}

fn block() -> Blocks {
    Blocks::from(&[b'x'; BLOCK_BYTES][..])
}

fn one_at_a_time(method: Method, file: &dyn LogFile, time: Duration, room: u64) -> std::io::Result<Measured> {
    let block = block();
    let mut took = Vec::new();
    let (started, mut at) = (Instant::now(), 0);
    while took.is_empty() || started.elapsed() < time {
        let began = Instant::now();
        file.write(at, &block)?;
        took.push(began.elapsed());
        at = (at + BLOCK_BYTES as u64) % room;
    }
    Ok(summed(method, took, started.elapsed()))
}

fn many_at_a_time(queue: &mut dyn WriteQueue, file: &Arc<dyn LogFile>, time: Duration) -> std::io::Result<Measured> {
    let mut took = Vec::new();
    let mut began = [Instant::now(); DEPTH];
    let started = Instant::now();
    let mut at = 0;
    let mut start = |queue: &mut dyn WriteQueue, began: &mut [Instant; DEPTH], ticket: usize, block| {
        began[ticket] = Instant::now();
        queue.start(ticket as u64, Arc::clone(file), at, block);
        at = (at + BLOCK_BYTES as u64) % FILE_BYTES as u64;
    };
    for ticket in 0..DEPTH {
        start(queue, &mut began, ticket, block());
    }
    let (mut under_way, mut ended, mut failed) = (DEPTH, Vec::new(), Ok(()));
    while under_way > 0 {
        queue.wait(&mut ended);
        for Ended {
            ticket,
            outcome,
            blocks,
        } in ended.drain(..)
        {
            let ticket = ticket as usize;
            took.push(began[ticket].elapsed());
            failed = failed.and(outcome);
            if failed.is_ok() && started.elapsed() < time {
                start(queue, &mut began, ticket, blocks);
            } else {
                under_way -= 1;
            }
        }
    }
    failed.map(|()| summed(Method::Ring, took, started.elapsed()))
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

/// What to say of it. Pure.
fn judge(found: &Diagnosis) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |severity, what: String| findings.push(Finding { severity, what });
    let ground = &found.ground;
    let kind = ground.file_system.as_deref().unwrap_or("unknown");
    let in_memory = ["tmpfs", "ramfs"].contains(&kind);
    let remote = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "virtiofs"];
    if in_memory {
        let what = format!("{kind} is memory: nothing in it survives the loss of power; choose a folder on a disk");
        say(Severity::Broken, what);
    } else if kind == "overlay" {
        let what = "overlay is a container's own layer, which goes with the container; mount a volume for the data";
        say(Severity::Broken, what.to_owned());
    } else if remote.contains(&kind) || kind.starts_with("fuse") {
        say(
            Severity::Warning,
            format!(
                "{kind}: another machine or program keeps the data, and what a sync means is up to it; use a local disk"
            ),
        );
    }
    let chosen = if found.direct {
        Method::Direct
    } else {
        Method::PreparedSync
    };
    if let Some(measured) = found.measured.iter().find(|measured| measured.method == chosen)
        && !in_memory
    {
        let p50 = measured.p50;
        if p50 < IMPLAUSIBLE {
            let what = format!(
                "half of the durable writes took {p50:.1?} or less; no device answers within {IMPLAUSIBLE:?}: something \
                 confirms what it only keeps in memory"
            );
            say(Severity::Broken, what);
        } else if p50 < IMPLAUSIBLE_FLUSH && ground.volatile_cache == Some(true) {
            let what = format!(
                "the device says that its cache is volatile, yet half of the durable writes took {p50:.1?} or less, which is \
                 too fast to have flushed it ({IMPLAUSIBLE_FLUSH:?}): the cache may lie; ask who runs the device, or pull the \
                 plug under load and run `streamkit verify`"
            );
            say(Severity::Warning, what);
        }
    }
    if !found.direct {
        say(
            Severity::Warning,
            "this file system refuses direct writes: commits go through the page cache, with a sync each".to_owned(),
        );
    }
    if let Some(why) = &found.ring_refused {
        let what = format!("io_uring is not to be had ({why}): many stores commit slower, with threads");
        say(Severity::Warning, what);
    }
    if let Some(free) = ground.free_bytes.filter(|&free| free < FREE_BYTES_LOW) {
        say(Severity::Warning, format!("only {} MiB are free", free >> 20));
    }
    if let Some(files) = ground.open_files.filter(|&files| files < OPEN_FILES_WANTED) {
        let what = format!(
            "this process may have {files} files open; a server with its default limits wants {OPEN_FILES_WANTED}: raise \
             `ulimit -n`, or lower --open-stores and --connections"
        );
        say(Severity::Warning, what);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(p50: Duration, ground: Ground) -> Diagnosis {
        let measured = Measured {
            method: Method::Direct,
            writes: 1000,
            p50,
            p99: p50,
            per_second: 1.0,
        };
        let mut diagnosis = Diagnosis {
            ground,
            direct: true,
            ring_refused: None,
            commit_method: "io_uring",
            measured: vec![measured],
            alone_per_second: 1.0,
            together_per_second: 1.0,
            findings: Vec::new(),
        };
        diagnosis.findings = judge(&diagnosis);
        diagnosis
    }

    fn on(kind: &str, volatile_cache: bool) -> Ground {
        Ground {
            file_system: Some(kind.to_owned()),
            volatile_cache: Some(volatile_cache),
            free_bytes: Some(1 << 40),
            open_files: Some(1 << 20),
            device: None,
        }
    }

    #[test]
    fn what_breaks_the_promise_is_told_from_what_is_only_slow_or_suspicious() {
        let micros = Duration::from_micros;
        let honest = diagnosis(micros(500), on("ext4", true));
        assert!(honest.findings.is_empty(), "{honest:?}");
        let fast = diagnosis(micros(20), on("ext4", false));
        assert!(
            fast.findings.is_empty(),
            "a device without a volatile cache may be that fast"
        );
        let suspicious = diagnosis(micros(20), on("ext4", true));
        assert!(suspicious.keeps_the_promise() && suspicious.findings[0].what.contains("may lie"));
        for broken in [
            diagnosis(micros(2), on("ext4", false)),
            diagnosis(micros(500), on("tmpfs", false)),
            diagnosis(micros(500), on("overlay", false)),
        ] {
            assert!(!broken.keeps_the_promise(), "{broken:?}");
        }
        let remote = diagnosis(micros(500), on("nfs4", false));
        assert!(remote.keeps_the_promise() && remote.findings.len() == 1);
        let mut poor = on("xfs", true);
        (poor.free_bytes, poor.open_files) = (Some(1 << 20), Some(1024));
        assert_eq!(diagnosis(micros(500), poor).findings.len(), 2);
    }

    #[test]
    fn a_folder_is_examined_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut begun = Vec::new();
        let found = examine(dir.path(), Duration::from_millis(20), &mut |method| begun.push(method)).unwrap();
        assert_eq!(found.measured.iter().map(|m| m.method).collect::<Vec<_>>(), begun);
        assert!(
            found
                .measured
                .iter()
                .all(|m| m.writes > 0 && m.p50 <= m.p99 && m.per_second > 0.0)
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

//! Is a disk fit for the promise, how will it be written to, and how fast: measured with the very code that writes the log.

mod judge;
pub use judge::judge_ground;
mod last_commit;
pub use last_commit::clock_behind;
mod measuring;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use judge::judge;
use measuring::{Measuring, prepare};

use crate::disk::files::Files;
use crate::disk::{Disk, Ground, best, ground, is_direct};
use crate::error::StorageError;

/// Bytes of the file that is written over again and again, at most.
const FILE_BYTES: u64 = 8 << 20;

/// Bytes to which a file that grows may grow: with that its measurement is over.
const GROWN_BYTES: u64 = 64 << 20;

/// Bytes with which it can be measured: many more blocks than are under way at a time.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// How a folder is examined.
#[derive(Clone, Copy, Debug)]
pub struct Examination {
    /// How long each method is measured, at most.
    pub time: Duration,
    /// As [`EngineConfig::keep_free_bytes`](crate::EngineConfig): the examination leaves them to others too.
    pub keep_free_bytes: u64,
    /// Files that the process which will use the folder may want open.
    pub open_files: u64,
}

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
    /// Bytes that could be written before the examination; `None` where the system does not say.
    pub free_bytes: Option<u64>,
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

/// Examines a folder that is there. Writes one file, of up to 64 MiB and at most half of what is free beyond what is to stay
/// free, and removes it. A server may be using the folder; then both are slower meanwhile. Blocks. `begins` is told of each
/// method that is measured; once `stopped` says so, it ends with `None`.
///
/// # Errors
/// [`StorageError::Io`] when the disk refuses a write or a sync, or has no room to measure.
pub fn examine(
    dir: &Path,
    how: &Examination,
    stopped: &dyn Fn() -> bool,
    begins: &mut dyn FnMut(Method),
) -> Result<Option<Diagnosis>, StorageError> {
    let disk = best();
    let free = disk.free_bytes(dir).map_err(|e| StorageError::io("ask", dir, e))?;
    let room = room(free, how.keep_free_bytes).map_err(|e| StorageError::io("measure", dir, e))?;
    let scratch = Scratch::in_folder(&*disk, dir)?;
    let path = &scratch.0;
    let io = |e| StorageError::io("write", path, e);
    let measuring = Measuring {
        time: how.time,
        stopped,
    };
    let mut measured = Vec::new();
    let growing = Files.open_log(path, true).map_err(io)?;
    begins(Method::AppendSync);
    measured.push(
        measuring
            .one_at_a_time(Method::AppendSync, &*growing, room)
            .map_err(io)?,
    );
    drop(growing);
    let room = room.min(FILE_BYTES);
    let prepared = prepare(&Files, path, room).map_err(io)?;
    begins(Method::PreparedSync);
    measured.push(
        measuring
            .one_at_a_time(Method::PreparedSync, &*prepared, room)
            .map_err(io)?,
    );
    drop(prepared);
    let log = prepare(&*disk, path, room).map_err(io)?;
    let direct = is_direct(&*log);
    if direct {
        begins(Method::Direct);
        measured.push(measuring.one_at_a_time(Method::Direct, &*log, room).map_err(io)?);
    }
    let ring_refused = match disk.write_queue(None) {
        Ok(Some(mut queue)) => {
            if direct {
                begins(Method::Ring);
                measured.push(measuring.many_at_a_time(&mut *queue, &log, room).map_err(io)?);
            }
            None
        }
        Ok(None) => Some("this system has none".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    if stopped() {
        return Ok(None);
    }
    let rate = |method| {
        measured
            .iter()
            .find(|m| m.method == method)
            .map(|m: &Measured| m.per_second)
    };
    let alone = rate(Method::Direct).or(rate(Method::PreparedSync)).unwrap_or_default();
    let mut diagnosis = Diagnosis {
        ground: ground(dir),
        free_bytes: free,
        direct,
        commit_method: if direct && ring_refused.is_none() {
            "io_uring"
        } else {
            "threads"
        },
        ring_refused,
        alone_per_second: alone,
        together_per_second: rate(Method::Ring).unwrap_or(alone),
        measured,
        findings: Vec::new(),
    };
    diagnosis.findings = judge(&diagnosis, how);
    Ok(Some(diagnosis))
}

/// Bytes that the measured file may take. A server that makes its next extent meanwhile finds at least as much.
fn room(free: Option<u64>, keep_free: u64) -> io::Result<u64> {
    let Some(free) = free else {
        return Ok(GROWN_BYTES);
    };
    let room = free.saturating_sub(keep_free) / 2 / ROOM_BYTES_MIN * ROOM_BYTES_MIN;
    match room {
        0 => {
            let what = format!(
                "{free} bytes are free, of which {keep_free} are to stay free (--keep-free-bytes): too little to measure with; make room"
            );
            Err(io::Error::new(io::ErrorKind::StorageFull, what))
        }
        room => Ok(room.min(GROWN_BYTES)),
    }
}

/// The file that is written to, with a name that nothing else has. Removed when done, and not before: some file systems (btrfs,
/// ZFS) do not sync a file without a name.
struct Scratch(PathBuf);

impl Scratch {
    fn in_folder(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
        loop {
            let name = format!("doctor-{:08x}.tmp", disk.random());
            if !names.contains(&name) {
                return Ok(Self(dir.join(name)));
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = Files.remove(&self.0);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use super::*;

    pub(crate) const HOW: Examination = Examination {
        time: Duration::from_millis(20),
        keep_free_bytes: 0,
        open_files: 2000,
    };

    #[test]
    fn what_is_to_stay_free_stays_free() {
        let mib = |count: u64| count << 20;
        assert_eq!(room(None, mib(64)).unwrap(), GROWN_BYTES);
        assert_eq!(room(Some(mib(1000)), mib(64)).unwrap(), GROWN_BYTES);
        assert_eq!(room(Some(mib(80)), mib(64)).unwrap(), mib(8));
        assert_eq!(room(Some(mib(67)), mib(64)).unwrap(), mib(1));
        for free in [0, 63, 64, 65] {
            let refused = room(Some(mib(free)), mib(64)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        }
        let dir = tempfile::tempdir().unwrap();
        let all = Examination {
            keep_free_bytes: u64::MAX,
            ..HOW
        };
        match examine(dir.path(), &all, &|| false, &mut |_| panic!("nothing is measured")) {
            Err(error) => assert!(error.is_full(), "{error}"),
            Ok(_) => eprintln!("skipped: this system does not tell what is free"),
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// The names in a folder.
    fn names(dir: &Path) -> Vec<String> {
        Files.list(dir).unwrap()
    }

    #[test]
    fn a_folder_is_examined_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("doctor.tmp");
        std::fs::write(&theirs, "mine").unwrap();
        let mut begun = Vec::new();
        let found = examine(dir.path(), &HOW, &|| false, &mut |method| begun.push(method));
        let found = found.unwrap().unwrap();
        assert_eq!(found.measured.iter().map(|m| m.method).collect::<Vec<_>>(), begun);
        assert!(
            found
                .measured
                .iter()
                .all(|m| m.writes > 0 && m.p50 <= m.p99 && m.per_second > 0.0)
        );
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "mine");
        assert_eq!(names(dir.path()), ["doctor.tmp"]);
    }

    #[test]
    fn an_examination_that_is_stopped_ends_soon_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let long = Examination {
            time: Duration::MAX,
            ..HOW
        };
        let since = Instant::now();
        let stopped = || since.elapsed() > Duration::from_millis(20);
        assert_eq!(examine(dir.path(), &long, &stopped, &mut |_| ()).unwrap(), None);
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
}

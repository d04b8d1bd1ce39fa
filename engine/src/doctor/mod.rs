//! Measures whether a disk keeps the promise, how the engine will write to it, and how fast, with the code that writes
//! the log.

mod judge;
pub use judge::judge_ground;
mod last_commit;
pub use last_commit::clock_behind;
mod measuring;
mod refused_ring;
mod report;
pub use report::{Diagnosis, Examination, Finding, Measured, Method, Severity};

use std::io;
use std::path::{Path, PathBuf};

use judge::judge;
use measuring::{Measuring, ROOM_BYTES_MIN, prepare};

use crate::disk::files::Files;
use crate::disk::{Disk, best, ground, is_direct};
use crate::error::StorageError;

/// Most bytes of the file it overwrites again and again.
const FILE_BYTES: u64 = 8 << 20;

/// Most bytes of a growing file; its measurement ends there.
const GROWN_BYTES: u64 = 64 << 20;

/// Examines an existing folder. Writes one file, of up to 64 MiB and at most half of the free space beyond what must
/// stay free, and removes it. A server may use the folder meanwhile; then both are slower. Blocks. Calls `begins`
/// before each method; ends with `None` once `stopped` returns true.
///
/// # Errors
/// [`StorageError::Io`] if the disk refuses a write or a sync, or has no room to measure.
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
        Err(error) => Some(refused_ring::advice(&error, refused_ring::System::of_this_process())),
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

/// The file to write to, under a unique name. It is removed when done and not before, since some file systems (btrfs,
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
    use std::time::{Duration, Instant};

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

//! The settings of an engine, and what each costs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::disk::{self, Disk};
use crate::error::OpenError;
use crate::limits::{EXTENT_BYTES_MAX, EXTENT_BYTES_MIN, TRANSACTION_ENCODED_BYTES_MAX};
use crate::runtime::stepper::Stepper;

/// Shortest [`EngineConfig::queue_deadline`].
pub const QUEUE_DEADLINE_MIN: Duration = Duration::from_millis(1);

/// Longest [`EngineConfig::queue_deadline`].
pub const QUEUE_DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// How commits may reach the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CommitMethod {
    /// Through io_uring where the disk's backend and the system allow it, otherwise with threads; the log says which.
    #[default]
    Auto,
    /// With threads, which is slower for many stores; for systems where you do not want io_uring.
    Threads,
}

/// Settings of one process. None must match between runs.
///
/// Where the size of files is limited (`ulimit -f`), the system sends a process that would exceed it SIGXFSZ, which
/// ends the process unless it ignores the signal. Signals belong to the process, so the engine leaves this one alone:
/// a program that ignores it gets [`Rejection::NotReady`](crate::Rejection::NotReady) instead.
#[derive(Clone)]
pub struct EngineConfig {
    /// The folder that holds the stores.
    pub dir: PathBuf,
    /// The stores are copies of logs that stand elsewhere, each behind a [`Replica`](crate::Replica). Default `false`. A folder is one or the
    /// other from its first opening on: what a caller appends to a copy, no other host would see.
    pub copies: bool,
    /// Bytes to which extents grow. Default 256 MiB; range [`EXTENT_BYTES_MIN`]..=[`EXTENT_BYTES_MAX`], a multiple of
    /// 4096. A store starts with the smallest; each extent is at most four times as large as the one before and, from
    /// 4 MiB on, a sixth of the log. Larger: fewer files. Smaller: shorter recovery.
    pub extent_bytes: u64,
    /// Bytes of transactions that one store queues before producers wait. Default 64 MiB, at least one largest
    /// transaction ([`TRANSACTION_ENCODED_BYTES_MAX`]). No store queues more than half of
    /// [`EngineConfig::queues_bytes`], or one largest transaction if that is more.
    pub queue_bytes: usize,
    /// Bytes of transactions that all stores together queue before producers wait. Default 256 MiB, at least one
    /// largest transaction. Each store also queues 16 KiB of small transactions outside this budget, which wait for no
    /// other store. Memory holds a queued transaction up to three times: as the caller gave it, encoded, and in the
    /// group being written.
    pub queues_bytes: usize,
    /// How long a producer waits for room, in its store's queue and in the budget of all together, before it gets
    /// [`Rejection::QueueFull`](crate::Rejection::QueueFull). Default 20 s, which is shorter than the Rust client
    /// waits for an answer; range [`QUEUE_DEADLINE_MIN`]..=[`QUEUE_DEADLINE_MAX`].
    pub queue_deadline: Duration,
    /// Bytes of the disk to leave free. The engine creates no extent that would leave less, and refuses appends that
    /// need one with [`Rejection::DiskFull`](crate::Rejection::DiskFull) until there is more. Default 64 MiB. Where
    /// the system does not tell how much is free, only the disk refuses.
    pub keep_free_bytes: u64,
    /// Stores open at a time. Default 10 000. An idle store costs 12 KiB and, once it was written to, one file
    /// descriptor; two when its next extent is prepared, three while that is being filled. Beyond this limit, or
    /// beyond the process's limit of open files, the engine closes stores that nobody holds, least recently used
    /// first.
    pub open_stores: usize,
    /// How long a caller waits for a store to open: for the disk, and for a place among [`EngineConfig::open_stores`].
    /// Then it gets [`OpenError::StillOpening`] or [`OpenError::TooManyStores`]. Default 10 s, at least 1 ms.
    pub open_deadline: Duration,
    /// Extents open for reading at a time, in all stores together, each with two file descriptors. Default 256; fewer
    /// where the process may have few files open.
    pub open_extents: usize,
    /// How commits may reach the disk. [`Engine::commit_method`](crate::Engine::commit_method) tells how they do.
    pub commit_method: CommitMethod,
    /// Threads that commit, shared by all stores. Default 8. Without io_uring this is how many stores can wait for the
    /// disk at once; with it, these threads only do work that takes longer than a write.
    pub commit_threads: usize,
    /// Threads that read, shared by all stores. Default 4.
    pub read_threads: usize,
    /// The source of commit times.
    pub clock: Arc<dyn Clock>,
    /// The disk to write to.
    pub disk: Arc<dyn Disk>,
    /// Runs the work of the engine's threads step by step, for a simulation. Default `None`: threads.
    pub stepper: Option<Stepper>,
}

impl EngineConfig {
    /// The defaults, on files in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            copies: false,
            extent_bytes: 256 << 20,
            queue_bytes: 64 << 20,
            queues_bytes: 256 << 20,
            queue_deadline: Duration::from_secs(20),
            keep_free_bytes: 64 << 20,
            open_stores: 10_000,
            open_deadline: Duration::from_secs(10),
            open_extents: 256,
            commit_method: CommitMethod::default(),
            commit_threads: 8,
            read_threads: 4,
            clock: Arc::new(SystemClock),
            disk: disk::best(),
            stepper: None,
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`OpenError::Config`], naming all faults.
    pub fn validate(&self) -> Result<(), OpenError> {
        let mut faults = Vec::new();
        if !self.extent_bytes.is_multiple_of(crate::limits::BLOCK_BYTES as u64) {
            faults.push("extent_bytes must be a multiple of 4096".to_owned());
        }
        if !(EXTENT_BYTES_MIN..=EXTENT_BYTES_MAX).contains(&self.extent_bytes) {
            faults.push(format!(
                "extent_bytes must be in {EXTENT_BYTES_MIN}..={EXTENT_BYTES_MAX}"
            ));
        }
        for (name, bytes) in [("queue_bytes", self.queue_bytes), ("queues_bytes", self.queues_bytes)] {
            if bytes < TRANSACTION_ENCODED_BYTES_MAX {
                faults.push(format!("{name} must be at least {TRANSACTION_ENCODED_BYTES_MAX}"));
            }
        }
        if !(QUEUE_DEADLINE_MIN..=QUEUE_DEADLINE_MAX).contains(&self.queue_deadline) {
            faults.push(format!(
                "queue_deadline must be in {QUEUE_DEADLINE_MIN:?}..={QUEUE_DEADLINE_MAX:?}"
            ));
        }
        if self.open_stores == 0 {
            faults.push("open_stores must be at least 1".to_owned());
        }
        if self.open_deadline < Duration::from_millis(1) {
            faults.push("open_deadline must be at least 1 ms".to_owned());
        }
        if self.open_extents < 8 {
            faults.push("open_extents must be at least 8".to_owned());
        }
        if self.commit_threads == 0 || self.read_threads == 0 {
            faults.push("commit_threads and read_threads must be at least 1".to_owned());
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(OpenError::Config(faults.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_have_whole_blocks() {
        let with = |extent_bytes| EngineConfig {
            extent_bytes,
            ..EngineConfig::new("d")
        };
        assert!(with(100 << 10).validate().is_ok());
        let refused = with(100_001).validate().unwrap_err().to_string();
        assert!(refused.contains("multiple of 4096"), "{refused}");
    }
}

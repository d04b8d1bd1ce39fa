//! The settings and the result of an examination.

use std::time::Duration;

use crate::disk::Ground;

/// The settings of an examination.
#[derive(Clone, Copy, Debug)]
pub struct Examination {
    /// Longest time to measure each method.
    pub time: Duration,
    /// Bytes to leave free, as [`EngineConfig::keep_free_bytes`](crate::EngineConfig).
    pub keep_free_bytes: u64,
    /// Files that the process using the folder may want open.
    pub open_files: u64,
}

/// A way to make a write of one block durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Append to a growing file, then a data sync.
    AppendSync,
    /// Write into a file filled with zeros beforehand, then a data sync; the engine does this where direct writes are
    /// refused.
    PreparedSync,
    /// Write past the page cache, durable on return, one at a time; the engine does this with threads.
    Direct,
    /// The same through io_uring, 32 at a time; the engine does this where it can.
    Ring,
}

impl Method {
    /// Its name, for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::AppendSync => "append+fdatasync",
            Self::PreparedSync => "prepared+fdatasync",
            Self::Direct => "direct",
            Self::Ring => "io_uring-32",
        }
    }
}

/// The figures of one method.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// The method.
    pub method: Method,
    /// Durable writes made.
    pub writes: u64,
    /// The median latency.
    pub p50: Duration,
    /// The 99th percentile of latency.
    pub p99: Duration,
    /// Durable writes per second.
    pub per_second: f64,
}

/// The severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// It works, but slower, or not for long.
    Warning,
    /// Acknowledged entries may be lost here.
    Broken,
}

/// Something that an operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// The finding, how it was judged, and what to do.
    pub what: String,
}

/// The result of an examination.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnosis {
    /// Its file system and device.
    pub ground: Ground,
    /// Free bytes before the examination; `None` if the system does not say.
    pub free_bytes: Option<u64>,
    /// Whether the log can be written past the page cache.
    pub direct: bool,
    /// Why io_uring is unavailable, and how to allow it; `None`: it is available.
    pub ring_refused: Option<String>,
    /// How the engine will commit here: `io_uring` or `threads`.
    pub commit_method: &'static str,
    /// The methods measured.
    pub measured: Vec<Measured>,
    /// Commits per second to expect of one store with one producer that waits for each.
    pub alone_per_second: f64,
    /// Groups per second to expect of many stores; each holds all transactions that arrive meanwhile. With threads, a
    /// lower bound.
    pub together_per_second: f64,
    /// Findings for the operator, the worst first.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Whether nothing found here breaks the promise.
    pub fn keeps_the_promise(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Broken)
    }
}

//! What is asked of an examination, and what it found.

use std::time::Duration;

use crate::disk::Ground;

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

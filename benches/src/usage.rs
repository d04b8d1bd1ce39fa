//! The system resources that the process and its files take.

use std::path::Path;

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
        Self::of(std::process::id())
    }

    /// Asks the kernel about a process.
    ///
    /// # Errors
    /// Where there is no `/proc`, or no such process.
    pub fn of(process: u32) -> std::io::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            number.ok_or_else(|| std::io::Error::other(format!("no {name} in /proc/{process}/status")))
        };
        Ok(Self {
            resident_bytes: field("VmRSS:")? << 10,
            threads: field("Threads:")?,
            descriptors: std::fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
        })
    }
}

/// Processor time that a process has taken so far, in microseconds, of its own and of the kernel for it; in steps of 10 ms.
///
/// # Errors
/// Where there is no `/proc`, or no such process.
pub fn processor_us(process: u32) -> std::io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before it may hold anything.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at| {
        let number = after_name.split_whitespace().nth(at)?;
        number.parse::<f64>().ok()
    };
    match (ticks(11), ticks(12)) {
        (Some(own), Some(kernel)) => Ok((own + kernel) * 10_000.0),
        _ => Err(std::io::Error::other(format!("no times in /proc/{process}/stat"))),
    }
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

/// Lets this process, and the servers that it starts, have as many connections as the system allows.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("cannot raise the limit of open files: {error}");
    }
}

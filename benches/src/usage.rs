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

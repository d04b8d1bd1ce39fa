//! The file system and device of a folder, and the process's limit of open files, as far as the system tells.

use std::path::Path;

/// What a folder stands on. `None` where the system does not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ground {
    /// Type of the file system, as `ext4`.
    pub file_system: Option<String>,
    /// What is mounted there, as `/dev/sda1`.
    pub device: Option<String>,
    /// Whether the device says of itself that it has a cache which loses what it holds with the power, unless it is flushed.
    pub volatile_cache: Option<bool>,
    /// Whether a sync flushes that cache, as the folder is mounted.
    pub syncs_flush: Option<bool>,
    /// Files that this process may have open.
    pub open_files: Option<u64>,
}

/// Asks the system what a folder stands on.
pub fn ground(dir: &Path) -> Ground {
    #[cfg(target_os = "linux")]
    let ground = super::mounts::ground(dir);
    #[cfg(not(target_os = "linux"))]
    let ground = (|_| Ground::default())(dir);
    ground
}

/// Files that this process may have open, where the system says.
pub fn open_files() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return super::mounts::open_files();
    #[cfg(not(target_os = "linux"))]
    None
}

/// Lets this process have as many files open as it may: what systems set at first is for programs of another kind. Whoever runs
/// the process decides; the engine itself does not. Returns how many, where the system says.
pub fn raise_open_files() -> Option<u64> {
    #[cfg(target_os = "linux")]
    super::mounts::raise_open_files();
    open_files()
}

//! Access to stored files: only their owner has it.

use std::io;
use std::path::Path;

/// Who may read what is stored: its owner, whatever the process that makes it leaves to others.
#[cfg(unix)]
pub(crate) const FILE_MODE: u32 = 0o600;

/// The same for folders.
#[cfg(unix)]
pub(crate) const DIR_MODE: u32 = 0o700;

/// The folder that a path stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether others than a folder's owner may look into it.
pub fn is_open_to_others(dir: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(dir).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        false
    }
}

/// Whether files can be made in a folder, as far as that can be told without making one.
#[cfg(unix)]
pub(super) fn may_write(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Access, AtFlags, CWD, accessat};
        let access = Access::WRITE_OK | Access::EXEC_OK;
        match accessat(CWD, folder, access, AtFlags::EACCESS) {
            // An old kernel or libc knows the real user only.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            told => return Ok(told?),
        }
    }
    let _ = folder;
    Ok(())
}

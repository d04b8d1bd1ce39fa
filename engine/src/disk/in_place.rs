//! Linux: keeps a file system from writing a changed block to a new place, where it can be told to. On a full disk it
//! could find no room for that.

use std::fs::File;

use rustix::fs::{IFlags, fstatfs, ioctl_getflags, ioctl_setflags};

/// What `statfs` says of btrfs.
const BTRFS: u64 = 0x9123_683e;

/// Asks for a file, which is empty, that its blocks be written where they stand. On btrfs that takes the file system's own
/// checksums away, and with them the way through the page cache that it takes for direct writes; the log has its own. Where it
/// is refused, a full disk halts the store: worse, not wrong.
pub(super) fn write_in_place(file: &File) {
    if fstatfs(file).is_ok_and(|system| system.f_type as u64 == BTRFS) {
        let asked = ioctl_getflags(file).and_then(|flags| ioctl_setflags(file, flags | IFlags::NOCOW));
        if let Err(error) = asked {
            tracing::debug!(%error, "this file system writes changed blocks elsewhere");
        }
    }
}

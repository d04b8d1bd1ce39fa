//! Opens regular files only: it refuses a pipe, a device or a folder in their place, and never waits for one.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file with these options, and more of the system's flags, if it is a regular one.
///
/// # Errors
/// What the operating system says; [`io::ErrorKind::Other`] where something else has the name.
#[cfg(target_os = "linux")]
pub(super) fn open(path: &Path, options: &mut OpenOptions, flags: i32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::OFlags;
    // To open a pipe would wait for its other end.
    let at_once = OFlags::NONBLOCK.bits() as i32;
    let file = options.custom_flags(flags | at_once).open(path)?;
    check(&file)?;
    let opened = rustix::fs::fcntl_getfl(&file)?;
    // The ring would take it for a wish never to wait for the device.
    rustix::fs::fcntl_setfl(&file, opened - OFlags::NONBLOCK)?;
    Ok(file)
}

/// As on Linux, but for what takes the name between the look and the opening.
#[cfg(not(target_os = "linux"))]
pub(super) fn open(path: &Path, options: &mut OpenOptions, _flags: i32) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(no_file());
    }
    let file = options.open(path)?;
    check(&file)?;
    Ok(file)
}

fn no_file() -> io::Error {
    io::Error::other("it is no regular file")
}

fn check(file: &File) -> io::Result<()> {
    match file.metadata()?.is_file() {
        true => Ok(()),
        false => Err(no_file()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::Arc;

    use super::super::best;
    use super::super::files::Files;
    use crate::disk::traits::OpenMode;

    #[test]
    fn what_is_no_regular_file_is_refused_and_waits_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, folder) = (dir.path().join("pipe"), dir.path().join("folder"));
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, rustix::fs::Mode::from(0o600), 0).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for disk in [best(), Arc::new(Files)] {
            for path in [&pipe, &folder, &std::path::PathBuf::from("/dev/zero")] {
                for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Create] {
                    assert!(disk.open(path, mode).is_err(), "{mode:?} {}", path.display());
                }
                for create in [false, true] {
                    assert!(disk.open_log(path, create).is_err(), "{}", path.display());
                }
            }
        }
    }
}

//! Linux: the mount and device of a folder, as the system tells. Only the doctor asks; storing needs none of it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::ground::Ground;

/// A line of the table of mounts.
struct Mounted {
    device: PathBuf,
    file_system: String,
    options: String,
}

/// Asks.
pub(super) fn ground(dir: &Path) -> Ground {
    let mounted = mounted(dir, &fs::read_to_string("/proc/self/mounts").unwrap_or_default());
    Ground {
        volatile_cache: volatile_cache(dir, mounted.as_ref()),
        syncs_flush: mounted.as_ref().map(|mounted| {
            let mut options = mounted.options.split(',');
            !options.any(|option| ["nobarrier", "barrier=0"].contains(&option))
        }),
        device: mounted.as_ref().map(|mounted| mounted.device.display().to_string()),
        file_system: mounted.map(|mounted| mounted.file_system),
        open_files: open_files(),
    }
}

/// The last mount that holds a folder.
fn mounted(dir: &Path, mounts: &str) -> Option<Mounted> {
    let dir = fs::canonicalize(dir).ok()?;
    let mut best: Option<(usize, Mounted)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let point = unescaped(point);
        let depth = point.components().count();
        if dir.starts_with(&point) && best.as_ref().is_none_or(|(deepest, _)| depth >= *deepest) {
            let mounted = Mounted {
                device: unescaped(device),
                file_system: kind.to_owned(),
                options: options.to_owned(),
            };
            best = Some((depth, mounted));
        }
    }
    best.map(|(_, found)| found)
}

/// White space and backslashes stand there as `\040`.
fn unescaped(field: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

/// By the number of the folder's device, since `/dev/root` and the like are no files; by its name where the file system has a
/// number of its own.
fn volatile_cache(dir: &Path, mounted: Option<&Mounted>) -> Option<bool> {
    let number = rustix::fs::stat(dir).ok()?.st_dev;
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let by_number = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok();
    let by_name = || {
        let device = fs::canonicalize(&mounted?.device).ok()?;
        fs::canonicalize(Path::new("/sys/class/block").join(device.file_name()?)).ok()
    };
    let block = by_number.or_else(by_name)?;
    // A partition's queue is its disk's.
    let said = [block.as_path(), block.parent()?].iter().find_map(|block| {
        let said = fs::read_to_string(block.join("queue/write_cache"));
        said.ok()
    })?;
    Some(said.trim() == "write back")
}

/// Files that this process may have open.
pub(super) fn open_files() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Some(limit.current.unwrap_or(u64::MAX))
}

/// Raises that as far as it goes.
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Where it is refused, it stays as it was.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_on_something() {
        let dir = tempfile::tempdir().unwrap();
        let ground = ground(dir.path());
        assert!(ground.file_system.is_some_and(|kind| !kind.is_empty()));
        assert!(ground.open_files.is_some_and(|files| files > 0));
        assert_eq!(super::ground(Path::new("/proc")).file_system.as_deref(), Some("proc"));
    }

    #[test]
    fn the_last_mount_that_holds_a_folder_counts() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("a b")).unwrap();
        let at = dir.display();
        let mounts = format!(
            "/dev/root / ext4 rw 0 0\nold {at}/a\\040b xfs rw 0 0\nnew {at}/a\\040b btrfs rw,nobarrier 0 0\n\
             other {at}/a ext4 rw 0 0\n"
        );
        let found = mounted(&dir.join("a b"), &mounts).unwrap();
        assert_eq!(
            (found.device.as_path(), found.file_system.as_str()),
            (Path::new("new"), "btrfs")
        );
        assert_eq!(found.options, "rw,nobarrier");
        assert_eq!(mounted(&dir, &mounts).unwrap().file_system, "ext4");
    }
}

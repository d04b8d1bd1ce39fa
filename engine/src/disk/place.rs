//! Linux: what a folder stands on, as the system tells it. Nothing here is needed to store anything; a doctor asks.

use std::fs;
use std::path::{Path, PathBuf};

use super::Ground;

/// Asks.
pub(super) fn ground(dir: &Path) -> Ground {
    let mounted = mounted(dir);
    let device = mounted.as_ref().map(|(device, _)| device.clone());
    let free = rustix::fs::statvfs(dir)
        .ok()
        .map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    Ground {
        file_system: mounted.map(|(_, kind)| kind),
        volatile_cache: device.as_deref().and_then(volatile_cache),
        device,
        free_bytes: free,
        open_files: open_files(),
    }
}

/// The device and the type of the last mount that holds a folder.
fn mounted(dir: &Path) -> Option<(String, String)> {
    let dir = fs::canonicalize(dir).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut best: Option<(usize, (String, String))> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let point = PathBuf::from(point.replace("\\040", " "));
        let depth = point.components().count();
        if dir.starts_with(&point) && best.as_ref().is_none_or(|(deepest, _)| depth >= *deepest) {
            best = Some((depth, (device.to_owned(), kind.to_owned())));
        }
    }
    best.map(|(_, found)| found)
}

fn volatile_cache(device: &str) -> Option<bool> {
    let device = fs::canonicalize(device).ok()?;
    let block = fs::canonicalize(Path::new("/sys/class/block").join(device.file_name()?)).ok()?;
    // A partition's queue is its disk's.
    let said = [block.as_path(), block.parent()?].iter().find_map(|block| {
        let said = fs::read_to_string(block.join("queue/write_cache"));
        said.ok()
    })?;
    Some(said.trim() == "write back")
}

fn open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
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
        assert!(ground.free_bytes.is_some_and(|bytes| bytes > 0));
        assert!(ground.open_files.is_some_and(|files| files > 0));
        assert_eq!(super::ground(Path::new("/proc")).file_system.as_deref(), Some("proc"));
    }
}

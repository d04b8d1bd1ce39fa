//! A folder for the time of one command. It goes with the command; what a killed one left, the next one removes.

use std::fs::{File, TryLockError};
use std::io::Result;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

/// How its name begins.
const PREFIX: &str = "streamkit-copy-";
/// A file in it, locked by the process that it belongs to.
const LOCK: &str = "owner";
/// So old its lock is before another process takes it for left behind: between making and locking it, nobody holds it.
const LEFT: Duration = Duration::from_secs(60);
/// What still works in it may make a file while it goes.
const TRIES: usize = 5;

/// The folder. Dropped, it is gone with all that is in it.
pub(super) struct Scratch {
    path: PathBuf,
    /// Dropped last.
    _lock: File,
}

impl Scratch {
    /// Makes one where the system has its temporary files, for this user alone, and removes those that nobody has any more.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make() -> Result<Self> {
        Self::make_in(&std::env::temp_dir())
    }

    fn make_in(place: &Path) -> Result<Self> {
        remove_left(place);
        let path = place.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        let lock = File::create_new(path.join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            if std::fs::remove_dir_all(&self.path).is_ok() {
                return;
            }
        }
        tracing::warn!(dir = %self.path.display(), "a temporary folder could not be removed; the next copy removes it");
    }
}

/// Removes the folders of processes that were killed. What cannot be removed stays.
fn remove_left(place: &Path) {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        if is_ours(&path) && is_left(&path.join(LOCK)) {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Whether it is a folder of this user: of others', nothing is opened.
fn is_ours(path: &Path) -> bool {
    let Ok(found) = path.symlink_metadata() else {
        return false;
    };
    #[cfg(unix)]
    let is_own = std::os::unix::fs::MetadataExt::uid(&found) == rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    let is_own = true;
    found.is_dir() && is_own
}

fn is_left(lock: &Path) -> bool {
    let Ok(file) = File::open(lock) else { return false };
    let made = file.metadata().and_then(|found| found.modified());
    let age = made.ok().and_then(|made| SystemTime::now().duration_since(made).ok());
    // One that is taken here is let go with the file, after the folder is gone.
    age.is_some_and(|age| age >= LEFT)
        && !matches!(file.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_owner_and_what_a_killed_one_left_goes_with_the_next() {
        let place = tempfile::tempdir().unwrap();
        let count = || std::fs::read_dir(place.path()).unwrap().count();
        let old = |folder: &Path| {
            let lock = File::options().write(true).open(folder.join(LOCK)).unwrap();
            lock.set_modified(SystemTime::now() - LEFT * 2).unwrap();
        };
        let one = Scratch::make_in(place.path()).unwrap();
        std::fs::write(one.path().join("a"), "x").unwrap();
        old(one.path());
        // Its owner lives, and another one is too young to be judged.
        let killed = place.path().join(format!("{PREFIX}killed"));
        std::fs::create_dir(&killed).unwrap();
        std::fs::write(killed.join(LOCK), "").unwrap();
        drop(Scratch::make_in(place.path()).unwrap());
        assert_eq!((one.path().is_dir(), killed.is_dir(), count()), (true, true, 2));
        old(&killed);
        drop(Scratch::make_in(place.path()).unwrap());
        assert_eq!((one.path().is_dir(), killed.is_dir(), count()), (true, false, 1));
        drop(one);
        assert_eq!(count(), 0);
    }
}

//! Where the servers of `dev` are, so that client commands of the same user find them: each server keeps a file in the user's
//! state folder while it runs.
//!
//! Beside the file stands another, which the server holds a lock on. A lock ends with its process, however that ends, so a file
//! that was left behind is never taken for a server that runs, even where somebody else listens at its address by now.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folders;
use crate::arguments::address;
use crate::files;

/// Most bytes of a file that is read.
const BYTES_MAX: u64 = 64 << 10;

const ENDING: &str = "json";
const LOCK_ENDING: &str = "lock";

/// What a client needs to know.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Profile {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) store: Uuid,
    /// The server's data folder, for people.
    pub(crate) data: String,
}

/// The server's address and its data, as messages name it.
impl std::fmt::Display for Profile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} (data in {})", self.url, self.data)
    }
}

/// The profiles of a user.
#[derive(Default)]
pub(crate) struct Profiles {
    /// Of servers that run.
    pub(crate) running: Vec<Profile>,
    /// Of servers that ended and could not take theirs with them; the last one is the latest.
    pub(crate) ended: Vec<Profile>,
}

impl Profiles {
    /// Looks for them. Where there is no folder, there are none.
    ///
    /// # Errors
    /// The folder, or the file of a server that runs, cannot be read.
    pub(crate) fn find() -> std::io::Result<Self> {
        let mut found = Self::default();
        let mut ended = Vec::new();
        let Ok(dir) = folder() else { return Ok(found) };
        for path in files_in(&dir)? {
            let is_running = is_running(&path);
            match read(&path) {
                Ok(profile) if is_running => found.running.push(profile),
                Ok(profile) => ended.push((path.metadata().and_then(|about| about.modified()).ok(), profile)),
                // Its server ended just now.
                Err(error) if !is_running || error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(during(&path, &error)),
            }
        }
        ended.sort_by_key(|(written, _)| *written);
        found.ended = ended.into_iter().map(|(_, profile)| profile).collect();
        Ok(found)
    }
}

/// A profile that clients find until this is dropped, or the process ends.
pub(crate) struct Published {
    path: PathBuf,
    /// Whoever cannot lock it knows that we live.
    _lock: File,
}

impl Published {
    /// Lets clients of this user find a server, and removes what servers left that ended.
    ///
    /// # Errors
    /// There is no such folder, or nothing can be written or locked there.
    pub(crate) fn new(profile: &Profile) -> std::io::Result<Self> {
        let dir = folder()?;
        folders::make(&dir).map_err(|error| during(&dir, &error))?;
        for left in files_in(&dir)?.into_iter().filter(|path| !is_running(path)) {
            remove(&left);
        }
        let path = dir.join(format!("{}.{ENDING}", Uuid::new_v4().simple()));
        let publish = || {
            let lock = lock_file(&path)?;
            files::replace(&path, &serde_json::to_vec(profile)?)?;
            Ok(lock)
        };
        match publish() {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => {
                remove(&path);
                Err(during(&path, &error))
            }
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Makes the file that is locked, and locks it before anybody looks for it.
fn lock_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(path.with_extension(LOCK_ENDING))?;
    lock.lock()?;
    Ok(lock)
}

/// Whether the server that a profile is of holds its lock. Where the system cannot tell, it is taken at its word.
fn is_running(path: &Path) -> bool {
    match File::open(path.with_extension(LOCK_ENDING)) {
        // Shared: two clients that look at once do not take each other for the server.
        Ok(lock) => lock.try_lock_shared().is_err_and(|error| match error {
            TryLockError::WouldBlock => true,
            TryLockError::Error(error) => error.kind() != ErrorKind::NotFound,
        }),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Removes a profile, then its lock: the other way round, a profile without one would be there for a moment.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_file(path.with_extension(LOCK_ENDING));
}

fn read(path: &Path) -> std::io::Result<Profile> {
    let mut profile: Profile = serde_json::from_slice(&files::read_small(path, BYTES_MAX)?)?;
    profile.url = address::url(&profile.url).map_err(Error::other)?;
    Ok(profile)
}

fn during(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The profiles in a folder, whole or not.
fn files_in(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(during(dir, &error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
    paths.sort();
    Ok(paths)
}

/// The folder of the user's profiles.
///
/// # Errors
/// No variable says where that is.
fn folder() -> std::io::Result<PathBuf> {
    Ok(folders::state()?.join("dev"))
}

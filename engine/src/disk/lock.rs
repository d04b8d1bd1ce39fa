//! Unix: locks a folder for this process. The lock stands on the folder itself, which nobody can replace unnoticed. A
//! lock file alone could be deleted, and the next process would lock a new one. The file `lock` is locked too, for
//! versions that know only that, and names the holder.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::files::open_own;
use super::owner::parent;
use super::regular;
use super::traits::{DiskLock, FolderWatch};

/// A file or folder by what it is, whatever it is called. Kept open, so that its number is not given to another.
struct Thing {
    path: PathBuf,
    is_folder: bool,
    file: File,
}

/// What a lock stands on, each in its place as long as nobody moves or deletes it.
struct Things {
    things: Mutex<Vec<Thing>>,
}

struct Locked {
    /// What is locked, the folder first, unless its file system locks no folders.
    files: Vec<File>,
    things: Arc<Things>,
}

impl DiskLock for Locked {
    fn file(&self) -> Option<&File> {
        self.files.first()
    }

    fn folder_watch(&self) -> Option<Arc<dyn FolderWatch>> {
        Some(Arc::clone(&self.things) as Arc<dyn FolderWatch>)
    }
}

impl Drop for Locked {
    /// Others may still hold the files open.
    fn drop(&mut self) {
        let mut things = self.things.things.lock().unwrap_or_else(PoisonError::into_inner);
        for file in self.files.iter().chain(things.iter().map(|thing| &thing.file)) {
            let _ = file.unlock();
        }
        things.clear();
    }
}

impl FolderWatch for Things {
    fn check(&self) -> io::Result<Option<String>> {
        let things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        for thing in &*things {
            if let Some(what) = thing.check()? {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }

    fn takes_files(&self) -> io::Result<()> {
        let things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        things
            .iter()
            .filter(|thing| thing.is_folder)
            .try_for_each(|folder| super::owner::may_write(&folder.path))
    }

    fn add(&self, folder: &Path) -> io::Result<bool> {
        let file = open_folder(folder)?;
        if lock_now(&file)? == Taken::ByAnother {
            return Ok(false);
        }
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        things.push(Thing {
            path: folder.to_owned(),
            is_folder: true,
            file,
        });
        Ok(true)
    }
}

impl Thing {
    /// Says what became of it if its path leads to it no more.
    fn check(&self) -> io::Result<Option<String>> {
        let path = self.path.display();
        let own = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(found) if is_same(&own, &found) => Ok(None),
            Ok(_) => Ok(Some(format!(
                "another {path} is in the place of the one that was opened"
            ))),
            Err(error) if is_absence(&error) => Ok(Some(format!("{path} was deleted or moved away"))),
            Err(error) => Err(error),
        }
    }
}

/// Opens a folder and nothing else: to open a pipe would wait for its other end.
fn open_folder(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::DIRECTORY.bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether two paths lead to the same thing, which has to be there.
pub(super) fn is_same_place(one: &Path, other: &Path) -> io::Result<bool> {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => Ok(is_same(&one, &other)),
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Whether a path leads to an open file, which has a name there then.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(is_same(&file.metadata()?, &found)),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error says that there is nothing at a path.
fn is_absence(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
}

/// Whether an open file has a name at all.
pub(super) fn has_name(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

#[derive(PartialEq, Eq)]
enum Taken {
    Here,
    /// Nothing like it is locked on this file system, as folders on NFS, which wants them open for writing.
    Nowhere,
    ByAnother,
}

fn lock_now(file: &File) -> io::Result<Taken> {
    use io::ErrorKind::{InvalidInput, Unsupported};
    /// EBADF; ENOLCK, of Linux and of the others. Neither has a kind of its own.
    const NOT_HERE: [i32; 3] = [9, 37, 77];
    let is_nowhere = |error: &io::Error| {
        let code = error.raw_os_error();
        matches!(error.kind(), InvalidInput | Unsupported) || code.is_some_and(|code| NOT_HERE.contains(&code))
    };
    match file.try_lock() {
        Ok(()) => Ok(Taken::Here),
        Err(TryLockError::WouldBlock) => Ok(Taken::ByAnother),
        Err(TryLockError::Error(error)) if is_nowhere(&error) => Ok(Taken::Nowhere),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// As [`super::traits::LogFile::take`].
pub(super) fn take(file: &File) -> io::Result<()> {
    if lock_now(file)? != Taken::ByAnother {
        return Ok(());
    }
    let holder = holder_of([file.metadata()?.ino()]);
    let holder = holder.unwrap_or_else(|| "another process".to_owned());
    let what = format!(
        "{holder} writes to it, from a data directory that shares this file by a mount or a link; stop that one, \
         and give each directory files of its own (`cp -a`)"
    );
    Err(io::Error::new(io::ErrorKind::ResourceBusy, what))
}

/// As [`super::traits::Disk::lock`]. Where nobody may write, the lock on the folder is enough.
pub(super) fn lock(path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
    let dir = parent(path);
    let folder = File::open(dir)?;
    let taken = lock_now(&folder)?;
    if taken == Taken::ByAnother {
        return Ok(None);
    }
    let (mut file, is_written) = match lock_file(path) {
        Ok(file) => (Some(file), true),
        Err(error) if taken == Taken::Here && is_forbidden(&error) => {
            match regular::open(path, OpenOptions::new().read(true), 0) {
                Ok(file) => (Some(file), false),
                Err(error) if error.kind() == io::ErrorKind::NotFound || is_forbidden(&error) => (None, false),
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    if let Some(file) = &mut file {
        match file.try_lock() {
            Ok(()) if is_written => introduce(file)?,
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if taken != Taken::Here => return Err(error),
            Err(TryLockError::Error(_)) => {}
        }
    }
    let thing = |path: &Path, file: &File| -> io::Result<Thing> {
        Ok(Thing {
            path: path.to_owned(),
            is_folder: path == dir,
            file: file.try_clone()?,
        })
    };
    let mut things = vec![thing(dir, &folder)?];
    if let Some(file) = &file {
        things.push(thing(path, file)?);
    }
    let folder = (taken == Taken::Here).then_some(folder);
    Ok(Some(Box::new(Locked {
        files: folder.into_iter().chain(file).collect(),
        things: Arc::new(Things {
            things: Mutex::new(things),
        }),
    })))
}

fn lock_file(path: &Path) -> io::Result<File> {
    match open_own(path, OpenOptions::new().create_new(true).write(true), 0, true) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            regular::open(path, OpenOptions::new().write(true), 0)
        }
        made => made,
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// Writes into the lock file who has it. Nobody decides anything by that; a full disk may leave it out.
fn introduce(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let _ = writeln!(file, "process {} on {}", std::process::id(), host.trim());
    Ok(())
}

/// Who has a folder, in words: by what the system says, otherwise by what the lock file does.
pub(super) fn holder(path: &Path) -> String {
    let of = |path: &Path| Some(std::fs::metadata(path).ok()?.ino());
    let numbers = [of(parent(path)), of(path)];
    if let Some(holder) = holder_of(numbers.into_iter().flatten()) {
        return holder;
    }
    let said = std::fs::read_to_string(path).unwrap_or_default();
    match said
        .lines()
        .next()
        .filter(|line| line.starts_with("process ") && line.len() < 200)
    {
        Some(line) => format!(
            "another process that cannot be seen from here, of another container or host; it wrote of itself `{}`",
            line.escape_debug()
        ),
        None => "another process that cannot be seen from here, of another container or host".to_owned(),
    }
}

/// The process that holds the first of these files that one holds, in words.
fn holder_of(numbers: impl IntoIterator<Item = u64>) -> Option<String> {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let held = |number| process_that_locks(&locks, number);
    let process = numbers.into_iter().find_map(held)?;
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {process}, which is just ending"),
        name => format!("process {process} ({})", name.escape_debug()),
    })
}

/// The process that holds a whole-file lock on the file of this number, in the system's table of locks.
fn process_that_locks(locks: &str, number: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; those that only wait have `->` behind the number.
        let mut fields = line.split_whitespace().skip(1);
        let (kind, process) = (fields.next()?, fields.nth(2)?);
        let place = fields.next()?;
        let is_this = kind == "FLOCK" && place.rsplit(':').next()?.parse() == Ok(number);
        process.parse().ok().filter(|&process| is_this && process > 0)
    })
}

#[cfg(test)]
mod tests;

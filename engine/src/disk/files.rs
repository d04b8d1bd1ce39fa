//! The portable backend: the standard library's files, positional reads and writes through the page cache, and
//! `sync_data` (fdatasync) for durability.

#[cfg(not(unix))]
use std::fs::TryLockError;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::Blocks;
use super::owner::parent;
use super::traits::{Disk, DiskFile, DiskLock, LogFile, OpenMode};

/// Files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

pub(super) struct OpenFile {
    file: File,
    path: PathBuf,
}

#[cfg(not(unix))]
struct Locked(File);

#[cfg(not(unix))]
impl DiskLock for Locked {
    fn file(&self) -> Option<&File> {
        Some(&self.0)
    }
}

#[cfg(not(unix))]
impl Drop for Locked {
    /// Others may still hold the file open.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Makes a folder, and says whether it was there. Its owner alone may look into it, whatever the process leaves to others, and may
/// write there.
fn make_folder(path: &Path) -> io::Result<bool> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, super::owner::DIR_MODE);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) => Err(error),
        Ok(()) => {
            #[cfg(unix)]
            own(&fs::metadata(path)?, super::owner::DIR_MODE, |mode| {
                fs::set_permissions(path, mode)
            })?;
            Ok(false)
        }
    }
}

/// Gives what was just made the mode that was asked for, where the process's mask took a part of it away.
#[cfg(unix)]
fn own(made: &fs::Metadata, mode: u32, set: impl FnOnce(fs::Permissions) -> io::Result<()>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match made.permissions().mode() & 0o777 {
        found if found == mode => Ok(()),
        _ => set(fs::Permissions::from_mode(mode)),
    }
}

/// As [`super::regular::open`]; a file that it makes is its owner's alone.
pub(super) fn open_own(path: &Path, options: &mut OpenOptions, flags: i32, makes: bool) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, super::owner::FILE_MODE);
    let file = super::regular::open(path, options, flags)?;
    #[cfg(unix)]
    if makes {
        own(&file.metadata()?, super::owner::FILE_MODE, |mode| {
            file.set_permissions(mode)
        })?;
    }
    let _ = makes;
    Ok(file)
}

impl Disk for Files {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().map(|_| parent(path));
        let found = match fs::metadata(path) {
            Ok(found) => found.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !found {
            if let Some(parent) = parent {
                self.create_dir(parent)?;
            }
            if make_folder(path)? && !fs::metadata(path)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        // A folder that power loss could take away would take its log along. Above a folder that somebody else made for us
        // there may be some that we must not open.
        match parent.map_or(Ok(()), |parent| self.sync_dir(parent)) {
            Err(error) if found && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        make_folder(path)?;
        self.sync_dir(parent(path))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let path = std::path::absolute(path)?;
        for above in path.ancestors() {
            match fs::canonicalize(above) {
                Ok(there) => {
                    let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
                    // Behind a folder that is not there yet, nobody can say where `..` leads.
                    if rest.components().any(|part| part == std::path::Component::ParentDir) {
                        return Err(io::Error::other("it goes through a folder that does not exist"));
                    }
                    // By its parts: joined with nothing, it would end with a slash.
                    return Ok(there.components().chain(rest.components()).collect());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(path)
    }

    #[cfg(unix)]
    fn is_same(&self, one: &Path, other: &Path) -> io::Result<bool> {
        super::lock::is_same_place(one, other)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Something has the name: what it led to is gone, which is not to have been empty.
                return match fs::symlink_metadata(path) {
                    Ok(_) => Err(io::Error::new(
                        io::ErrorKind::NotADirectory,
                        "a link that leads nowhere",
                    )),
                    Err(_) => Ok(Vec::new()),
                };
            }
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenFile::open(path, mode)?))
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        let mode = if create { OpenMode::Create } else { OpenMode::Write };
        Ok(Arc::new(OpenFile::open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    // Windows has no handle to sync a folder by; its file systems journal names themselves.
    #[cfg(not(unix))]
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        super::lock::lock(path)
    }

    #[cfg(unix)]
    fn lock_holder(&self, path: &Path) -> String {
        super::lock::holder(path)
    }

    #[cfg(not(unix))]
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Locked(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl OpenFile {
    #[cfg(target_os = "linux")]
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn open(path: &Path, mode: OpenMode) -> io::Result<Self> {
        Self::open_with(path, mode, 0)
    }

    /// With more of the system's flags.
    pub(super) fn open_with(path: &Path, mode: OpenMode, flags: i32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        options
            .create(mode == OpenMode::Create)
            .truncate(mode == OpenMode::Create);
        Ok(Self {
            file: open_own(path, &mut options, flags, mode == OpenMode::Create)?,
            path: path.to_owned(),
        })
    }
}

impl LogFile for OpenFile {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.write_at(offset, blocks)?;
        self.sync_data()
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.write_at(offset, blocks)
    }

    fn allocate(&self, _size: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.sync_all()
    }

    #[cfg(unix)]
    fn take(&self) -> io::Result<()> {
        super::lock::take(&self.file)
    }

    fn has_size(&self, bytes: u64) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() == bytes)
    }

    #[cfg(unix)]
    fn has_name(&self) -> io::Result<bool> {
        super::lock::has_name(&self.file)
    }

    #[cfg(unix)]
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        super::lock::is_at(&self.file, path)
    }
}

impl DiskFile for OpenFile {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match read_some(&self.file, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match std::os::windows::fs::FileExt::seek_write(&self.file, &bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

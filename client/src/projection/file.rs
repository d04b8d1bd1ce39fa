//! A cursor in a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_record::FormatError;

use super::cursors::{CursorError, CursorStore};
use super::standing::Standing;

/// Most bytes of a file that is taken for a cursor: that of 65 536 segments with the longest names.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// A cursor in a file. Each save writes another file, syncs it, moves it into its place, and syncs the folder: whatever happens to the process
/// or the machine, the file has what was saved last or what was saved before. While it is open, nobody else opens it: a file beside
/// it, which ends in `.lock`, stays and is locked.
pub struct FileCursors {
    path: Arc<Path>,
    /// Locked until it is closed, also by the death of the process.
    _lock: File,
}

impl FileCursors {
    /// In this file, in a folder that is there.
    ///
    /// # Errors
    /// [`CursorError::InUse`], [`CursorError::Storage`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, CursorError> {
        let path = path.into();
        let lock = beside(&path, ".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|error| storage(&lock, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                path: path.into(),
                _lock: file,
            }),
            Err(TryLockError::WouldBlock) => Err(CursorError::InUse {
                place: path.display().to_string(),
            }),
            Err(TryLockError::Error(error)) => Err(storage(&lock, &error)),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, CursorError> + Send + 'static,
    ) -> Result<T, CursorError> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        done.unwrap_or_else(|error| Err(CursorError::Storage(error.to_string())))
    }
}

impl CursorStore for FileCursors {
    async fn load(&self) -> Result<Option<Standing>, CursorError> {
        self.blocking(load).await
    }

    async fn save(&self, standing: &Standing) -> Result<(), CursorError> {
        let bytes = standing.encode();
        self.blocking(move |path| save(path, &bytes).map_err(|error| storage(path, &error)))
            .await
    }
}

fn load(path: &Path) -> Result<Option<Standing>, CursorError> {
    let damaged = |why| CursorError::Damaged {
        place: path.display().to_string(),
        why,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(storage(path, &error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| storage(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(damaged(FormatError::Invalid("it is too large")));
    }
    Standing::decode(&bytes).map(Some).map_err(damaged)
}

fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = beside(path, ".next");
    let mut file = File::create(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&next, path)?;
    sync_folder(path)
}

/// A name is durable once its folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Other systems do not open folders.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn storage(path: &Path, error: &io::Error) -> CursorError {
    CursorError::Storage(format!("{}: {error}", path.display()))
}

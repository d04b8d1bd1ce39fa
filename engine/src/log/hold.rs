//! Locks the newest files of a log while this process writes there. Having the data directory is not enough: another
//! directory may share the files by a mount, or by symbolic or hard links (`cp -al`).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::directory::names::FileName;
use crate::disk::{Disk, LogFile};
use crate::error::StorageError;
use crate::runtime::sync::{Instant, thread};

/// How long the system may take to end what a process that was just killed had under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// The newest extents of a store, taken.
pub(crate) struct HeldExtents(Vec<(u64, Arc<dyn LogFile>)>);

impl HeldExtents {
    /// Whether an extent is among them.
    pub(crate) fn has(&self, extent: u64) -> bool {
        self.0.iter().any(|(number, _)| *number == extent)
    }

    /// One of them, which stays taken as long as it is open. The others are given up with this.
    pub(crate) fn into_file(self, extent: u64) -> Option<Arc<dyn LogFile>> {
        let mut files = self.0.into_iter();
        files.find(|(number, _)| *number == extent).map(|(_, file)| file)
    }
}

/// Takes what an open may write to: the open extent, and the one prepared behind it. To be called before anything is read, since what
/// is read while another process writes is no end of a log.
///
/// # Errors
/// [`StorageError::Io`] while another process has one of them.
pub(crate) fn hold(disk: &dyn Disk, dir: &Path) -> Result<HeldExtents, StorageError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let mut extents: Vec<u64> = names
        .iter()
        .filter_map(|name| match FileName::parse(name) {
            Some(FileName::Extent(number)) => Some(number),
            _ => None,
        })
        .collect();
    extents.sort_unstable();
    let mut held = Vec::new();
    for &extent in extents.iter().rev().take(2) {
        let path = FileName::Extent(extent).in_dir(dir);
        let file = match disk.open_log(&path, false) {
            Ok(file) => file,
            // Nobody writes to what is no file, and whoever reads it says what is wrong with it.
            Err(error) if is_no_file(&error) => continue,
            Err(error) => return Err(StorageError::io("open", path, error)),
        };
        take(&*file).map_err(|e| StorageError::io("open", path, e))?;
        held.push((extent, file));
    }
    Ok(HeldExtents(held))
}

/// As [`Files`](crate::disk::files::Files) tells it.
fn is_no_file(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, Other};
    matches!(error.kind(), IsADirectory | NotADirectory | NotFound | Other)
}

/// That an extent was not there, or was nobody's, when the others were taken: another process is at work in the log.
pub(crate) fn not_held(path: &Path) -> StorageError {
    let what = "it was begun while the log was being opened: another process writes to it";
    StorageError::io("open", path, io::Error::new(io::ErrorKind::ResourceBusy, what))
}

fn take(file: &dyn LogFile) -> io::Result<()> {
    let since = Instant::now();
    loop {
        match file.take() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && since.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            taken => return taken,
        }
    }
}

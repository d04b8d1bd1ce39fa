//! Checks that written bytes stand where the next process finds them; otherwise they are not acknowledged.

use std::io;
use std::time::{Duration, Instant};

use super::writer::{LogWriter, PendingWrite};
use crate::directory::names::FileName;
use crate::error::{Gone, StorageError};

impl LogWriter {
    /// Looks at the file of a group that was just written.
    ///
    /// # Errors
    /// [`StorageError::Gone`] where it was deleted or moved away; [`StorageError::Io`].
    pub(super) fn check_place(&self, pending: &PendingWrite) -> Result<(), StorageError> {
        self.check_name(pending)?;
        self.check_size(pending)
    }

    /// Refuses to acknowledge what stands in a file without a name, which is gone with this process; and, looked at less often
    /// since that costs more, in one that was moved where the next process does not look.
    fn check_name(&self, pending: &PendingWrite) -> Result<(), StorageError> {
        const PAUSE: Duration = Duration::from_millis(500);
        let path = || FileName::Extent(pending.at.extent).in_dir(&self.folder.dir);
        let has_name = pending.file.has_name();
        let mut is_there = has_name.map_err(|e| StorageError::io("look at", path(), e))?;
        if is_there && self.looked_at.get().is_none_or(|at| at.elapsed() >= PAUSE) {
            // Where looking is not allowed for a while, nothing is known, and the next group looks again.
            if let Ok(is_at) = pending.file.is_at(&path()) {
                is_there = is_at;
                self.looked_at.set(Some(Instant::now()));
            }
        }
        match is_there {
            true => Ok(()),
            false => {
                let what = format!("{} was deleted or moved away", path().display());
                tracing::warn!(store = %self.folder.store, cause = what, "the store accepts no more writes until it is reopened");
                let path = self.folder.dir.clone();
                Err(StorageError::Gone(Gone { path, what }))
            }
        }
    }

    /// Refuses to acknowledge what stands in a file that was cut, or made longer, under its writer: the next open refuses it.
    fn check_size(&self, pending: &PendingWrite) -> Result<(), StorageError> {
        let path = || FileName::Extent(pending.at.extent).in_dir(&self.folder.dir);
        let Some(open) = &self.open else { return Ok(()) };
        let has_size = pending.file.has_size(open.header.capacity);
        match has_size.map_err(|e| StorageError::io("look at", path(), e))? {
            true => Ok(()),
            false => {
                let what = "it has another size than it was made with: somebody cut it, or made it longer";
                Err(StorageError::io("write", path(), io::Error::other(what)))
            }
        }
    }
}

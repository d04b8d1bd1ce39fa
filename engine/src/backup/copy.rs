//! Copies one extent so that its name stands for all of it or for what was there before: a temporary file, zeros up to its
//! size, a check of what was written, a sync, a rename.

use std::path::Path;
use std::sync::Arc;

use super::check::{Checked, Expected, Fault, check, check_header};
use super::source::Pieces;
use super::{BackupError, CopyProgress};
use crate::disk::{Disk, OpenMode};
use crate::error::{SegmentsHit, StorageError};
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::log::names::FileName;

/// A backup or a restore at work.
pub(super) struct Copying<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) progress: &'a mut dyn FnMut(CopyProgress),
    pub(super) now: CopyProgress,
}

impl Copying<'_> {
    pub(super) fn tell(&mut self) {
        (self.progress)(self.now);
    }

    /// So many bytes more are done.
    pub(super) fn done(&mut self, bytes: u64) {
        self.now.bytes_done += bytes;
        self.tell();
    }
}

/// Why an extent was not copied.
pub(super) enum CopyError {
    AnotherHistory,
    Other(BackupError),
}

impl<E: Into<BackupError>> From<E> for CopyError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Whether an extent that was copied earlier is still there, by its header and size.
pub(super) fn recheck(disk: &Arc<dyn Disk>, dir: &Path, expected: &Expected) -> Result<bool, StorageError> {
    let path = FileName::Extent(expected.extent).in_dir(dir);
    match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        opened => {
            let file = opened.map_err(|e| StorageError::io("open", path, e))?;
            Ok(check_header(&*file, expected)?.is_ok())
        }
    }
}

/// Copies an extent into a store's folder, durably.
pub(super) fn copy_extent(
    copying: &mut Copying<'_>,
    pieces: &mut dyn Pieces,
    dir: &Path,
    expected: &Expected,
) -> Result<Checked, CopyError> {
    let disk = Arc::clone(copying.disk);
    let path = FileName::Extent(expected.extent).in_dir(dir);
    let temporary = path.with_extension("tmp");
    let write = |e| StorageError::io("write", &temporary, e);
    let file = disk.open(&temporary, OpenMode::Create).map_err(write)?;
    let (mut at, end) = (0, u64::from(expected.used_bytes));
    let mut crc32 = crc32fast::Hasher::new();
    while let Some(piece) = pieces.next()? {
        if at + piece.len() as u64 > end {
            return Err(BackupError::Source("more bytes came than were announced".into()).into());
        }
        file.write_at(at, &piece).map_err(write)?;
        let header = (EXTENT_HEADER_BYTES as u64).saturating_sub(at).min(piece.len() as u64);
        crc32.update(&piece[header as usize..]);
        at += piece.len() as u64;
        copying.done(piece.len() as u64);
    }
    if at < end {
        return Err(BackupError::Source(format!("{at} bytes came where {end} were announced").into()).into());
    }
    // The rest are zeros, without being written.
    if end < expected.capacity {
        file.write_at(expected.capacity - 1, &[0]).map_err(write)?;
    }
    let checked = check(Arc::clone(&file), expected)?.map_err(|fault| match fault {
        Fault::AnotherHistory => CopyError::AnotherHistory,
        Fault::Damage { byte, found } => CopyError::Other(
            StorageError::Corrupt {
                store: expected.store,
                extent: expected.extent,
                byte,
                found,
                segments: SegmentsHit::Unknown,
            }
            .into(),
        ),
    })?;
    if checked.crc32 != crc32.finalize() {
        return Err(CopyError::Other(BackupError::Damaged {
            path: temporary,
            byte: EXTENT_HEADER_BYTES as u64,
            found: "other bytes than were written".to_owned(),
        }));
    }
    file.sync_all().map_err(|e| StorageError::io("sync", &temporary, e))?;
    drop(file);
    disk.rename(&temporary, &path)
        .map_err(|e| StorageError::io("rename", &temporary, e))?;
    disk.sync_dir(dir).map_err(|e| StorageError::io("sync", dir, e))?;
    Ok(checked)
}

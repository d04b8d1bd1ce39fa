//! Checks that a directory holds at least what somebody knows from elsewhere. An older copy of a whole store is whole,
//! and nothing in it tells that more existed.

use std::path::Path;
use std::sync::Arc;

use super::files::StoreFiles;
use super::verify::{VerifyReport, verified, verify_directory};
use super::{Damage, Directory, OfflineProgress};
use crate::boundary::backup::BackupError;
use crate::directory::manifest::{ExtentEntry, Manifest};
use crate::directory::names::FileName;
use crate::directory::names::MANIFEST;
use crate::disk::{Disk, DiskFile};
use crate::error::is_nothing;
use crate::error::{OpenError, StorageError};
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::index::catalog::Catalog;
use streamkit_record::{SegmentPath, Sequence, StoreId};

/// What a directory must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AtLeast {
    /// Segments, each with a sequence that its head reached.
    pub segments: Vec<(StoreId, SegmentPath, Sequence)>,
    /// Backups: each store's log must begin with the backup's bytes.
    pub backups: Vec<Manifest>,
}

/// Something that must be there and is missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The store.
    pub store: StoreId,
    /// The missing part, in words.
    pub what: String,
}

/// Like [`verify_on`](crate::verify_on). Also lists in [`VerifyReport::missing`] what the directory lacks of
/// `at_least`, and of its own manifest if it is a backup.
///
/// # Errors
/// As [`verify_on`](crate::verify_on).
pub fn verify_at_least_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    at_least: &AtLeast,
    progress: &mut dyn FnMut(OfflineProgress),
) -> Result<VerifyReport, OpenError> {
    let mut directory = Directory::open(disk, dir)?;
    let (own, manifest) = own_manifest(disk, dir)?;
    directory.manifest = manifest;
    let backups = at_least.backups.iter().cloned().chain(own);
    let at_least = AtLeast {
        backups: backups.collect(),
        segments: at_least.segments.clone(),
    };
    let mut missing = Vec::new();
    let mut found = Vec::new();
    let mut report = verify_directory(disk, dir, directory, progress, &mut |files, progress| {
        let (report, catalog) = verified(files, progress)?;
        found.push(files.store);
        at_least.missing_in(files, &catalog, &mut missing)?;
        Ok(report)
    })?;
    at_least.missing_stores(&found, &mut missing);
    report.missing = missing;
    Ok(report)
}

/// What a backup says of itself, and what is wrong with that: a directory is one as long as it holds a manifest.
fn own_manifest(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(Option<Manifest>, Option<Damage>), OpenError> {
    let damage = |found: String| {
        let found = format!("{found}: what the backup holds is not known, and it cannot be restored");
        Some(Damage::without_loss(dir.join(MANIFEST), 0, 0, found))
    };
    match Manifest::read(&**disk, dir) {
        Ok(manifest) => Ok((manifest, None)),
        Err(BackupError::Damaged { found, .. }) => Ok((None, damage(found))),
        Err(BackupError::Storage(StorageError::Io { source, .. })) if is_nothing(&source) => {
            Ok((None, damage(source.to_string())))
        }
        Err(BackupError::Storage(error)) => Err(error.into()),
        Err(error) => {
            let source = std::io::Error::other(error.to_string());
            Err(StorageError::io("understand", dir.join(MANIFEST), source).into())
        }
    }
}

impl AtLeast {
    /// What a directory says of itself, being a backup, that it holds.
    pub(crate) fn of_its_own(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, OpenError> {
        let (own, _) = own_manifest(disk, dir)?;
        Ok(Self {
            segments: Vec::new(),
            backups: own.into_iter().collect(),
        })
    }

    /// What is to be there of stores that are not.
    pub(crate) fn missing_stores(&self, found: &[StoreId], missing: &mut Vec<Missing>) {
        let segments = self.segments.iter().map(|&(store, ..)| store);
        let backups = self.backups.iter().flat_map(|backup| backup.stores.keys());
        let mut wanted: Vec<StoreId> = segments.chain(backups.map(|&id| StoreId(id))).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|store| !found.contains(store));
        missing.extend(wanted.into_iter().map(|store| Missing {
            store,
            what: "the store is not there".to_owned(),
        }));
    }

    fn missing_in(
        &self,
        files: &StoreFiles,
        catalog: &Catalog,
        missing: &mut Vec<Missing>,
    ) -> Result<(), StorageError> {
        let store = files.store;
        for (_, path, sequence) in self.segments.iter().filter(|&&(of, ..)| of == store) {
            let what = match catalog.head(path) {
                head if head >= *sequence => continue,
                Sequence(0) => format!("{path} is not there; it had {sequence}"),
                head => format!("{path} ends at {head}; it had {sequence}"),
            };
            missing.push(Missing { store, what });
        }
        self.missing_of_backups(files, missing)
    }

    /// What a store's files lack of the backups.
    pub(crate) fn missing_of_backups(
        &self,
        files: &StoreFiles,
        missing: &mut Vec<Missing>,
    ) -> Result<(), StorageError> {
        let store = files.store;
        for backup in &self.backups {
            for entry in backup.stores.get(&store.0).into_iter().flatten() {
                if !holds(files, entry)? {
                    let what = format!(
                        "extent {} does not begin with the {} bytes that the backup has of it",
                        entry.extent, entry.used_bytes
                    );
                    missing.push(Missing { store, what });
                }
            }
        }
        Ok(())
    }
}

/// Whether an extent begins with what a backup has of it.
fn holds(files: &StoreFiles, entry: &ExtentEntry) -> Result<bool, StorageError> {
    if entry.used_bytes as usize <= EXTENT_HEADER_BYTES {
        return Ok(true);
    }
    let Some(extent) = files.extents.get(&entry.extent) else {
        return Ok(false);
    };
    let crc = checksum(&*extent.file, entry.used_bytes.into());
    let path = files.path(FileName::Extent(entry.extent));
    Ok(crc.map_err(|e| StorageError::io("read", path, e))? == Some(entry.crc32))
}

/// Of the bytes behind the header, up to `end`; `None` if there are fewer.
fn checksum(file: &dyn DiskFile, end: u64) -> std::io::Result<Option<u32>> {
    let (mut crc, mut bytes) = (crc32fast::Hasher::new(), vec![0; 1 << 20]);
    let mut at = EXTENT_HEADER_BYTES as u64;
    while at < end {
        let length = (end - at).min(bytes.len() as u64) as usize;
        let read = file.read_at(at, &mut bytes[..length])?;
        if read == 0 {
            return Ok(None);
        }
        crc.update(&bytes[..read]);
        at += read as u64;
    }
    Ok(Some(crc.finalize()))
}

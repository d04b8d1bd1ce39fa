//! The manifest of a backup: which extents of which stores it holds, how much of each counts, and a checksum. It is
//! written last and as a whole; a folder without one holds no backup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::names::MANIFEST;
use crate::boundary::backup::{BackupError, ExtentPrefix};
use crate::disk::{Disk, FileReader, OpenMode, replace};
use crate::error::StorageError;
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::format::log_start::LogStart;
use crate::limits::EXTENT_BYTES_MAX;

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;

/// One extent of a backup.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct ExtentEntry {
    /// Its number.
    pub extent: u64,
    /// Whether it was sealed: then it is complete and never changes.
    pub sealed: bool,
    /// Bytes of its file.
    pub capacity: u64,
    /// Bytes that count, header and all. Its file may hold more, of a later backup that was interrupted.
    pub used_bytes: u32,
    /// The random number in its checksums.
    pub salt: u32,
    /// Checksum of its last group's header.
    pub chain: u32,
    /// CRC-32 of the used bytes behind the header, which has a checksum of its own.
    pub crc32: u32,
}

impl ExtentEntry {
    pub(crate) fn prefix(&self) -> ExtentPrefix {
        ExtentPrefix {
            extent: self.extent,
            capacity: self.capacity,
            used_bytes: self.used_bytes,
            salt: self.salt,
            sealed: self.sealed.then_some(self.chain),
        }
    }
}

/// All of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    /// The extents of each store, oldest first.
    pub stores: BTreeMap<Uuid, Vec<ExtentEntry>>,
    /// Stores that could not be read: what is here of them, if anything, is what an earlier backup found.
    pub unreadable: BTreeSet<Uuid>,
}

#[derive(Serialize, Deserialize)]
struct ManifestFile {
    streamkit_backup: u32,
    /// CRC-32 of `stores`, then of `unreadable` where it is there, each as JSON without spaces.
    crc32: u32,
    stores: BTreeMap<Uuid, Vec<ExtentEntry>>,
    /// Not there where it says nothing, as in backups from before there was such a thing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    unreadable: BTreeSet<Uuid>,
}

impl Manifest {
    /// Of its content: two are the same backup if this is the same.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&serde_json::to_vec(&self.stores).unwrap_or_default());
        if !self.unreadable.is_empty() {
            hasher.update(&serde_json::to_vec(&self.unreadable).unwrap_or_default());
        }
        hasher.finalize()
    }

    /// Reads it from a backup's folder; `None` if there is none.
    ///
    /// # Errors
    /// [`BackupError::Damaged`]; [`BackupError::Refused`] if a newer version wrote it; [`BackupError::Storage`].
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, BackupError> {
        let path = manifest_path(dir);
        let file = match disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|e| StorageError::io("read", &path, e))?,
        };
        let damaged = |found: String| BackupError::Damaged {
            path: path.clone(),
            byte: 0,
            found,
        };
        #[derive(Deserialize)]
        struct Version {
            streamkit_backup: u64,
        }
        // Only as far as it is a manifest: its size may be anything.
        let failed = |error: serde_json::Error| match error.is_io() {
            true => StorageError::io("read", &path, error.into()).into(),
            false => damaged(error.to_string()),
        };
        let version: Version = serde_json::from_reader(FileReader::new(&*file)).map_err(failed)?;
        if version.streamkit_backup > u64::from(VERSION) {
            let (path, found) = (path.display(), version.streamkit_backup);
            let why = format!("{path} has version {found}; this program reads up to {VERSION}: use a newer streamkit");
            return Err(BackupError::Refused(why));
        }
        let written: ManifestFile = serde_json::from_reader(FileReader::new(&*file)).map_err(failed)?;
        let manifest = Self {
            stores: written.stores,
            unreadable: written.unreadable,
        };
        if manifest.checksum() != written.crc32 {
            return Err(damaged("the checksum does not match".to_owned()));
        }
        for (store, entries) in &manifest.stores {
            let extents: Vec<_> = entries.iter().map(ExtentEntry::prefix).collect();
            if !is_possible(&extents) {
                return Err(damaged(format!(
                    "a list of the extents of store {store} that makes no sense"
                )));
            }
        }
        Ok(Some(manifest))
    }

    /// Writes it in place of the one before, durably.
    pub(crate) fn write(self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        let path = manifest_path(dir);
        let written = ManifestFile {
            streamkit_backup: VERSION,
            crc32: self.checksum(),
            stores: self.stores,
            unreadable: self.unreadable,
        };
        let text = serde_json::to_vec_pretty(&written).map_err(|e| StorageError::io("write", &path, e.into()))?;
        replace(disk, &path, &text).map_err(|e| StorageError::io("write", path, e))
    }
}

/// The manifest's place.
pub(crate) fn manifest_path(dir: &Path) -> PathBuf {
    dir.join(MANIFEST)
}

/// Whether a list that may come from afar is one of a log: from its first extent to the open one, without a hole.
pub(crate) fn is_possible(extents: &[ExtentPrefix]) -> bool {
    let sizes = extents.iter().all(|extent| {
        let used = u64::from(extent.used_bytes);
        EXTENT_HEADER_BYTES as u64 <= used && used <= extent.capacity && extent.capacity <= EXTENT_BYTES_MAX
    });
    let numbers = extents
        .iter()
        .map(|extent| extent.extent)
        .eq(LogStart::WHOLE.extent()..LogStart::WHOLE.extent() + extents.len() as u64);
    let open = extents.iter().position(|extent| extent.sealed.is_none());
    sizes && numbers && open.is_some_and(|open| open + 1 == extents.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::files::Files;

    #[test]
    fn what_no_backup_can_hold_is_damage_even_with_the_right_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let good = ExtentEntry {
            extent: 1,
            sealed: false,
            capacity: 65536,
            used_bytes: 4096,
            salt: 1,
            chain: 2,
            crc32: 3,
        };
        let read = |entries: &[ExtentEntry]| {
            let stores = BTreeMap::from([(Uuid::from_u128(1), entries.to_vec())]);
            let unreadable = BTreeSet::new();
            Manifest { stores, unreadable }.write(&Files, dir.path()).unwrap();
            Manifest::read(&Files, dir.path())
        };
        assert!(read(&[good]).unwrap().is_some());
        let sealed = ExtentEntry { sealed: true, ..good };
        let second = ExtentEntry { extent: 2, ..good };
        assert!(read(&[sealed, second]).unwrap().is_some());
        let with = |change: &dyn Fn(&mut ExtentEntry)| {
            let mut entry = good;
            change(&mut entry);
            vec![entry]
        };
        for bad in [
            vec![],
            vec![second],
            vec![good, second],
            vec![sealed, sealed],
            with(&|entry| entry.used_bytes = 100),
            with(&|entry| entry.used_bytes = 65537),
            with(&|entry| entry.capacity = u64::MAX),
            with(&|entry| entry.extent = 0),
        ] {
            let error = read(&bad).unwrap_err();
            assert!(error.is_damage(), "{bad:?}: {error}");
        }
    }

    /// As it was written when no store could be unreadable.
    #[test]
    fn a_manifest_of_before_is_read_and_written_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{
  "streamkit_backup": 1,
  "crc32": 1991911621,
  "stores": {
    "00000000-0000-0000-0000-000000000001": [
      {
        "extent": 1,
        "sealed": false,
        "capacity": 65536,
        "used_bytes": 10656,
        "salt": 2809593429,
        "chain": 3417287292,
        "crc32": 2977839034
      }
    ]
  }
}"#;
        std::fs::write(manifest_path(dir.path()), text).unwrap();
        let manifest = Manifest::read(&Files, dir.path()).unwrap().unwrap();
        manifest.write(&Files, dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(manifest_path(dir.path())).unwrap(), text);
    }

    #[test]
    fn unreadable_stores_are_in_the_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest {
            stores: BTreeMap::new(),
            unreadable: BTreeSet::from([Uuid::from_u128(7)]),
        };
        manifest.clone().write(&Files, dir.path()).unwrap();
        assert_eq!(Manifest::read(&Files, dir.path()).unwrap(), Some(manifest));
        let path = manifest_path(dir.path());
        let other = std::fs::read_to_string(&path).unwrap().replace("0007", "0008");
        std::fs::write(&path, other).unwrap();
        assert!(Manifest::read(&Files, dir.path()).unwrap_err().is_damage());
    }
}

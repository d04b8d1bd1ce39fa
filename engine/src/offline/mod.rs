//! Tools for a data directory that no process has open: [`verify`] reports all damage, [`inspect`] shows the contents,
//! [`repair`] copies everything whole. All three read through one [`pass`], which continues past damage. None writes
//! to the directory it reads.

mod sink;
mod up_to;

pub(crate) mod at_least;
mod compare;
pub(crate) mod evidence;
pub(crate) mod files;
pub(crate) mod findings;
mod headers;
pub(crate) mod hex;
pub(crate) mod inspect;
mod ledger;
mod pass;
pub(crate) mod repair;
mod rewrite;
mod salvage;
mod scan;
mod scattered;
mod sizes;
#[cfg(test)]
mod tests;
pub(crate) mod unreadable;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::folder::lock_dir;
use crate::directory::names::FileName;
use crate::directory::{has_known_format, list_stores, store_dir};
use crate::disk::{Disk, DiskLock, OpenMode};
use crate::error::{OpenError, StorageError};
use streamkit_record::{SegmentPath, Sequence, StoreId};

/// Progress of a check, an inspection or a repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfflineProgress {
    /// Bytes of extents done, all of them in the end.
    pub bytes_done: u64,
    /// Bytes of all extents.
    pub bytes_total: u64,
}

/// Consecutive entries of one segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SequenceRange {
    /// The segment.
    pub path: SegmentPath,
    /// The first of them.
    pub first: Sequence,
    /// The last of them.
    pub last: Sequence,
}

impl std::fmt::Display for SequenceRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.first == self.last {
            true => write!(f, "{} {}", self.path, self.first),
            false => write!(f, "{} {} to {}", self.path, self.first, self.last),
        }
    }
}

/// One place whose bytes differ from those written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The extent it belongs to; 0 for the checkpoint and for the file `format`.
    pub extent: u64,
    /// The first byte not known to be whole.
    pub byte: u64,
    /// The byte after the last one not known to be whole; `byte` if that is unknown, or if nothing is there.
    pub end: u64,
    /// What the place holds.
    pub found: String,
    /// Whole transactions in this place. Nothing proves that they belong to this store, so they count as lost, except
    /// for a repair that takes them ([`RepairOptions::take_unproven`](crate::RepairOptions::take_unproven)).
    pub whole_transactions: u64,
    /// Lost transactions, if later ones tell.
    pub lost_transactions: Option<u64>,
    /// Lost entries, as far as the extent's index file or later entries tell, without those trimmed or deleted later.
    pub affected: Vec<SequenceRange>,
    /// Whether `affected` is complete. Otherwise other entries may be lost too.
    pub affected_is_all: bool,
}

impl Damage {
    /// Damage that loses nothing: of a file derived from the log, or of a fact that the log states elsewhere too.
    pub(crate) fn without_loss(path: PathBuf, extent: u64, byte: u64, found: impl Into<String>) -> Self {
        Self {
            path,
            extent,
            byte,
            end: byte,
            found: found.into(),
            whole_transactions: 0,
            lost_transactions: None,
            affected: Vec::new(),
            affected_is_all: true,
        }
    }
}

/// A data directory that this process has locked.
pub(crate) struct Directory {
    /// `None` if nobody can write.
    _lock: Option<Box<dyn DiskLock>>,
    /// Damage of the directory as a whole: of its file `format`, whose contents the extents repeat, or the missing
    /// folder of all stores.
    pub(crate) format: Option<Damage>,
    /// Damage of its manifest, if it is a backup.
    pub(crate) manifest: Option<Damage>,
    /// Its stores, by id.
    pub(crate) stores: Vec<StoreId>,
    pub(crate) progress: OfflineProgress,
}

impl Directory {
    /// Locks and lists it.
    ///
    /// # Errors
    /// [`OpenError::InUse`]; [`OpenError::NewerFormat`]; [`OpenError::Storage`] if the disk refuses, or there is no
    /// data directory.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, OpenError> {
        Self::open_for(disk, dir, None)
    }

    /// The same for one store only, if one is named.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub(crate) fn open_for(disk: &Arc<dyn Disk>, dir: &Path, store: Option<StoreId>) -> Result<Self, OpenError> {
        let folder = dir.join("stores");
        let list = |path: &Path| disk.list(path).map_err(|e| StorageError::io("list", path, e));
        let names = list(&folder)?;
        let format = match has_known_format(&**disk, dir) {
            Ok(true) => None,
            Ok(false) if names.is_empty() => {
                let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no data directory of streamkit");
                return Err(StorageError::io("open", dir, source).into());
            }
            Ok(false) => Some(Damage::without_loss(
                dir.join("format"),
                0,
                0,
                "nothing: the file is missing",
            )),
            Err(OpenError::DamagedFormat { path, found }) => {
                let found = format!("a file that {found}; `streamkit repair` writes a new one");
                Some(Damage::without_loss(path, 0, 0, found))
            }
            Err(OpenError::StoresGone(path)) => {
                let mut damage = Damage::without_loss(path, 0, 0, "nothing: the folder of all stores is missing");
                damage.affected_is_all = false;
                Some(damage)
            }
            Err(error) => return Err(error),
        };
        let lock = match lock_dir(&**disk, dir) {
            // A disk that was mounted for reading only, so that nothing changes what is left of it.
            Err(OpenError::Storage(StorageError::Io { source, .. }))
                if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem =>
            {
                None
            }
            lock => Some(lock?),
        };
        let mut stores = list_stores(&**disk, dir)?;
        stores.retain(|&id| store.is_none_or(|wanted| wanted == id));
        let mut bytes_total = 0;
        for &id in &stores {
            let store = store_dir(dir, id);
            // What cannot be listed is told where the store is looked at.
            for name in list(&store).unwrap_or_default() {
                if matches!(FileName::parse(&name), Some(FileName::Extent(_))) {
                    let file = disk.open(&store.join(name), OpenMode::Read);
                    bytes_total += file.and_then(|file| file.size()).unwrap_or(0);
                }
            }
        }
        Ok(Self {
            _lock: lock,
            format,
            manifest: None,
            stores,
            progress: OfflineProgress {
                bytes_done: 0,
                bytes_total,
            },
        })
    }
}

//! Work on a data directory that no process has open, for whoever owns the data: [`verify`] says everything that is damaged,
//! [`inspect`] shows what stands there, [`repair`] copies what is whole. All three read through one [`pass`], which goes on
//! behind damage. None of them writes to the directory it reads.

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
use crate::model::{SegmentPath, Sequence, StoreId};

/// How far a check, an inspection or a repair has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfflineProgress {
    /// Bytes of extents gone through, all of them in the end.
    pub bytes_done: u64,
    /// Bytes of extents there are.
    pub bytes_total: u64,
}

/// Entries of one segment that follow each other.
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

/// One place where bytes are not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The extent it belongs to; 0 for the checkpoint and for the directory's file `format`.
    pub extent: u64,
    /// The first byte of the file that is not known to be whole.
    pub byte: u64,
    /// The byte behind the last one that is not known to be whole; `byte` where that cannot be told, or where nothing is there.
    pub end: u64,
    /// What stands there.
    pub found: String,
    /// Transactions that are whole although they stand in this place. Nothing proves of which store they are: they count as lost, but
    /// for a repair that takes them ([`RepairOptions::take_unproven`](crate::RepairOptions::take_unproven)).
    pub whole_transactions: u64,
    /// Transactions that are gone, where later ones tell.
    pub lost_transactions: Option<u64>,
    /// Entries that are gone, as far as the extent's index file or later entries tell; not those that were trimmed or deleted
    /// later.
    pub affected: Vec<SequenceRange>,
    /// Whether those are all: otherwise others may be gone too, of which nothing is known.
    pub affected_is_all: bool,
}

impl Damage {
    /// Of which nothing is lost: what is derived from the log, or what the log says in another place too.
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

/// A data directory that this process has for itself.
pub(crate) struct Directory {
    /// `None` where nobody can write.
    _lock: Option<Box<dyn DiskLock>>,
    /// What is wrong with it as a whole: its file `format`, of which the extents say the same, or the folder of all stores, which is gone.
    pub(crate) format: Option<Damage>,
    /// Its manifest, if it is a backup and that is damaged.
    pub(crate) manifest: Option<Damage>,
    /// Its stores, by id.
    pub(crate) stores: Vec<StoreId>,
    pub(crate) progress: OfflineProgress,
}

impl Directory {
    /// Takes it.
    ///
    /// # Errors
    /// [`OpenError::InUse`]; [`OpenError::NewerFormat`]; [`OpenError::Storage`] when the disk refuses, or where no data
    /// directory is.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, OpenError> {
        Self::open_for(disk, dir, None)
    }

    /// Takes it for one store only, if any is named.
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

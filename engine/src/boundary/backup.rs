//! What a backup asks of whatever it is copied from.

use std::path::{Path, PathBuf};

use crate::error::{OpenError, StorageError, is_nothing};
use crate::model::StoreId;

/// What counts of one extent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtentPrefix {
    /// Its number, from 1.
    pub extent: u64,
    /// Bytes of its file.
    pub capacity: u64,
    /// Bytes that belong to the log and are durable, header and all. What stands behind is not read.
    pub used_bytes: u32,
    /// The random number in its checksums: with it, one extent is told from another of the same number.
    pub salt: u32,
    /// Checksum of its last group's header, which covers all groups before; `None` while it is open.
    pub sealed: Option<u32>,
}

/// A store's log up to a durable position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPrefix {
    /// The store.
    pub store: StoreId,
    /// Its extents, oldest first. Only the last one may be open.
    pub extents: Vec<ExtentPrefix>,
}

/// Where a backup comes from. Everything blocks.
pub trait Source: Send + Sync {
    /// The stores there are, by id.
    ///
    /// # Errors
    /// [`BackupError`]; likewise below.
    fn stores(&self) -> Result<Vec<StoreId>, BackupError>;
    /// The folder that it is, if it is one on this host.
    fn folder(&self) -> Option<&Path> {
        None
    }
    /// A store's log up to a position that is durable now: everything that was acknowledged before the call is in it. Of a
    /// folder at rest, what a killed process wrote last may be in it before it is durable.
    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError>;
    /// Whether there is such a store. Asking does not make it.
    fn has(&self, store: StoreId) -> Result<bool, BackupError> {
        Ok(self.stores()?.contains(&store))
    }
    /// One extent of that log, if there is one of this number.
    fn extent(&self, store: StoreId, number: u64) -> Result<Option<ExtentPrefix>, BackupError> {
        let extents = self.prefix(store)?.extents;
        Ok(extents.into_iter().find(|extent| extent.extent == number))
    }
    /// The used bytes of an extent of such a prefix. They are the same whenever they are read, but for the durable mark in the
    /// header, which is where they end: whoever opens the copy takes anything missing of it for damage, not for a torn
    /// write.
    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError>;
}

/// Bytes in order, a piece at a time.
pub trait Pieces: Send {
    /// The next ones, at most 1 MiB, never none; `None` when all that were asked for were returned.
    ///
    /// # Errors
    /// [`BackupError`]; what was returned before is then not all.
    fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError>;
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The target, or the backup to restore, is not what it must be. A backup of before is as it was.
    #[error("{0}")]
    Refused(String),
    /// Bytes are not what was once written. What was copied before stays, and is not taken for whole.
    #[error("damage in {}, byte {byte}: {found}", path.display())]
    Damaged {
        /// The file. It may be the copy: then the source or the way here damaged it.
        path: PathBuf,
        /// Where in it.
        byte: u64,
        /// What stands there.
        found: String,
    },
    /// A folder is in use, unfinished or of a newer format, or a store did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk refused, or the source is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A source that is not on this host failed.
    #[error("{0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// It failed to read this one store, and may read others.
    #[error("{why}")]
    Unreadable {
        /// What it said.
        why: Box<dyn std::error::Error + Send + Sync>,
        /// Whether that was damage.
        is_damage: bool,
    },
    /// Some stores could not be read. The backup holds all others, and of these what it held before.
    #[error("{} stores could not be backed up{}", failed.len(), first(failed))]
    Incomplete {
        /// What the backup holds.
        report: BackupReport,
        /// Those stores, by id, each with the reason.
        failed: Vec<(StoreId, BackupError)>,
    },
}

fn first(failed: &[(StoreId, BackupError)]) -> String {
    let said = failed.first().map(|(store, error)| format!("; store {store}: {error}"));
    said.unwrap_or_default()
}

impl BackupError {
    /// Whether stored bytes are not what was written.
    pub fn is_damage(&self) -> bool {
        let leaf = match self {
            Self::Damaged { .. } => return true,
            Self::Unreadable { is_damage, .. } => return *is_damage,
            Self::Open(OpenError::DamagedFormat { .. } | OpenError::StoresGone(_)) => return true,
            Self::Incomplete { failed, .. } => {
                return failed
                    .iter()
                    .any(|(_, error)| error.is_damage() || error.leads_to_nothing());
            }
            Self::Open(OpenError::Storage(leaf)) | Self::Storage(leaf) => leaf,
            _ => return false,
        };
        matches!(leaf, StorageError::Corrupt { .. })
    }

    /// Whether a name of the source leads to nothing that can be read.
    fn leads_to_nothing(&self) -> bool {
        let leaf = match self {
            Self::Open(OpenError::Storage(leaf)) | Self::Storage(leaf) => leaf,
            _ => return false,
        };
        matches!(leaf, StorageError::Io { source, .. } if is_nothing(source))
    }
}

/// What a backup did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackupReport {
    /// Stores in it.
    pub stores: u64,
    /// Extents in it.
    pub extents: u64,
    /// Used bytes of these.
    pub bytes: u64,
    /// Extents that were copied now.
    pub copied_extents: u64,
    /// Used bytes of these.
    pub copied_bytes: u64,
    /// Extents among these of which an earlier copy was damaged.
    pub mended_extents: u64,
}

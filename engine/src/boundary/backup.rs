//! The source that a backup copies from.

use std::path::{Path, PathBuf};

use crate::error::{OpenError, StorageError, is_nothing};
use streamkit_record::StoreId;

/// The part of one extent that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtentPrefix {
    /// Its number, from 1.
    pub extent: u64,
    /// Bytes of its file.
    pub capacity: u64,
    /// Bytes that belong to the log and are durable, including the header. A backup does not read the bytes after
    /// them.
    pub used_bytes: u32,
    /// The random number in its checksums. It tells one extent from another of the same number.
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

/// The source of a backup. All calls block.
pub trait Source: Send + Sync {
    /// All stores, sorted by id.
    ///
    /// # Errors
    /// [`BackupError`]; likewise below.
    fn stores(&self) -> Result<Vec<StoreId>, BackupError>;
    /// The folder of this source, if it is one on this host.
    fn folder(&self) -> Option<&Path> {
        None
    }
    /// A store's log up to a position that is durable now. It includes everything acknowledged before the call. For a
    /// folder at rest, it may include the last writes of a killed process before they are durable.
    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError>;
    /// Whether the store exists. Asking does not create it.
    fn has(&self, store: StoreId) -> Result<bool, BackupError> {
        Ok(self.stores()?.contains(&store))
    }
    /// One extent of that log, if it has this number.
    fn extent(&self, store: StoreId, number: u64) -> Result<Option<ExtentPrefix>, BackupError> {
        let extents = self.prefix(store)?.extents;
        Ok(extents.into_iter().find(|extent| extent.extent == number))
    }
    /// The used bytes of an extent of such a prefix. Every read returns the same bytes, except for the durable mark in
    /// the header, which states where they end. So an open of the copy takes missing bytes for damage, not for a torn
    /// write.
    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError>;
}

/// Bytes in order, a piece at a time.
pub trait Pieces: Send {
    /// The next bytes, at most 1 MiB, never none; `None` once all requested bytes were returned.
    ///
    /// # Errors
    /// [`BackupError`]; the bytes returned before are then incomplete.
    fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError>;
}

/// Why a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The target, or the backup to restore, is not usable. An earlier backup in it is unchanged.
    #[error("{0}")]
    Refused(String),
    /// Bytes differ from those once written. Earlier copied bytes stay, and do not count as whole.
    #[error("damage in {}, byte {byte}: {found}", path.display())]
    Damaged {
        /// The file. It may be the copy: then the source, or the way from it, damaged the bytes.
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
    /// A source on another host failed.
    #[error("{0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// The source could not read this one store, and may read others.
    #[error("{why}")]
    Unreadable {
        /// The reason it gave.
        why: Box<dyn std::error::Error + Send + Sync>,
        /// Whether that was damage.
        is_damage: bool,
    },
    /// Some stores could not be read. The backup holds all others, and earlier copies of these.
    #[error("{} stores could not be backed up{}", failed.len(), first(failed))]
    Incomplete {
        /// What the backup holds.
        report: BackupReport,
        /// Those stores, sorted by id, each with the reason.
        failed: Vec<(StoreId, BackupError)>,
    },
}

fn first(failed: &[(StoreId, BackupError)]) -> String {
    let said = failed.first().map(|(store, error)| format!("; store {store}: {error}"));
    said.unwrap_or_default()
}

impl BackupError {
    /// Whether stored bytes differ from those written.
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

    /// Whether a name in the source leads to nothing readable.
    fn leads_to_nothing(&self) -> bool {
        let leaf = match self {
            Self::Open(OpenError::Storage(leaf)) | Self::Storage(leaf) => leaf,
            _ => return false,
        };
        matches!(leaf, StorageError::Io { source, .. } if is_nothing(source))
    }
}

/// The result of a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackupReport {
    /// Stores in it.
    pub stores: u64,
    /// Extents in it.
    pub extents: u64,
    /// Used bytes of these.
    pub bytes: u64,
    /// Extents copied now.
    pub copied_extents: u64,
    /// Used bytes of these.
    pub copied_bytes: u64,
    /// Copied extents whose earlier copy was damaged.
    pub mended_extents: u64,
}

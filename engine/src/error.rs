//! Errors tell the caller what to do next. One enum per verb over one leaf, [`StorageError`].

mod append;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::append::{AppendError, Conflict, FullQueue, ReadError, Rejection};
use streamkit_record::{SegmentPath, StoreId};

/// A folder or file is not where it was: somebody moved, deleted, unmounted or replaced it. The next process could not
/// find writes made now, so the engine makes none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the store accepts no writes since the data directory {} is not the one that was opened: {what}; stop the server, put the \
     directory in its place, and start again",
    path.display()
)]
pub struct Gone {
    /// The data directory, or the store's folder in it.
    pub path: PathBuf,
    /// What became of it.
    pub what: String,
}

/// The disk refused, or its bytes differ from those written. Cheap to clone: one failure may end many calls.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// The operation.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: Arc<std::io::Error>,
    },
    /// Bytes that were whole once are damaged.
    #[error("damage in store {store}, {place}: {found}; {segments}")]
    Corrupt {
        /// The store.
        store: StoreId,
        /// Where.
        place: DamagedPlace,
        /// What stands there.
        found: String,
        /// The segments that can no longer be read in full.
        segments: SegmentsHit,
    },
    /// An earlier write or sync failed. The store writes nothing more until it is opened again.
    #[error("the store accepts no writes since a write failed (store {store}: {cause}); restart to recover")]
    Halted {
        /// The store.
        store: StoreId,
        /// The first failure.
        cause: String,
    },
    /// The data directory, or a part of it, is not where it was. The engine writes nothing until it is opened again.
    #[error(transparent)]
    Gone(Gone),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The segment was deleted during the read, and its remaining entries are gone.
    #[error("{0} was deleted while it was read")]
    Deleted(SegmentPath),
    /// What stands in this log is not what the cursor of a read was made of: it is of another store, or of this one before it was
    /// restored or repaired to less.
    #[error("the cursor is of another log: its transaction is not in this one")]
    OtherLog,
    /// The whole store was deleted from the storage that several hosts share.
    #[error("store {0} was deleted, and no other will have its id")]
    StoreDeleted(StoreId),
    /// The storage that several hosts share has not answered in time.
    #[error("the shared storage has not answered: {0}")]
    Unanswered(String),
    /// A file that an archive has, and the disk has not, could not be fetched. Transient.
    #[error(transparent)]
    NotFetched(Busy),
    /// A read was cancelled before it was done, so its result is missing. Start a new one.
    #[error("the read was interrupted; start it again")]
    Interrupted,
}

/// The place of damaged bytes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DamagedPlace {
    /// In an extent of a log on a local disk.
    #[error("extent {extent}, byte {byte}")]
    Extent {
        /// Its number.
        extent: u64,
        /// Where in it.
        byte: u64,
    },
    /// On another medium, in its own words.
    #[error("{0}")]
    Named(String),
}

/// Not now: nothing was done, and the same call may succeed later.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}; try again in {retry_after:.1?}")]
pub struct Busy {
    /// The reason, in words.
    pub why: String,
    /// How long to wait before the next try; an earlier one would be refused again.
    pub retry_after: Duration,
}

/// The segments with entries in a damaged place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SegmentsHit {
    /// Unknown: no read met the damage, or the index is damaged too.
    Unknown,
    /// Unknown: the place is in a storage account that hosts share, and no host has a tool for it.
    InAccount,
    /// None: the file is an index file, which is derived from the log.
    None,
    /// These.
    These {
        /// Some of them; the one being read comes first.
        named: Vec<SegmentPath>,
        /// How many more there are.
        more: u64,
    },
}

impl std::fmt::Display for SegmentsHit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NEXT: &str =
            "`streamkit verify` on the data directory tells what is lost, `streamkit repair` copies what is not";
        match self {
            Self::Unknown => write!(f, "{NEXT}"),
            Self::InAccount => write!(f, "`streamkit azure verify` tells what is lost"),
            Self::None => write!(f, "no entry is damaged; remove that file and reopen, it is made anew"),
            Self::These { named, more } => {
                write!(f, "it hits ")?;
                for (number, path) in named.iter().enumerate() {
                    write!(f, "{}{path}", if number > 0 { ", " } else { "" })?;
                }
                if *more > 0 {
                    write!(f, " and {more} more")?;
                }
                write!(f, "; {NEXT}")
            }
        }
    }
}

impl StorageError {
    /// Whether there is no room on the disk.
    pub(crate) fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// Whether the system refused a call before it did anything, so that nothing is unknown. Errors that may mean that
    /// a device failed half-way do not count.
    pub(crate) fn is_refusal(&self) -> bool {
        use std::io::ErrorKind as Kind;
        let Self::Io { source, .. } = self else { return false };
        let refused = matches!(
            source.kind(),
            Kind::PermissionDenied
                | Kind::NotFound
                | Kind::NotADirectory
                | Kind::ReadOnlyFilesystem
                | Kind::FileTooLarge
                | Kind::OutOfMemory
        );
        refused || is_out_of_descriptors(source)
    }

    /// Whether the process, or the system, had as many files open as may be.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_out_of_descriptors(source))
    }

    /// Wraps what the operating system said.
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        if let Some(gone) = source.get_ref().and_then(|inner| inner.downcast_ref::<Gone>()) {
            return Self::Gone(gone.clone());
        }
        if let Some(own) = source.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return own.clone();
        }
        Self::Io {
            operation,
            path: path.into(),
            source: Arc::new(source),
        }
    }
}

/// Why a store or a data directory did not open.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory.
    #[error(
        "the data directory {} is in use by {holder}; stop that one first, or choose another directory. To delete the file \
         `lock` is never the answer: two processes on one directory lose what they acknowledged",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that has it, by number and name where the system tells.
        holder: String,
    },
    /// Written by a newer version.
    #[error("{} has format version {found}; this program reads up to {supported}: use a newer streamkit", path.display())]
    NewerFormat {
        /// The file that states it.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// Ours.
        supported: u16,
    },
    /// The file `format` is damaged or missing, though stores exist.
    #[error("{} {found}, but there are stores; `streamkit repair` copies them into a new directory that opens", path.display())]
    DamagedFormat {
        /// That file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// The folder of all stores is gone, though the file `format` proves that it existed.
    #[error(
        "{} is missing, and with it every store: put it back, or mount what it was on; if nothing was ever stored, remove the file \
         `format` beside it",
        .0.display()
    )]
    StoresGone(PathBuf),
    /// A backup, restore or repair into this folder did not finish.
    #[error("{} holds an unfinished {what}; run that again, to the end", dir.display())]
    Unfinished {
        /// The folder.
        dir: PathBuf,
        /// `backup`, `restore` or `repair`.
        what: &'static str,
    },
    /// The stores of this folder are copies of shared ones, and were to be opened as stores of its own, or others made of them.
    #[error(
        "{} holds copies of stores that several hosts share, and what is written to a copy nobody else sees; serve it with --storage azure, or \
         choose another directory. A damaged copy is removed, and made anew",
        .0.display()
    )]
    HoldsCopies(PathBuf),
    /// This folder has stores of its own, and was to be opened for copies of shared ones.
    #[error("{} holds stores of its own, and never copies of shared ones beside them; choose another directory", .0.display())]
    HoldsStores(PathBuf),
    /// The limit of open stores is reached, and all of them were in use for
    /// [`EngineConfig::open_deadline`](crate::EngineConfig::open_deadline). Transient.
    #[error("{0} stores are open and in use, and no more may be; raise open_stores, or release some")]
    TooManyStores(usize),
    /// The logs of the stores in use hold all descriptors that logs may hold, and did so for
    /// [`EngineConfig::open_deadline`](crate::EngineConfig::open_deadline). Transient.
    #[error(
        "the stores in use have {0} files of their logs open, and no more may be; raise the limit of open files (ulimit -n), or \
         release some"
    )]
    TooManyFiles(usize),
    /// The store's disk has not answered within [`EngineConfig::open_deadline`](crate::EngineConfig::open_deadline).
    /// Transient: the store is still being opened (or closed, to be opened again). The engine begins no second opening
    /// meanwhile, and other stores do not wait.
    #[error("store {store} is still being opened after {waited:.1?}: the disk does not answer; try again later")]
    StillOpening {
        /// The store.
        store: StoreId,
        /// How long the caller waited.
        waited: Duration,
    },
    /// So many openings hang that the engine begins no other. Transient.
    #[error("{0} openings of stores hang, and no more are begun: the disk does not answer; try again later")]
    OpeningsHang(usize),
    /// The medium asks to come back later. Transient.
    #[error(transparent)]
    Busy(Busy),
    /// A setting is out of its range.
    #[error("invalid engine settings: {0}")]
    Config(String),
    /// The disk refused, or is damaged.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFetched(busy) => Self::Busy(busy),
            other => Self::Storage(other),
        }
    }
}

impl OpenError {
    /// Whether the limit of open files, of the process or the system, was reached. It passes: try again later.
    pub fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_out_of_descriptors())
    }

    /// Whether the same call may succeed later. Nothing is wrong with the store itself: others take its place or its
    /// disk's time, or it is being closed.
    pub fn is_transient(&self) -> bool {
        self.is_out_of_descriptors()
            || matches!(
                self,
                Self::TooManyStores(_)
                    | Self::TooManyFiles(_)
                    | Self::StillOpening { .. }
                    | Self::OpeningsHang(_)
                    | Self::Busy(_)
                    | Self::Storage(StorageError::Closed)
            )
    }
}

/// Damage at a byte of an extent.
pub(crate) fn corrupt(store: StoreId, extent: u64, byte: u32, found: impl Into<String>) -> StorageError {
    StorageError::Corrupt {
        store,
        place: DamagedPlace::Extent {
            extent,
            byte: u64::from(byte),
        },
        found: found.into(),
        segments: SegmentsHit::Unknown,
    }
}

/// Whether the process, or the system, has as many files open as may be. It passes.
pub(crate) fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    /// ENFILE and EMFILE, on all systems of this kind. They have no kind of their own.
    const CODES: [i32; 2] = [23, 24];
    cfg!(unix) && error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// No such device: a socket. No more links. The device, or the file system, has lost it; so has a server of files.
const LOST: [i32; 5] = [6, 40, 5, 117, 116];

/// Whether an error of opening what has a name here says that nothing can be read there, now or later. A right that is missing,
/// or a limit of this process, says nothing of what stands there.
pub(crate) fn is_nothing(error: &std::io::Error) -> bool {
    let kinds = [
        std::io::ErrorKind::IsADirectory,
        std::io::ErrorKind::NotADirectory,
        std::io::ErrorKind::NotFound,
    ];
    kinds.contains(&error.kind())
        || error.to_string().contains("no regular file")
        || cfg!(target_os = "linux") && error.raw_os_error().is_some_and(|number| LOST.contains(&number))
}

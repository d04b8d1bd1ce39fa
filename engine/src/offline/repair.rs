//! Copies what is whole of a data directory into a new one, and says what is not there any more. The old one is only read.
//! docs/decisions/2026-11-25-repair.md has what is kept where entries are missing.

use std::path::Path;
use std::sync::Arc;

use super::files::StoreFiles;
use super::pass::pass;
use super::rewrite::Rewrite;
use super::{Damage, Directory, OfflineProgress, SequenceRange};
use crate::disk::Disk;
use crate::engine::{lock_dir, store_dir, write_format};
use crate::error::{OpenError, StorageError};
use crate::model::{LogPosition, StoreId};

/// What is kept of a segment with a hole in its sequences: an engine reads sequences without holes only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keep {
    /// What stands behind the last hole: the head stays, no sequence is given twice, and consumers go on where they are. What
    /// stands before is left out, as by a trim.
    #[default]
    Newest,
    /// What stands before the first hole: all that was ever in the segment up to there. The head goes back.
    Oldest,
}

/// What became of one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreRepair {
    /// The store.
    pub store: StoreId,
    /// Readable entries of the new log.
    pub entries: u64,
    /// Transactions with records in it.
    pub transactions: u64,
    /// Where a write that was never acknowledged stands, which is not copied.
    pub torn_tail: Option<LogPosition>,
    /// Everything that is damaged in the old one. What [`Damage::affected`] names is lost; where
    /// [`Damage::affected_is_all`] is false, other entries may be, too.
    pub damage: Vec<Damage>,
    /// Entries that are whole in the old one and not to be read in the new one, since a hole stands between them and what is
    /// kept ([`Keep`]).
    pub left_out: Vec<SequenceRange>,
}

impl StoreRepair {
    /// Whether nothing that was acknowledged is missing.
    pub fn is_complete(&self) -> bool {
        let lossless = |damage: &Damage| damage.affected_is_all && damage.affected.is_empty();
        self.left_out.is_empty() && self.damage.iter().all(lossless)
    }
}

/// What became of a data directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RepairReport {
    /// One report a store, by id.
    pub stores: Vec<StoreRepair>,
}

impl RepairReport {
    /// Whether nothing that was acknowledged is missing.
    pub fn is_complete(&self) -> bool {
        self.stores.iter().all(StoreRepair::is_complete)
    }
}

/// Copies a directory that no process has open into `target`, which does not exist or is empty. Blocks. Until it is done,
/// no engine opens the target.
///
/// Entries keep segment, sequence, payload, metadata, commit time, order, and the producer's transaction id. The numbers
/// of transactions are the same up to the first hole; behind it they may be lower.
///
/// # Errors
/// As [`verify_on`](crate::verify_on); [`OpenError::Storage`] also where the target is not empty or not to be written. What
/// is in it then is of no use.
pub fn repair_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    target: &Path,
    keep: Keep,
    progress: &mut dyn FnMut(OfflineProgress),
) -> Result<RepairReport, OpenError> {
    let refuse = |why: &str| {
        let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, why.to_owned());
        OpenError::from(StorageError::io("repair into", target, source))
    };
    if target.starts_with(dir) || dir.starts_with(target) {
        return Err(refuse("it must not be in the damaged directory, nor around it"));
    }
    let mut directory = Directory::open(disk, dir)?;
    let there = disk.list(target).map_err(|e| StorageError::io("list", target, e))?;
    if !there.is_empty() {
        return Err(refuse("it must be empty, or not exist"));
    }
    disk.create_dir(target)
        .map_err(|e| StorageError::io("create", target, e))?;
    let _lock = lock_dir(&**disk, target)?;
    // No engine takes this for its own before the end.
    let format = target.join("format");
    let unfinished = crate::disk::replace(&**disk, &format, b"an unfinished repair\n");
    unfinished.map_err(|e| StorageError::io("write", &format, e))?;
    let mut report = RepairReport::default();
    for id in std::mem::take(&mut directory.stores) {
        let files = StoreFiles::open(disk, &store_dir(dir, id), id)?;
        let told = &mut directory.progress;
        let mut tell = |bytes| {
            told.bytes_done += bytes;
            progress(*told);
        };
        report
            .stores
            .push(repair_store(&files, &store_dir(target, id), keep, &mut tell)?);
    }
    write_format(&**disk, target)?;
    Ok(report)
}

fn repair_store(
    files: &StoreFiles,
    target: &Path,
    keep: Keep,
    progress: &mut dyn FnMut(u64),
) -> Result<StoreRepair, OpenError> {
    let mut rewrite = Rewrite::begin(files, target.to_owned(), keep, progress)?;
    let mut findings = pass(files, &mut rewrite)?;
    let rewritten = rewrite.end()?;
    findings.damage.sort_by_key(|damage| (damage.extent, damage.byte));
    Ok(StoreRepair {
        store: files.store,
        entries: rewritten.entries,
        transactions: rewritten.transactions,
        torn_tail: findings.torn_tail,
        damage: findings.damage,
        left_out: rewritten.left_out,
    })
}

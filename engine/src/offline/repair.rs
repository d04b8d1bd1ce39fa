//! Copies everything whole of a data directory into a new one, and reports the losses. It only reads the old one.
//! docs/decisions/2026-11-25-repair.md says what it keeps where entries are missing.

use std::path::Path;
use std::sync::Arc;

use super::at_least::{AtLeast, Missing};
use super::files::StoreFiles;
use super::pass::pass;
use super::rewrite::Rewrite;
use super::verify::verify_store;
use super::{Damage, Directory, OfflineProgress, SequenceRange};
use crate::directory::folder::lock_dir;
use crate::directory::overlap::overlap;
use crate::directory::{UNFINISHED, is_unused, read_format, refuse_copies, replace_format, store_dir, write_format};
use crate::disk::Disk;
use crate::error::{OpenError, StorageError};
use streamkit_record::{LogPosition, Sequence, StoreId};

/// Which side of a hole in a segment's sequences to keep; an engine reads only sequences without holes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keep {
    /// The entries after the last hole. The head stays, no sequence is given twice, and consumers continue where they
    /// are. Earlier entries are left out, as by a trim.
    #[default]
    Newest,
    /// The entries before the first hole: everything ever in the segment up to there. The head goes back.
    Oldest,
}

/// The options of a repair. The defaults take nothing that could belong to another store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RepairOptions {
    /// Which side of a hole to keep.
    pub keep: Keep,
    /// Whether to take whole transactions out of damaged groups. An index file or the checkpoint says that such
    /// entries stood there, and when they were committed, but only a group proves its store: a block of another store,
    /// with entries of the same names, numbers and times, would pass for this one's.
    pub take_unproven: bool,
}

impl From<Keep> for RepairOptions {
    fn from(keep: Keep) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }
}

/// The result for one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreRepair {
    /// The store.
    pub store: StoreId,
    /// Readable entries of the new log.
    pub entries: u64,
    /// Transactions with records in the new log.
    pub transactions: u64,
    /// The place of a write that was never acknowledged; it is not copied.
    pub torn_tail: Option<LogPosition>,
    /// All damage in the old log. The entries in [`Damage::affected`] are lost; where [`Damage::affected_is_all`] is
    /// false, others may be lost too.
    pub damage: Vec<Damage>,
    /// Entries that are whole in the old log and missing from the new one, since a hole separates them from the kept
    /// side ([`Keep`]).
    pub left_out: Vec<SequenceRange>,
}

impl StoreRepair {
    /// Whether nothing acknowledged is missing.
    pub fn is_complete(&self) -> bool {
        self.left_out.is_empty() && self.damage.iter().all(is_lossless)
    }
}

fn is_lossless(damage: &Damage) -> bool {
    damage.affected_is_all && damage.affected.is_empty()
}

/// The result for a data directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RepairReport {
    /// Damage of the old directory as a whole: of its file `format` (the new directory has a whole one), or the
    /// missing folder of all stores.
    pub format: Option<Damage>,
    /// What the old directory, as a backup, should hold and does not.
    pub missing: Vec<Missing>,
    /// One report a store, by id.
    pub stores: Vec<StoreRepair>,
}

impl RepairReport {
    /// Whether nothing acknowledged is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
            && self.format.iter().all(is_lossless)
            && self.stores.iter().all(StoreRepair::is_complete)
    }
}

/// Copies a directory that no process has open into `target`, which does not exist, is empty, or holds an interrupted
/// repair, which starts anew. Blocks. Until it is done, no engine opens the target.
///
/// Entries keep segment, sequence, payload, metadata, commit time, order, and the producer's transaction id.
/// Transaction numbers are the same up to the first hole and may be lower after it.
///
/// # Errors
/// As [`verify_on`](crate::verify_on); [`OpenError::Storage`] also if the target is not empty or not writable.
pub fn repair_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    target: &Path,
    options: impl Into<RepairOptions>,
    progress: &mut dyn FnMut(OfflineProgress),
) -> Result<RepairReport, OpenError> {
    let options = options.into();
    let refuse = |why: &str| {
        let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, why.to_owned());
        OpenError::from(StorageError::io("repair into", target, source))
    };
    if overlap(&**disk, dir, target).map_err(|e| StorageError::io("find", target, e))? {
        return Err(refuse("it must not be in the damaged directory, nor around it"));
    }
    // What is damaged of a copy is made anew from the log that it is a copy of.
    refuse_copies(&**disk, dir)?;
    let mut directory = Directory::open(disk, dir)?;
    let refused = || refuse("it must be empty, or not exist");
    // Before the lock is made there, which is a file too; and again, since another may have had it.
    if !may_take(&**disk, target)? {
        return Err(refused());
    }
    disk.create_dir(target)
        .map_err(|e| StorageError::io("create", target, e))?;
    let _lock = lock_dir(&**disk, target)?;
    if !may_take(&**disk, target)? {
        return Err(refused());
    }
    // No engine takes this for its own before the end.
    replace_format(&**disk, target, &marker())?;
    let stores = target.join("stores");
    clear(&**disk, &stores)?;
    // Also of a directory without any: one without that folder has lost them.
    disk.create_dir(&stores)
        .map_err(|e| StorageError::io("create", &stores, e))?;
    // Each is read twice: to tell what is damaged, and to copy what is whole.
    directory.progress.bytes_total = directory.progress.bytes_total.saturating_mul(2);
    let mut report = RepairReport {
        format: directory.format.take(),
        missing: Vec::new(),
        stores: Vec::new(),
    };
    let own = AtLeast::of_its_own(disk, dir)?;
    for id in std::mem::take(&mut directory.stores) {
        let mut files = StoreFiles::open(disk, &store_dir(dir, id), id)?;
        own.missing_of_backups(&files, &mut report.missing)?;
        files.take_unproven = options.take_unproven;
        let told = &mut directory.progress;
        let mut tell = |bytes| {
            told.bytes_done += bytes;
            progress(*told);
        };
        report
            .stores
            .push(repair_store(&files, &store_dir(target, id), options.keep, &mut tell)?);
    }
    let found: Vec<StoreId> = report.stores.iter().map(|store| store.store).collect();
    own.missing_stores(&found, &mut report.missing);
    write_format(&**disk, target)?;
    Ok(report)
}

fn marker() -> String {
    format!("{UNFINISHED}repair\n")
}

/// Whether a folder is empty, except for an interrupted repair.
fn may_take(disk: &dyn Disk, target: &Path) -> Result<bool, StorageError> {
    let is_unfinished = || Ok(read_format(disk, target)?.is_some_and(|said| said == marker()));
    Ok(is_unused(disk, target)? || is_unfinished()?)
}

/// Removes the stores of an interrupted repair.
fn clear(disk: &dyn Disk, stores: &Path) -> Result<(), StorageError> {
    let list = |path: &Path| disk.list(path).map_err(|e| StorageError::io("list", path, e));
    for store in list(stores)? {
        let store = stores.join(store);
        for name in list(&store)? {
            let path = store.join(name);
            disk.remove(&path).map_err(|e| StorageError::io("remove", path, e))?;
        }
        disk.remove_dir(&store)
            .map_err(|e| StorageError::io("remove", store, e))?;
    }
    Ok(())
}

fn repair_store(
    files: &StoreFiles,
    target: &Path,
    keep: Keep,
    progress: &mut dyn FnMut(u64),
) -> Result<StoreRepair, OpenError> {
    // What is lost is what `verify` says, by the same code.
    let verified = verify_store(files, progress)?;
    let is_damaged = !verified.damage.is_empty();
    let mut rewrite = Rewrite::begin(files, target.to_owned(), keep, progress)?;
    pass(files, is_damaged, &mut rewrite)?;
    let mut rewritten = rewrite.end()?;
    for lost in verified.damage.iter().flat_map(|damage| &damage.affected) {
        without(&mut rewritten.left_out, lost);
    }
    Ok(StoreRepair {
        store: files.store,
        entries: rewritten.entries,
        transactions: rewritten.transactions,
        torn_tail: verified.torn_tail,
        damage: verified.damage,
        left_out: rewritten.left_out,
    })
}

/// Takes what is lost out of what is only left out: of an earlier life of the segment, it says nothing any more.
fn without(left_out: &mut Vec<SequenceRange>, lost: &SequenceRange) {
    let mut rest = Vec::new();
    left_out.retain(|range| {
        let meets = range.path == lost.path && range.first <= lost.last && lost.first <= range.last;
        if meets && range.first < lost.first {
            let last = Sequence(lost.first.0 - 1);
            rest.push(SequenceRange { last, ..range.clone() });
        }
        if meets && lost.last < range.last {
            let first = lost.last.next();
            rest.push(SequenceRange { first, ..range.clone() });
        }
        !meets
    });
    left_out.extend(rest);
}

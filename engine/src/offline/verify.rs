//! Checks a whole data directory without writing: every header, checksum and chain, the density of sequences, and the
//! agreement of indexes and checkpoint with the log. It continues past damage and reports all of it. A torn tail is
//! not damage.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::at_least::{AtLeast, Missing, verify_at_least_on};
use super::compare::{AGAIN, Comparison};
use super::files::StoreFiles;
use super::findings::Findings;
use super::pass::pass;
use super::sink::{PassedExtent, Sink};
use super::{Damage, Directory, OfflineProgress};
use crate::directory::names::FileName;
use crate::directory::store_dir;
use crate::disk::{Disk, files::Files};
use crate::error::{DamagedPlace, OpenError, StorageError};
use crate::format::extent_header::{EXTENT_HEADER_BYTES, LogState};
use crate::format::group::GroupHeader;
use crate::format::transaction::{Kind, TransactionHeader, sections};
use crate::index::catalog::Catalog;
use crate::index::checkpoint::encode_with_gist;
use crate::log::replay::replay;
use streamkit_record::{LogPosition, SegmentPath, Sequence, StoreId};

/// The result for one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreReport {
    /// The store.
    pub store: StoreId,
    /// Extents of its log.
    pub extents: u64,
    /// Bytes of groups in them, including damaged ones.
    pub log_bytes: u64,
    /// Whole groups.
    pub groups: u64,
    /// Segments.
    pub segments: u64,
    /// Whole entries, neither trimmed nor deleted.
    pub entries: u64,
    /// The place of a torn write after the last whole group, if any.
    pub torn_tail: Option<LogPosition>,
    /// All damage, in the order of the extents.
    pub damage: Vec<Damage>,
    /// The error of an open, if it refuses the store; then something is damaged, too.
    pub refused: Option<String>,
}

/// The result for a data directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// Damage of the directory as a whole: of its file `format`, or the missing folder of all stores.
    pub format: Option<Damage>,
    /// Damage of a backup's manifest.
    pub manifest: Option<Damage>,
    /// One report a store, by id.
    pub stores: Vec<StoreReport>,
    /// Everything that must be there and is missing; empty if nothing was demanded.
    pub missing: Vec<Missing>,
}

impl VerifyReport {
    /// Whether nothing is damaged or missing.
    pub fn is_clean(&self) -> bool {
        let damaged = self.format.is_some() || self.manifest.is_some();
        !damaged && self.missing.is_empty() && self.stores.iter().all(|store| store.damage.is_empty())
    }
}

/// Checks all stores of a directory that no process has open. Blocks.
///
/// # Errors
/// [`OpenError::InUse`]; [`OpenError::NewerFormat`]; [`OpenError::Storage`] if the disk refuses. Damage is not an
/// error but a finding.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(OfflineProgress)) -> Result<VerifyReport, OpenError> {
    verify_on(&(Arc::new(Files) as Arc<dyn Disk>), dir, progress)
}

/// As [`verify`], on any disk.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    progress: &mut dyn FnMut(OfflineProgress),
) -> Result<VerifyReport, OpenError> {
    verify_at_least_on(disk, dir, &AtLeast::default(), progress)
}

/// Checks one store and reports its progress in bytes.
type VerifyStore<'a> = dyn FnMut(&StoreFiles, &mut dyn FnMut(u64)) -> Result<StoreReport, StorageError> + 'a;

/// Checks all stores of a directory, each with `check`.
pub(super) fn verify_directory(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    mut directory: Directory,
    progress: &mut dyn FnMut(OfflineProgress),
    check: &mut VerifyStore<'_>,
) -> Result<VerifyReport, OpenError> {
    let mut report = VerifyReport {
        format: directory.format.take(),
        manifest: directory.manifest.take(),
        ..VerifyReport::default()
    };
    for id in std::mem::take(&mut directory.stores) {
        let files = StoreFiles::open(disk, &store_dir(dir, id), id)?;
        let told = &mut directory.progress;
        let mut tell = |bytes| {
            told.bytes_done += bytes;
            progress(*told);
        };
        report.stores.push(check(&files, &mut tell)?);
    }
    Ok(report)
}

/// Checks one store, for [`verify_on`] and for a repair.
pub(crate) fn verify_store(files: &StoreFiles, progress: &mut dyn FnMut(u64)) -> Result<StoreReport, StorageError> {
    verified(files, progress).map(|(report, _)| report)
}

/// As [`verify_store`], with what the log holds.
pub(super) fn verified(
    files: &StoreFiles,
    progress: &mut dyn FnMut(u64),
) -> Result<(StoreReport, Catalog), StorageError> {
    let mut check = Check::new(files, progress);
    let mut findings = pass(files, false, &mut check)?;
    let mut quiet = |_| ();
    if findings.has_hole() {
        check = Check::new(files, &mut quiet);
        findings = pass(files, true, &mut check)?;
    }
    let refused = refused(files).map(|error| {
        if findings.damage.is_empty() {
            findings.damage.push(as_damage(files, &error));
        }
        error.to_string()
    });
    findings.damage.sort_by_key(|damage| (damage.extent, damage.byte));
    let totals = check.catalog.totals();
    let report = StoreReport {
        store: files.store,
        extents: check.extents,
        log_bytes: check.log_bytes,
        groups: check.groups,
        segments: totals.segment_count,
        entries: totals.entry_count.saturating_sub(check.skipped_readable()),
        torn_tail: findings.torn_tail,
        damage: findings.damage,
        refused,
    };
    Ok((report, check.catalog))
}

/// Why an open refuses the store. It runs the code of an open, so that both agree, whatever the pass thinks of the
/// damage.
fn refused(files: &StoreFiles) -> Option<OpenError> {
    replay(&*files.disk, &files.dir, files.store, &mut |_| Ok(())).err()
}

/// The error of an open where the pass found nothing.
fn as_damage(files: &StoreFiles, error: &OpenError) -> Damage {
    let (extent, byte, found) = match error {
        OpenError::Storage(StorageError::Corrupt {
            place: DamagedPlace::Extent { extent, byte },
            found,
            ..
        }) => (*extent, *byte, found.clone()),
        other => (0, 0, other.to_string()),
    };
    let name = if extent == 0 {
        FileName::Checkpoint
    } else {
        FileName::Extent(extent)
    };
    Damage {
        affected_is_all: false,
        ..Damage::without_loss(files.path(name), extent, byte, found)
    }
}

/// How far a checkpoint agrees with the log before it.
enum Agreement {
    /// It equals the state that the log yields.
    Whole,
    /// The log reaches its position in its state, but yields other contents.
    Position,
    /// It belongs to another log.
    None,
}

struct Check<'a> {
    files: &'a StoreFiles,
    catalog: Catalog,
    /// Holes in the sequences of segments, which the catalog counts as entries.
    skipped: HashMap<SegmentPath, Vec<(Sequence, Sequence)>>,
    /// Where the next transaction of the extent stands at the earliest: one that changed places counts as if it were there.
    next_byte: u32,
    extents: u64,
    groups: u64,
    log_bytes: u64,
    /// How far the checkpoint agrees with the log; `None` where the log never came to its position.
    checkpoint_agrees: Option<Agreement>,
    /// Of the last index file, if that is still under way.
    comparison: Option<Comparison>,
    progress: &'a mut dyn FnMut(u64),
}

impl Sink for Check<'_> {
    fn group(&mut self, _at: LogPosition, _header: &GroupHeader) -> Result<(), StorageError> {
        self.groups += 1;
        Ok(())
    }

    fn transaction(
        &mut self,
        at: LogPosition,
        header: &TransactionHeader,
        transaction: &[u8],
        findings: &mut Findings,
    ) -> Result<(), StorageError> {
        if self.catalog.open.extent != at.extent {
            self.catalog.roll(at.extent);
            self.next_byte = 0;
        }
        let byte = at.byte.max(self.next_byte);
        self.next_byte = byte + 1;
        let at = LogPosition { byte, ..at };
        if header.kind == Kind::Open && header.section_count == 0 {
            return Ok(());
        }
        if findings.has_hole() {
            self.catalog.over_holes = true;
            self.skip(at, header, transaction);
        }
        if let Err(error) = self.catalog.apply(header, transaction, at)
            // Behind a hole, what a trim or delete was for may be gone.
            && (!findings.has_hole() || header.kind == Kind::Data)
        {
            findings.broken(self.files, at, transaction.len() as u64, error.to_string());
        }
        Ok(())
    }

    fn checkpoint(&mut self, crc: u32, state: &LogState) {
        let Some(found) = &self.files.checkpoint else { return };
        let catalog = &self.catalog;
        let (expected, gist) = encode_with_gist(
            self.files.store,
            found.position,
            state,
            catalog.segments(),
            &catalog.leases,
            &catalog.open,
        );
        let is_same = crc32fast::hash(&expected) == crc;
        let as_before = || gist.is_some_and(|now| found.gist.may_stand_for(now));
        self.checkpoint_agrees = Some(if is_same || as_before() {
            Agreement::Whole
        } else if found.state == *state {
            Agreement::Position
        } else {
            Agreement::None
        });
    }

    fn extent(&mut self, ended: PassedExtent, findings: &mut Findings) -> Result<(), StorageError> {
        // At most one is under way, so that memory holds the runs of two extents, however large the log is.
        self.end_comparison(findings)?;
        self.extents += 1;
        self.next_byte = 0;
        self.log_bytes += u64::from(ended.end).saturating_sub(EXTENT_HEADER_BYTES as u64);
        if ended.sealed {
            if self.catalog.open.extent != ended.extent {
                self.catalog.roll(ended.extent);
            }
            let runs = self.catalog.roll(ended.extent.saturating_add(1));
            let (segments, over_holes) = (self.catalog.segments().clone(), self.catalog.over_holes);
            self.comparison = Comparison::begin(self.files, ended, segments, runs, over_holes)?;
        }
        Ok(())
    }

    fn end(&mut self, findings: &mut Findings) -> Result<(), StorageError> {
        self.check_checkpoint(findings);
        self.end_comparison(findings)
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}

impl<'a> Check<'a> {
    fn new(files: &'a StoreFiles, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            files,
            catalog: Catalog::starting_at(files.extents.keys().next().copied().unwrap_or(1)),
            skipped: HashMap::new(),
            next_byte: 0,
            extents: 0,
            groups: 0,
            log_bytes: 0,
            checkpoint_agrees: None,
            comparison: None,
            progress,
        }
    }

    fn end_comparison(&mut self, findings: &mut Findings) -> Result<(), StorageError> {
        if let Some(comparison) = self.comparison.take() {
            findings.damage.extend(comparison.end()?);
        }
        Ok(())
    }

    /// An open goes on from the checkpoint where the log agrees with its position, and refuses the store where not.
    fn check_checkpoint(&self, findings: &mut Findings) {
        let contradicts = |found| (format!("{found}: what it was made of may be missing"), false);
        let (found, nothing_lost) = match self.checkpoint_agrees {
            // Behind a hole, nobody can tell.
            None if self.files.checkpoint.is_none() || findings.has_hole() => return,
            None => contradicts("a checkpoint that stands where no group ends"),
            Some(Agreement::Whole) => return,
            Some(Agreement::Position) => (format!("a checkpoint that disagrees with its log; {AGAIN}"), true),
            Some(Agreement::None) => contradicts("a checkpoint of another log"),
        };
        let path = self.files.path(FileName::Checkpoint);
        findings.damage.push(Damage {
            affected_is_all: nothing_lost,
            ..Damage::without_loss(path, 0, 0, found)
        });
    }

    /// Finds what is missing before the sections of a transaction.
    fn skip(&mut self, at: LogPosition, header: &TransactionHeader, transaction: &[u8]) {
        for section in sections(header, transaction).flatten() {
            let Ok(path) = section.path() else { continue };
            if header.kind == Kind::Delete {
                self.skipped.remove(&path);
            }
            if header.kind != Kind::Data {
                continue;
            }
            let mut head = self.catalog.head(&path);
            if section.first_sequence <= head {
                // Only a delete makes a segment begin anew: it is gone too.
                self.catalog.delete_over_hole(&path, at);
                self.skipped.remove(&path);
                head = Sequence(0);
            }
            if section.first_sequence > head.next() {
                let last = Sequence(section.first_sequence.0 - 1);
                if head.0 > 0 {
                    self.skipped.entry(path).or_default().push((head.next(), last));
                }
            }
        }
    }

    /// Entries that the catalog counts though they are not there.
    fn skipped_readable(&self) -> u64 {
        let holes = self.skipped.iter().flat_map(|(path, holes)| {
            let first = self
                .catalog
                .find(path)
                .map_or(Sequence(u64::MAX), |(_, segment)| segment.first_sequence);
            let parts = holes.iter().map(move |&(from, to)| (from.max(first), to));
            parts.map(|(from, to)| (to.0 + 1).saturating_sub(from.0))
        });
        holes.fold(0, u64::saturating_add)
    }
}

//! Checks a whole data directory, writing nothing: every header, checksum and chain, the density of sequences, and that
//! indexes and checkpoint agree with the log. A torn tail is not damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, OpenMode, files::Files, read_all};
use crate::engine::{has_known_format, lock_dir, store_dir};
use crate::error::{OpenError, StorageError};
use crate::format::checkpoint;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::index::encode;
use crate::index::catalog::Catalog;
use crate::log::names::FileName;
use crate::log::recovery::{apply_group, durable_mark, index_segments, read_headers};
use crate::log::verdict::{Place, Verdict, verdict};
use crate::log::walk::{Step, Walk};
use crate::model::{LogPosition, StoreId};

/// How far a check has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifyProgress {
    /// Bytes of extents checked.
    pub bytes_done: u64,
    /// Bytes of extents there are.
    pub bytes_total: u64,
}

/// One place where bytes are not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The extent it belongs to; 0 for the checkpoint.
    pub extent: u64,
    /// Where in the file.
    pub byte: u64,
    /// What stands there.
    pub found: String,
}

/// What was found in one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreReport {
    /// The store.
    pub store: StoreId,
    /// Extents of its log.
    pub extents: u64,
    /// Bytes of groups in them.
    pub log_bytes: u64,
    /// Whole groups.
    pub groups: u64,
    /// Segments.
    pub segments: u64,
    /// Readable entries.
    pub entries: u64,
    /// Where a torn write was found behind the last whole group, if one was.
    pub torn_tail: Option<LogPosition>,
    /// Everything that is damaged.
    pub damage: Vec<Damage>,
}

/// What was found in a data directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// One report a store, by id.
    pub stores: Vec<StoreReport>,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.stores.iter().all(|store| store.damage.is_empty())
    }
}

/// Checks all stores of a directory that no process has open. Blocks.
///
/// # Errors
/// [`OpenError::InUse`]; [`OpenError::NewerFormat`]; [`OpenError::Storage`] when the disk refuses. Damage is not an
/// error but a finding.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, OpenError> {
    verify_on(&(Arc::new(Files) as Arc<dyn Disk>), dir, progress)
}

/// As [`verify`], on any disk.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    progress: &mut dyn FnMut(VerifyProgress),
) -> Result<VerifyReport, OpenError> {
    let stores = dir.join("stores");
    let names = disk.list(&stores).map_err(|e| StorageError::io("list", &stores, e))?;
    if !has_known_format(&**disk, dir)? && names.is_empty() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no data directory of streamkit");
        return Err(StorageError::io("open", dir, source).into());
    }
    let _lock = lock_dir(&**disk, dir)?;
    let mut ids: Vec<StoreId> = Vec::new();
    for name in names {
        if let Ok(id) = uuid::Uuid::parse_str(&name) {
            ids.push(StoreId(id));
        }
    }
    ids.sort_unstable();
    let mut done = VerifyProgress {
        bytes_done: 0,
        bytes_total: 0,
    };
    for &id in &ids {
        let store = store_dir(dir, id);
        for name in disk.list(&store).map_err(|e| StorageError::io("list", &store, e))? {
            if matches!(FileName::parse(&name), Some(FileName::Extent(_))) {
                let file = disk.open(&store.join(name), OpenMode::Read);
                done.bytes_total += file.and_then(|file| file.size()).unwrap_or(0);
            }
        }
    }
    let mut report = VerifyReport::default();
    for id in ids {
        report
            .stores
            .push(verify_store(disk, &store_dir(dir, id), id, &mut done, progress)?);
    }
    Ok(report)
}

fn verify_store(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    store: StoreId,
    done: &mut VerifyProgress,
    progress: &mut dyn FnMut(VerifyProgress),
) -> Result<StoreReport, OpenError> {
    let mut report = StoreReport {
        store,
        extents: 0,
        log_bytes: 0,
        groups: 0,
        segments: 0,
        entries: 0,
        torn_tail: None,
        damage: Vec::new(),
    };
    let headers = match read_headers(&**disk, dir, store) {
        Err(OpenError::Storage(StorageError::Corrupt {
            extent, byte, found, ..
        })) => {
            report.damage.push(Damage {
                path: FileName::Extent(extent).in_dir(dir),
                extent,
                byte,
                found,
            });
            return Ok(report);
        }
        other => other?.log,
    };
    let checkpoint_path = FileName::Checkpoint.in_dir(dir);
    let checkpoint = match disk.open(&checkpoint_path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        other => {
            let file = other.map_err(|e| StorageError::io("open", &checkpoint_path, e))?;
            Some(read_all(&*file).map_err(|e| StorageError::io("read", &checkpoint_path, e))?)
        }
    };
    let mut known_durable = None;
    if let Some(bytes) = &checkpoint {
        match checkpoint::decode(bytes) {
            Ok(checkpoint) => known_durable = Some(checkpoint.position),
            Err(error) => {
                let found = format!("{error}; remove the file, it is made anew");
                report.damage.push(Damage {
                    path: checkpoint_path.clone(),
                    extent: 0,
                    byte: 0,
                    found,
                });
            }
        }
    }
    let known_durable = known_durable.max(durable_mark(&headers));
    let mut catalog = Catalog::starting_at(1);
    let mut believable = true;
    for (&extent, header) in &headers {
        let next = headers.get(&(extent + 1));
        let context = Context {
            disk,
            dir,
            extent,
            known_durable,
        };
        if catalog.open.extent != extent {
            catalog.roll(extent);
        }
        let end = context.walk(header, next, &mut catalog, &mut believable, &mut report)?;
        report.extents += 1;
        report.log_bytes += u64::from(end.byte) - EXTENT_HEADER_BYTES as u64;
        if let (Some(next), true) = (next, believable) {
            let runs = catalog.roll(extent + 1);
            let expected = encode(
                store,
                extent,
                next.previous_end,
                next.state.chain,
                index_segments(|segment| catalog.path(segment), &runs),
            );
            context.compare_index(&expected, &mut report)?;
        }
        done.bytes_done += header.capacity;
        progress(*done);
    }
    if let Some(known) = known_durable
        && headers.keys().next_back().is_none_or(|&last| last < known.extent)
    {
        let path = FileName::Extent(known.extent).in_dir(dir);
        let found = "nothing, though it was durable once".to_owned();
        report.damage.push(Damage {
            path,
            extent: known.extent,
            byte: u64::from(known.byte),
            found,
        });
    }
    let totals = catalog.totals();
    report.segments = totals.segment_count;
    report.entries = totals.entry_count;
    Ok(report)
}

struct Context<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    extent: u64,
    known_durable: Option<LogPosition>,
}

impl Context<'_> {
    fn damage(&self, byte: u32, found: String) -> Damage {
        let path = FileName::Extent(self.extent).in_dir(self.dir);
        Damage {
            path,
            extent: self.extent,
            byte: u64::from(byte),
            found,
        }
    }

    /// Walks one extent. Once an extent is damaged, what later ones continue is not known any more: their groups are
    /// still checked, but not applied.
    fn walk(
        &self,
        header: &ExtentHeader,
        next: Option<&ExtentHeader>,
        catalog: &mut Catalog,
        believable: &mut bool,
        report: &mut StoreReport,
    ) -> Result<LogPosition, StorageError> {
        let path = FileName::Extent(self.extent).in_dir(self.dir);
        let file = self
            .disk
            .open(&path, OpenMode::Read)
            .map_err(|e| StorageError::io("open", path, e))?;
        let start = LogPosition {
            extent: self.extent,
            byte: EXTENT_HEADER_BYTES as u32,
        };
        let mut walk = Walk::new(file, header.salt, start, header.state)?;
        loop {
            let mut numbers = walk.state;
            match walk.step()? {
                Step::Group { at, body } => {
                    report.groups += 1;
                    if *believable {
                        let body_at = at + GROUP_HEADER_BYTES as u32;
                        if let Err((byte, error)) = apply_group(catalog, &mut numbers, self.extent, body_at, body) {
                            report.damage.push(self.damage(byte, error.to_string()));
                            *believable = false;
                        }
                    }
                    walk.state.trx_number = numbers.trx_number;
                    walk.state.last_timestamp = numbers.last_timestamp;
                }
                Step::End { at, found } => {
                    let here = LogPosition {
                        extent: self.extent,
                        byte: at,
                    };
                    let place = match next {
                        Some(next) if next.previous_end == at && next.state.chain == walk.state.chain => {
                            Place::SealedEnd
                        }
                        Some(_) => Place::InsideSealed,
                        None if self.known_durable.is_some_and(|known| known > here) => Place::BeforeDurable,
                        None if walk.durable_beyond()?.is_some() => Place::BeforeDurable,
                        None => Place::AfterDurable,
                    };
                    match verdict(found, place) {
                        Verdict::End => {}
                        Verdict::Cut => report.torn_tail = Some(here),
                        Verdict::Refuse => {
                            report
                                .damage
                                .push(self.damage(at, "a group that is not whole".to_owned()));
                            *believable = false;
                        }
                    }
                    return Ok(here);
                }
            }
        }
    }

    fn compare_index(&self, expected: &[u8], report: &mut StoreReport) -> Result<(), StorageError> {
        let path = FileName::Index(self.extent).in_dir(self.dir);
        let file = match self.disk.open(&path, OpenMode::Read) {
            // Not written before a crash: the next open makes it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|e| StorageError::io("open", &path, e))?,
        };
        let bytes = read_all(&*file).map_err(|e| StorageError::io("read", &path, e))?;
        if bytes != expected {
            let byte = bytes.iter().zip(expected).take_while(|(a, b)| a == b).count() as u64;
            let found = "an index that disagrees with its extent; remove the file, it is made anew".to_owned();
            report.damage.push(Damage {
                path,
                extent: self.extent,
                byte,
                found,
            });
        }
        Ok(())
    }
}

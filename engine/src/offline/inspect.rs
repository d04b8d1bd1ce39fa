//! Shows the contents of a data directory, damaged or not: extents, groups, transactions and their sections, each as
//! one value to print. Writes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::StoreFiles;
use super::findings::Findings;
use super::hex::{HexLine, annotate};
use super::pass::pass;
use super::sink::Sink;
use super::{Damage, Directory, OfflineProgress};
use crate::directory::names::FileName;
use crate::directory::store_dir;
use crate::disk::Disk;
use crate::error::{OpenError, StorageError};
use crate::format::extent_header::ExtentHeader;
use crate::format::group::GroupHeader;
use crate::format::transaction::{Kind, TransactionHeader, sections};
use streamkit_record::{LogPosition, SegmentPath, Sequence, StoreId, Timestamp};

/// What to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InspectQuery {
    /// Only this store.
    pub store: Option<StoreId>,
    /// Only this extent.
    pub extent: Option<u64>,
}

/// An extent's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedExtent {
    /// The store.
    pub store: StoreId,
    /// The extent's number.
    pub extent: u64,
    /// The file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// Its header, unless that is damaged.
    pub header: Option<ExtentHeader>,
    /// The end of its groups, if the next extent's header or its own index file states it.
    pub sealed_end: Option<u32>,
}

/// A whole group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedGroup {
    /// The store.
    pub store: StoreId,
    /// Where it starts.
    pub at: LogPosition,
    /// Its header.
    pub header: GroupHeader,
}

/// A whole transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedTransaction {
    /// The store.
    pub store: StoreId,
    /// Where it starts.
    pub at: LogPosition,
    /// Its header.
    pub header: TransactionHeader,
    /// Its sections.
    pub sections: Vec<InspectedSection>,
}

/// One segment's part of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedSection {
    /// The segment.
    pub path: SegmentPath,
    /// The first record's sequence; for a trim, the first readable one.
    pub first: Sequence,
    /// Number of records.
    pub records: u32,
    /// Bytes of the section.
    pub bytes: u32,
}

/// A segment at the end of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedSegment {
    /// The store.
    pub store: StoreId,
    /// The segment.
    pub path: SegmentPath,
    /// First sequence: from the last trim, or of the first whole entry.
    pub first: Sequence,
    /// The sequence of the last whole entry.
    pub last: Sequence,
    /// Its commit time.
    pub last_timestamp: Timestamp,
}

/// One item of a data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inspection {
    /// An extent; groups follow after all extents.
    Extent(InspectedExtent),
    /// A group; its transactions follow.
    Group(InspectedGroup),
    /// A transaction.
    Transaction(InspectedTransaction),
    /// A segment; only if no single extent was selected.
    Segment(InspectedSegment),
    /// A damaged place.
    Damage(Damage),
    /// The place of a write that was never acknowledged: no damage.
    TornTail(StoreId, LogPosition),
}

/// Calls `show` with the contents of a directory that no process has open, store by store: extents, then groups and
/// transactions in log order, then segments, then damage. Blocks. `show` returns whether to continue.
///
/// # Errors
/// As [`verify_on`](crate::verify_on).
pub fn inspect_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    query: InspectQuery,
    progress: &mut dyn FnMut(OfflineProgress),
    show: &mut dyn FnMut(Inspection) -> bool,
) -> Result<(), OpenError> {
    let mut directory = Directory::open_for(disk, dir, query.store)?;
    let format = directory.format.take().filter(|_| query == InspectQuery::default());
    if !format.is_none_or(|damage| show(Inspection::Damage(damage))) {
        return Ok(());
    }
    for id in std::mem::take(&mut directory.stores) {
        let files = StoreFiles::open(disk, &store_dir(dir, id), id)?;
        let told = &mut directory.progress;
        let mut tell = |bytes| {
            told.bytes_done += bytes;
            progress(*told);
        };
        if !inspect_store(&files, query.extent, &mut tell, show)? {
            break;
        }
    }
    Ok(())
}

/// Calls `show` with the header and the first `groups` groups of one extent as annotated hex, line by line, until
/// `show` returns false. Returns whether the file exists. Shows a damaged place as it is. Locks the directory; reads
/// only what it shows.
///
/// # Errors
/// As [`verify_on`](crate::verify_on).
pub fn inspect_hex_on(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    store: StoreId,
    extent: u64,
    groups: usize,
    show: &mut dyn FnMut(HexLine) -> bool,
) -> Result<bool, OpenError> {
    let _directory = Directory::open(disk, dir)?;
    let path = FileName::Extent(extent).in_dir(&store_dir(dir, store));
    match disk.open(&path, crate::disk::OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("open", path, error).into()),
        Ok(file) => {
            annotate(&*file, groups, show)?;
            Ok(true)
        }
    }
}

/// The stores of a directory, by id.
///
/// # Errors
/// As [`verify_on`](crate::verify_on).
pub fn stores_on(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<StoreId>, OpenError> {
    Ok(Directory::open(disk, dir)?.stores)
}

fn inspect_store(
    files: &StoreFiles,
    extent: Option<u64>,
    progress: &mut dyn FnMut(u64),
    show: &mut dyn FnMut(Inspection) -> bool,
) -> Result<bool, StorageError> {
    let wanted = |number: u64| extent.is_none_or(|wanted| wanted == number);
    for (&number, found) in files.extents.iter().filter(|&(&number, _)| wanted(number)) {
        let inspected = InspectedExtent {
            store: files.store,
            extent: number,
            path: files.path(FileName::Extent(number)),
            bytes: found.size,
            header: found.header,
            sealed_end: files.sealed_end(number).map(|(end, _)| end),
        };
        if !show(Inspection::Extent(inspected)) {
            return Ok(false);
        }
    }
    let mut shown = Shown {
        store: files.store,
        extent,
        segments: std::collections::BTreeMap::new(),
        progress,
        show,
        go_on: true,
    };
    let findings = pass(files, true, &mut shown)?;
    let mut rest = Vec::new();
    if extent.is_none() {
        rest.extend(
            std::mem::take(&mut shown.segments)
                .into_values()
                .map(Inspection::Segment),
        );
    }
    let damage = findings.damage.into_iter().filter(|damage| wanted(damage.extent));
    rest.extend(damage.map(Inspection::Damage));
    let torn = findings.torn_tail.filter(|torn| wanted(torn.extent));
    rest.extend(torn.map(|at| Inspection::TornTail(files.store, at)));
    Ok(shown.go_on && rest.into_iter().all(|inspection| (shown.show)(inspection)))
}

struct Shown<'a> {
    store: StoreId,
    extent: Option<u64>,
    segments: std::collections::BTreeMap<SegmentPath, InspectedSegment>,
    progress: &'a mut dyn FnMut(u64),
    show: &'a mut dyn FnMut(Inspection) -> bool,
    go_on: bool,
}

impl Shown<'_> {
    fn tell(&mut self, at: LogPosition, inspection: impl FnOnce() -> Inspection) {
        if self.go_on && self.extent.is_none_or(|wanted| wanted == at.extent) {
            self.go_on = (self.show)(inspection());
        }
    }

    fn keep(&mut self, header: &TransactionHeader, section: &InspectedSection) {
        let InspectedSection {
            path, first, records, ..
        } = section;
        match header.kind {
            Kind::Open | Kind::Lease | Kind::Release => {}
            Kind::Delete => drop(self.segments.remove(path)),
            Kind::Trim => {
                if let Some(segment) = self.segments.get_mut(path) {
                    segment.first = segment.first.max(*first);
                }
            }
            Kind::Data => {
                let segment = self.segments.entry(path.clone()).or_insert_with(|| InspectedSegment {
                    store: self.store,
                    path: path.clone(),
                    first: *first,
                    last: *first,
                    last_timestamp: header.timestamp,
                });
                // A deletion that is in a hole.
                if *first <= segment.last {
                    segment.first = segment.first.min(*first);
                }
                segment.last = Sequence(first.0.saturating_add(u64::from(*records)).saturating_sub(1));
                segment.last_timestamp = header.timestamp;
            }
        }
    }
}

impl Sink for Shown<'_> {
    fn group(&mut self, at: LogPosition, header: &GroupHeader) -> Result<(), StorageError> {
        let (store, header) = (self.store, *header);
        self.tell(at, || Inspection::Group(InspectedGroup { store, at, header }));
        Ok(())
    }

    fn transaction(
        &mut self,
        at: LogPosition,
        header: &TransactionHeader,
        transaction: &[u8],
        _findings: &mut Findings,
    ) -> Result<(), StorageError> {
        let inspected = sections(header, transaction).flatten().filter_map(|section| {
            Some(InspectedSection {
                path: section.path().ok()?,
                first: section.first_sequence,
                records: section.record_count,
                bytes: section.length() as u32,
            })
        });
        let inspected: Vec<InspectedSection> = inspected.collect();
        for section in &inspected {
            self.keep(header, section);
        }
        let (store, header, sections) = (self.store, *header, inspected);
        self.tell(at, || {
            Inspection::Transaction(InspectedTransaction {
                store,
                at,
                header,
                sections,
            })
        });
        Ok(())
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}

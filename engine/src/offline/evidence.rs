//! The entries of an extent according to files derived from it: its index file or, for the open extent, the
//! checkpoint. They prove that a transaction without a whole group belongs where it stands, and tell what is missing.

use std::collections::HashMap;

use super::SequenceRange;
use super::files::StoreFiles;
use crate::format::index::{IndexHeader, RUN_BYTES, SEGMENT_ROW_BYTES, SegmentRow, take_run};
use crate::format::run::Run;
use crate::format::transaction::{Kind, Section, TransactionHeader, sections};
use crate::format::{Cursor, FormatError};
use crate::limits::BLOCK_BYTES;
use streamkit_record::{Name, SegmentPath, Timestamp};

/// The runs of an extent by place, and which of them were found.
pub(crate) struct Evidence {
    runs: Vec<(Run, u32)>,
    paths: Vec<SegmentPath>,
    /// The segments by path.
    segments: HashMap<SegmentPath, u32>,
    /// The runs by segment and first sequence.
    by_first: HashMap<(u32, u64), usize>,
    seen: Vec<bool>,
    /// All runs before are seen, or told to be missing.
    told: usize,
    /// It tells all up to this byte of the extent.
    pub(crate) until: u64,
}

impl Evidence {
    /// What there is of an extent; `None` where nothing whole tells of it.
    pub(crate) fn read(files: &StoreFiles, extent: u64) -> Option<Self> {
        Self::of_index(files, extent).or_else(|| Self::of_checkpoint(files, extent))
    }

    /// Of an index file, unless it is not whole, of another extent, or of another past of this one.
    fn of_index(files: &StoreFiles, extent: u64) -> Option<Self> {
        let bytes = files.read_index(extent).ok()?;
        let header = check_index(&bytes).ok()?;
        let is_of_this = (header.store, header.extent) == (files.store, extent);
        let end = (header.end, header.chain);
        if !is_of_this || files.next_says(extent).is_some_and(|said| said != end) {
            return None;
        }
        Self::decode(&bytes, &header).ok()
    }

    /// Of the checkpoint, if it stands in this extent: without the runs of segments that were deleted up to there.
    fn of_checkpoint(files: &StoreFiles, extent: u64) -> Option<Self> {
        let found = files.checkpoint.as_ref()?;
        if found.position.extent != extent {
            return None;
        }
        let (mut runs, mut paths, mut numbers) = (Vec::new(), Vec::new(), HashMap::new());
        for owned in found.catalog.open.in_order((0, 0)) {
            let number = *numbers.entry(owned.segment).or_insert_with(|| {
                paths.push(found.catalog.path(owned.segment));
                paths.len() as u32 - 1
            });
            runs.push((owned.run, number));
        }
        Some(Self::new(runs, paths, found.position.byte.into()))
    }

    fn new(runs: Vec<(Run, u32)>, paths: Vec<SegmentPath>, until: u64) -> Self {
        let by_first = (0..).zip(&runs);
        let by_first = by_first.map(|(at, (run, segment))| ((*segment, run.first_sequence.0), at));
        Self {
            by_first: by_first.collect(),
            segments: paths.iter().cloned().zip(0..).collect(),
            seen: vec![false; runs.len()],
            told: 0,
            until,
            runs,
            paths,
        }
    }

    fn decode(bytes: &[u8], header: &IndexHeader) -> Result<Self, FormatError> {
        let part = |start: u64, skip: u64, length: usize| -> Result<&[u8], FormatError> {
            let start = start.checked_add(skip).and_then(|start| usize::try_from(start).ok());
            let start = start.ok_or(FormatError::Short)?;
            let end = start.checked_add(length).ok_or(FormatError::Short)?;
            bytes.get(start..end).ok_or(FormatError::Short)
        };
        let name = |bytes| Name::from_bytes(bytes).map_err(|_| FormatError::Invalid("a name against the rules"));
        let (mut runs, mut paths) = (Vec::new(), Vec::new());
        for number in 0..header.segment_count {
            let skip = u64::from(number) * SEGMENT_ROW_BYTES as u64;
            let row = SegmentRow::decode(part(header.segments, skip, SEGMENT_ROW_BYTES)?)?;
            let (space, segment) = (usize::from(row.space_bytes), usize::from(row.segment_bytes));
            let names = part(header.names, u64::from(row.name_offset), space + segment)?;
            let skip = u64::from(row.first_run) * RUN_BYTES as u64;
            let own = part(header.runs, skip, (row.run_count as usize).saturating_mul(RUN_BYTES))?;
            // Rows that share their runs could claim more than the file holds.
            if runs.len() + own.len() / RUN_BYTES > bytes.len() / RUN_BYTES {
                return Err(FormatError::Invalid("runs that belong to several segments"));
            }
            let mut cursor = Cursor::new(own);
            for _ in 0..row.run_count {
                runs.push((take_run(&mut cursor)?, number));
            }
            paths.push(SegmentPath {
                space: name(&names[..space])?,
                segment: name(&names[space..])?,
            });
        }
        runs.sort_unstable_by_key(|(run, _)| run.place());
        Ok(Self::new(runs, paths, u64::MAX))
    }

    /// What was found before this byte, where everything is whole, is not asked for any more.
    pub(crate) fn begin_at(&mut self, byte: u32) {
        let before = self.runs.partition_point(|(run, _)| run.trx_byte < byte);
        self.seen[..before].fill(true);
        self.told = before;
    }

    /// Where the transactions start that stand from byte `from` to `to`, in order.
    pub(crate) fn starts(&self, from: u32, to: u64) -> Vec<u32> {
        let find = |byte: u64| self.runs.partition_point(|(run, _)| u64::from(run.trx_byte) < byte);
        let runs = self.runs.get(find(from.into())..find(to)).unwrap_or_default();
        let mut starts: Vec<u32> = runs.iter().map(|(run, _)| run.trx_byte).collect();
        starts.dedup();
        starts
    }

    /// Which run a section is, wherever it stands.
    fn find(&self, section: &Section<'_>, timestamp: Timestamp) -> Option<usize> {
        let segment = *self.segments.get(&section.path().ok()?)?;
        let at = *self.by_first.get(&(segment, section.first_sequence.0))?;
        let run = &self.runs[at].0;
        (run.count == section.record_count && run.timestamp == timestamp && run.section_offset == section.offset)
            .then_some(at)
    }

    /// Whether a transaction that starts at `at` is the one that stood there.
    pub(crate) fn proves(&self, at: u32, header: &TransactionHeader, transaction: &[u8]) -> bool {
        let mut count = 0;
        let all = sections(header, transaction).all(|section| {
            count += 1;
            let run = section.ok().and_then(|section| self.find(&section, header.timestamp));
            run.is_some_and(|run| self.runs[run].0.trx_byte == at)
        });
        header.kind == Kind::Data && count > 0 && all
    }

    /// Whether something else stood where these records say that they belong: they were never acknowledged, or deleted since.
    pub(crate) fn contradicts(&self, header: &TransactionHeader, transaction: &[u8]) -> bool {
        let mut contradicted = false;
        for section in sections(header, transaction).flatten() {
            if self.find(&section, header.timestamp).is_some() {
                return false;
            }
            let Ok(path) = section.path() else { continue };
            let segment = self.segments.get(&path);
            contradicted |=
                segment.is_some_and(|&segment| self.by_first.contains_key(&(segment, section.first_sequence.0)));
        }
        contradicted
    }

    /// A transaction is found: what should have come before it, and was not told yet, is missing.
    pub(crate) fn found(&mut self, header: &TransactionHeader, transaction: &[u8]) -> Vec<(SequenceRange, u32)> {
        let mut first = usize::MAX;
        let mut last = 0;
        for section in sections(header, transaction).flatten() {
            if let Some(run) = self.find(&section, header.timestamp) {
                self.seen[run] = true;
                (first, last) = (first.min(run), last.max(run + 1));
            }
        }
        if first == usize::MAX {
            return self.before(header.timestamp, None);
        }
        let missing = self.missing_before(first);
        self.told = self.told.max(last);
        missing
    }

    /// What is missing before a transaction of this commit time, of which no run tells. Commit times never fall along a log, so
    /// that the byte at which it stands, unless groups changed places, decides only among those of the same time.
    pub(crate) fn before(&mut self, timestamp: Timestamp, byte: Option<u32>) -> Vec<(SequenceRange, u32)> {
        let earlier = self.runs.partition_point(|(run, _)| run.timestamp < timestamp);
        let until_then = self.runs.partition_point(|(run, _)| run.timestamp <= timestamp);
        let by_place = byte.map_or(0, |byte| self.runs.partition_point(|(run, _)| run.trx_byte < byte));
        self.missing_before(by_place.min(until_then).max(earlier))
    }

    /// What is missing and was not told yet, with the byte where it stood.
    pub(crate) fn rest(&mut self) -> Vec<(SequenceRange, u32)> {
        self.missing_before(self.runs.len())
    }

    fn missing_before(&mut self, end: usize) -> Vec<(SequenceRange, u32)> {
        let from = self.told;
        self.told = end.max(from);
        let unseen = (from..end).filter(|&at| !self.seen[at]);
        unseen
            .map(|at| {
                let (run, segment) = &self.runs[at];
                let range = SequenceRange {
                    path: self.paths[*segment as usize].clone(),
                    first: run.first_sequence,
                    last: run.last_sequence(),
                };
                (range, run.trx_byte)
            })
            .collect()
    }
}

/// Checks all checksums of an index file.
///
/// # Errors
/// [`FormatError`].
pub(crate) fn check_index(bytes: &[u8]) -> Result<IndexHeader, FormatError> {
    let (header, checksums_crc) = IndexHeader::decode(bytes)?;
    let split = usize::try_from(header.checksums).map_err(|_| FormatError::Short)?;
    let (pages, table) = bytes.split_at_checked(split).ok_or(FormatError::Short)?;
    let pages = pages.get(BLOCK_BYTES..).ok_or(FormatError::Short)?;
    if crc32fast::hash(table) != checksums_crc {
        return Err(FormatError::Checksum);
    }
    let sums = pages
        .chunks(BLOCK_BYTES)
        .flat_map(|page| crc32fast::hash(page).to_le_bytes());
    match sums.eq(table.iter().copied()) {
        true => Ok(header),
        false => Err(FormatError::Checksum),
    }
}

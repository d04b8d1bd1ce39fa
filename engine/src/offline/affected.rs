//! Which entries stand where, by the index file of their extent: what a damaged place held.

use super::SequenceRange;
use super::files::StoreFiles;
use crate::disk::read_all;
use crate::format::index::{IndexHeader, RUN_BYTES, SEGMENT_ROW_BYTES, SegmentRow, take_run};
use crate::format::{Cursor, FormatError};
use crate::index::Run;
use crate::limits::BLOCK_BYTES;
use crate::log::names::FileName;
use crate::model::{Name, SegmentPath};

/// The runs of an extent by place, as its index file has them.
pub(crate) struct IndexedRuns {
    runs: Vec<(Run, u32)>,
    paths: Vec<SegmentPath>,
}

impl IndexedRuns {
    /// Reads an index file; `None` unless it is whole and of this extent.
    pub(crate) fn read(files: &StoreFiles, extent: u64) -> Option<Self> {
        let file = files.open_file(FileName::Index(extent)).ok()?;
        let bytes = read_all(&*file).ok()?;
        let header = check_index(&bytes).ok()?;
        if (header.store, header.extent) != (files.store, extent) {
            return None;
        }
        Self::decode(&bytes, &header).ok()
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
        Ok(Self { runs, paths })
    }

    fn within(&self, from: u64, to: u64) -> &[(Run, u32)] {
        let find = |byte| self.runs.partition_point(|(run, _)| u64::from(run.trx_byte) < byte);
        let (start, end) = (find(from), find(to));
        self.runs.get(start..end).unwrap_or_default()
    }

    /// Where the transactions start that stand from byte `from` to `to`, in order.
    pub(crate) fn starts(&self, from: u32, to: u64) -> Vec<u32> {
        let runs = self.within(u64::from(from), to);
        let mut starts: Vec<u32> = runs.iter().map(|(run, _)| run.trx_byte).collect();
        starts.dedup();
        starts
    }

    /// The entries that stand from byte `from` to `to`, but for those of the transactions that start at `whole`, which is
    /// sorted.
    pub(crate) fn entries(&self, from: u32, to: u64, whole: &[u32]) -> Vec<SequenceRange> {
        let gone = self.within(u64::from(from), to).iter();
        let gone = gone.filter(|(run, _)| whole.binary_search(&run.trx_byte).is_err());
        let mut gone: Vec<(u32, Run)> = gone.map(|&(run, segment)| (segment, run)).collect();
        gone.sort_by_key(|(segment, run)| (*segment, run.place()));
        let mut ranges: Vec<SequenceRange> = Vec::new();
        let mut last_segment = None;
        for (segment, run) in gone {
            if last_segment.replace(segment) == Some(segment)
                && let Some(range) = ranges.last_mut()
                && range.last.next() == run.first_sequence
            {
                range.last = run.last_sequence();
                continue;
            }
            ranges.push(SequenceRange {
                path: self.paths[segment as usize].clone(),
                first: run.first_sequence,
                last: run.last_sequence(),
            });
        }
        ranges.sort_unstable();
        ranges
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

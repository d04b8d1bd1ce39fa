//! Reads the index file of a sealed extent in place: a lookup reads a few pages, each checked against its checksum.

use std::sync::Arc;

use crate::disk::DiskFile;
use crate::error::{DamagedPlace, SegmentsHit, StorageError};
use crate::format::index::{
    IndexHeader, POSTING_BYTES, Posting, RUN_BYTES, SEGMENT_ROW_BYTES, SPACE_ROW_BYTES, SegmentRow, SpaceRow,
    path_hash, take_run,
};
use crate::format::run::{Run, SectionAt};
use crate::format::{Cursor, FormatError};
use crate::limits::BLOCK_BYTES;
use streamkit_record::{Name, SegmentPath, Sequence};

/// An open index file.
pub(crate) struct IndexFile {
    file: Arc<dyn DiskFile>,
    pub(crate) header: IndexHeader,
    /// Checksums of the pages behind the header page.
    checksums: Vec<u32>,
}

impl IndexFile {
    /// Opens an index, reading its header and page checksums only.
    ///
    /// # Errors
    /// `Ok(Err)` when it is not a whole index and must be made anew; `Err` when the disk refuses.
    pub(crate) fn open(file: Arc<dyn DiskFile>) -> Result<Result<Self, FormatError>, StorageError> {
        let read = |offset: u64, length: usize| -> Result<Vec<u8>, StorageError> {
            let mut bytes = vec![0; length];
            let got = file
                .read_at(offset, &mut bytes)
                .map_err(|e| StorageError::io("read", file.path(), e))?;
            bytes.truncate(got);
            Ok(bytes)
        };
        let size = file
            .size()
            .map_err(|e| StorageError::io("read the size of", file.path(), e))?;
        let (header, checksums_crc) = match IndexHeader::decode(&read(0, BLOCK_BYTES)?) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let table_bytes = size.saturating_sub(header.checksums);
        if table_bytes / 4 != (header.checksums / BLOCK_BYTES as u64) - 1 {
            return Ok(Err(FormatError::Short));
        }
        let table = read(header.checksums, usize::try_from(table_bytes).unwrap_or(0))?;
        if crc32fast::hash(&table) != checksums_crc {
            return Ok(Err(FormatError::Checksum));
        }
        let checksums = table
            .chunks_exact(4)
            .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect();
        Ok(Ok(Self {
            file,
            header,
            checksums,
        }))
    }

    fn pages(&self) -> Pages<'_> {
        Pages {
            index: self,
            first: 0,
            bytes: Vec::new(),
        }
    }

    fn damaged(&self, found: FormatError) -> StorageError {
        self.damaged_at(0, found)
    }

    fn damaged_at(&self, byte: u64, found: FormatError) -> StorageError {
        StorageError::Corrupt {
            store: self.header.store,
            place: DamagedPlace::Extent {
                extent: self.header.extent,
                byte,
            },
            found: format!("index file {}: {found}", self.file.path().display()),
            segments: SegmentsHit::None,
        }
    }

    /// The row of a segment, if the extent holds it.
    pub(crate) fn segment(&self, path: &SegmentPath) -> Result<Option<SegmentRow>, StorageError> {
        let hash = path_hash(path);
        let bucket = u64::from(hash % self.header.bucket_count);
        let mut pages = self.pages();
        let mut cursor = Cursor::new(pages.read(self.header.buckets + bucket * 4, 8)?);
        let mut range = || -> Result<(u32, u32), FormatError> { Ok((cursor.u32()?, cursor.u32()?)) };
        let (from, to) = range().map_err(|e| self.damaged(e))?;
        if from > to || to > self.header.segment_count {
            return Err(self.damaged(FormatError::Invalid("buckets out of order")));
        }
        for number in from..to {
            let at = self.header.segments + u64::from(number) * SEGMENT_ROW_BYTES as u64;
            let row = SegmentRow::decode(pages.read(at, SEGMENT_ROW_BYTES)?).map_err(|e| self.damaged(e))?;
            if row.hash == hash {
                let (space, segment) = (usize::from(row.space_bytes), usize::from(row.segment_bytes));
                // The names stand elsewhere: the rows' pages are kept for the next row, if there is one.
                let mut pages = self.pages();
                let names = pages.read(self.header.names + u64::from(row.name_offset), space + segment)?;
                let wanted = (path.space.as_str().as_bytes(), path.segment.as_str().as_bytes());
                if (&names[..space], &names[space..]) == wanted {
                    return Ok(Some(row));
                }
            }
        }
        Ok(None)
    }

    fn runs(&self, pages: &mut Pages<'_>, row: &SegmentRow, from: u32, count: u32) -> Result<Vec<Run>, StorageError> {
        let start = self.header.runs + (u64::from(row.first_run) + u64::from(from)) * RUN_BYTES as u64;
        let mut cursor = Cursor::new(pages.read(start, count as usize * RUN_BYTES)?);
        (0..count)
            .map(|_| take_run(&mut cursor).map_err(|e| self.damaged(e)))
            .collect()
    }

    /// Up to `max` runs of a segment, from the one that holds `from`, or the next.
    pub(crate) fn segment_runs(&self, path: &SegmentPath, from: Sequence, max: u32) -> Result<Vec<Run>, StorageError> {
        match self.segment(path)? {
            Some(row) => self.runs_of(&row, from, max),
            None => Ok(Vec::new()),
        }
    }

    /// As [`IndexFile::segment_runs`], of a row that was found here.
    pub(crate) fn runs_of(&self, row: &SegmentRow, from: Sequence, max: u32) -> Result<Vec<Run>, StorageError> {
        let mut pages = self.pages();
        let first = self.first_run(&mut pages, row, from)?;
        self.runs(&mut pages, row, first, max.min(row.run_count - first))
    }

    /// Up to `max` runs of a row that was found here, at or behind a place.
    pub(crate) fn runs_behind(&self, row: &SegmentRow, from: SectionAt, max: u32) -> Result<Vec<Run>, StorageError> {
        let mut pages = self.pages();
        let (mut low, mut high) = (0, if from == (0, 0) { 0 } else { row.run_count });
        while low < high {
            let middle = low + (high - low) / 2;
            let run = match *self.runs(&mut pages, row, middle, 1)? {
                [run] => run,
                _ => return Err(self.damaged(FormatError::Short)),
            };
            match run.place() < from {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        self.runs(&mut pages, row, low, max.min(row.run_count - low))
    }

    /// Goes through all segments of the extent for those that have a run in the transaction at a place. Rows and their runs
    /// stand in one order, so each page is read about once.
    pub(crate) fn each_at(&self, trx_byte: u32, mut found: impl FnMut(SegmentPath, &Run)) -> Result<(), StorageError> {
        let (mut rows, mut pages, mut names) = (self.pages(), self.pages(), self.pages());
        for number in 0..self.header.segment_count {
            let at = self.header.segments + u64::from(number) * SEGMENT_ROW_BYTES as u64;
            let row = SegmentRow::decode(rows.read(at, SEGMENT_ROW_BYTES)?).map_err(|e| self.damaged(e))?;
            let (mut low, mut high) = (0, row.run_count);
            while low < high {
                let middle = low + (high - low) / 2;
                let run = match *self.runs(&mut pages, &row, middle, 1)? {
                    [run] => run,
                    _ => return Err(self.damaged(FormatError::Short)),
                };
                match run.trx_byte.cmp(&trx_byte) {
                    std::cmp::Ordering::Less => low = middle + 1,
                    std::cmp::Ordering::Greater => high = middle,
                    std::cmp::Ordering::Equal => {
                        let (space, segment) = (usize::from(row.space_bytes), usize::from(row.segment_bytes));
                        let name = names.read(self.header.names + u64::from(row.name_offset), space + segment)?;
                        let take = |bytes| {
                            Name::from_bytes(bytes)
                                .map_err(|_| self.damaged(FormatError::Invalid("a name against the rules")))
                        };
                        let (space, segment) = (take(&name[..space])?, take(&name[space..])?);
                        found(SegmentPath { space, segment }, &run);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The number of the run that holds `from`, or of the next.
    fn first_run(&self, pages: &mut Pages<'_>, row: &SegmentRow, from: Sequence) -> Result<u32, StorageError> {
        let ahead = from.0.saturating_sub(row.first_sequence.0);
        let (mut low, mut high) = (0, row.run_count);
        if ahead == 0 {
            return Ok(0);
        }
        // Sequences have no holes. So it is no later than this, which is it where each run has one entry; and where all have
        // as many, it is as far in proportion. A halving after each such guess bounds the search where they have not.
        let mut probe = u32::try_from(ahead)
            .unwrap_or(u32::MAX)
            .min(row.run_count.saturating_sub(1));
        let mut halve = false;
        while low < high {
            let run = match *self.runs(pages, row, probe, 1)? {
                [run] => run,
                _ => return Err(self.damaged(FormatError::Short)),
            };
            if run.last_sequence() < from {
                low = probe + 1;
            } else if run.first_sequence <= from {
                return Ok(probe);
            } else {
                high = probe;
            }
            let spread = run.first_sequence.0.saturating_sub(row.first_sequence.0);
            let proportion = u128::from(ahead) * u128::from(probe) / u128::from(spread.max(1));
            probe = match u32::try_from(proportion) {
                Ok(guess) if !halve => guess.clamp(low, high.saturating_sub(1).max(low)),
                _ => low + (high - low) / 2,
            };
            halve = !halve;
        }
        Ok(low)
    }

    fn space(&self, space: &Name) -> Result<Option<SpaceRow>, StorageError> {
        let (mut low, mut high) = (0, self.header.space_count);
        let (mut rows, mut names) = (self.pages(), self.pages());
        while low < high {
            let middle = low + (high - low) / 2;
            let at = self.header.spaces + u64::from(middle) * SPACE_ROW_BYTES as u64;
            let row = SpaceRow::decode(rows.read(at, SPACE_ROW_BYTES)?).map_err(|e| self.damaged(e))?;
            let name = names.read(self.header.names + u64::from(row.name_offset), row.name_bytes as usize)?;
            match name.cmp(space.as_str().as_bytes()) {
                std::cmp::Ordering::Equal => return Ok(Some(row)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// How many sections a space has.
    pub(crate) fn posting_count(&self, space: &Name) -> Result<u32, StorageError> {
        Ok(self.space(space)?.map_or(0, |row| row.posting_count))
    }

    /// Up to `max` postings of a space at or after a place, in log order.
    pub(crate) fn postings(&self, space: &Name, from: SectionAt, max: u32) -> Result<Vec<Posting>, StorageError> {
        let Some(row) = self.space(space)? else {
            return Ok(Vec::new());
        };
        let mut pages = self.pages();
        let mut read = |number: u32, count: u32| -> Result<Vec<Posting>, StorageError> {
            let start =
                self.header.postings + (u64::from(row.first_posting) + u64::from(number)) * POSTING_BYTES as u64;
            let bytes = pages.read(start, count as usize * POSTING_BYTES)?;
            bytes
                .chunks(POSTING_BYTES)
                .map(|b| Posting::decode(b).map_err(|e| self.damaged(e)))
                .collect()
        };
        let (mut low, mut high) = (0, if from == (0, 0) { 0 } else { row.posting_count });
        while low < high {
            let middle = low + (high - low) / 2;
            if read(middle, 1)?[0].place < from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        read(low, max.min(row.posting_count - low))
    }
}

/// The pages that one lookup read last, checked: what stands in the same page is not read again.
struct Pages<'a> {
    index: &'a IndexFile,
    /// Number of the first one; 0, which holds the header, for none.
    first: u64,
    bytes: Vec<u8>,
}

impl Pages<'_> {
    /// Bytes of the file, every page they touch checked.
    fn read(&mut self, offset: u64, length: usize) -> Result<&[u8], StorageError> {
        const PAGE: u64 = BLOCK_BYTES as u64;
        let index = self.index;
        let damaged = |found| index.damaged_at(offset, found);
        let end = offset
            .checked_add(length as u64)
            .filter(|&end| offset >= PAGE && end <= index.header.checksums)
            .ok_or_else(|| damaged(FormatError::Short))?;
        let start = self.first * PAGE;
        if self.first == 0 || offset < start || end > start + self.bytes.len() as u64 {
            let first = offset / PAGE;
            self.first = 0; // whatever fails below
            let bytes = usize::try_from(end.div_ceil(PAGE) * PAGE - first * PAGE);
            self.bytes.resize(bytes.map_err(|_| damaged(FormatError::Short))?, 0);
            let read = index.file.read_at(first * PAGE, &mut self.bytes);
            let got = read.map_err(|e| StorageError::io("read", index.file.path(), e))?;
            if got < self.bytes.len() {
                return Err(damaged(FormatError::Short));
            }
            let checksums = usize::try_from(first)
                .ok()
                .and_then(|first| index.checksums.get(first - 1..));
            let mut checksums = checksums.unwrap_or_default().iter();
            for page in self.bytes.chunks(BLOCK_BYTES) {
                if checksums.next() != Some(&crc32fast::hash(page)) {
                    return Err(damaged(FormatError::Checksum));
                }
            }
            self.first = first;
        }
        let skip = (offset - self.first * PAGE) as usize;
        Ok(&self.bytes[skip..skip + length])
    }
}

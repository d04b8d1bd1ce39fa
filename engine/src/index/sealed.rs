//! Reads the index file of a sealed extent in place: a lookup reads a few pages, each checked against its checksum.

use std::sync::Arc;

use super::{Place, Run};
use crate::disk::DiskFile;
use crate::error::StorageError;
use crate::format::index::{
    IndexHeader, POSTING_BYTES, Posting, RUN_BYTES, SEGMENT_ROW_BYTES, SPACE_ROW_BYTES, SegmentRow, SpaceRow,
    path_hash, take_run,
};
use crate::format::{Cursor, FormatError};
use crate::limits::BLOCK_BYTES;
use crate::model::{Name, SegmentPath, Sequence};

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

    /// Reads bytes, checking every page they touch.
    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        let damaged = |found: FormatError| StorageError::Corrupt {
            store: self.header.store,
            extent: self.header.extent,
            byte: offset,
            found: format!("index file {}: {found}", self.file.path().display()),
        };
        let page = BLOCK_BYTES as u64;
        let end = offset
            .checked_add(length as u64)
            .filter(|&end| end <= self.header.checksums);
        let end = end
            .filter(|_| offset >= page)
            .ok_or_else(|| damaged(FormatError::Short))?;
        let first_page = offset / page;
        let mut bytes = vec![0; usize::try_from(end.div_ceil(page) * page - first_page * page).unwrap_or(0)];
        let read = self.file.read_at(first_page * page, &mut bytes);
        let got = read.map_err(|e| StorageError::io("read", self.file.path(), e))?;
        if got < bytes.len() {
            return Err(damaged(FormatError::Short));
        }
        for (at, chunk) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let expected = usize::try_from(first_page)
                .ok()
                .and_then(|first| self.checksums.get(first - 1 + at));
            if expected != Some(&crc32fast::hash(chunk)) {
                return Err(damaged(FormatError::Checksum));
            }
        }
        let skip = (offset - first_page * page) as usize;
        bytes.drain(..skip);
        bytes.truncate(length);
        Ok(bytes)
    }

    fn damaged(&self, found: FormatError) -> StorageError {
        StorageError::Corrupt {
            store: self.header.store,
            extent: self.header.extent,
            byte: 0,
            found: format!("index file {}: {found}", self.file.path().display()),
        }
    }

    /// The row of a segment, if the extent holds it.
    pub(crate) fn segment(&self, path: &SegmentPath) -> Result<Option<SegmentRow>, StorageError> {
        let hash = path_hash(path);
        let bucket = u64::from(hash % self.header.bucket_count);
        let bounds = self.read(self.header.buckets + bucket * 4, 8)?;
        let mut cursor = Cursor::new(&bounds);
        let range = || -> Result<(u32, u32), FormatError> { Ok((cursor.u32()?, cursor.u32()?)) };
        let (from, to) = { range }().map_err(|e| self.damaged(e))?;
        let count = to.checked_sub(from).filter(|_| to <= self.header.segment_count);
        let count = count.ok_or_else(|| self.damaged(FormatError::Invalid("buckets out of order")))? as usize;
        let start = self.header.segments + u64::from(from) * SEGMENT_ROW_BYTES as u64;
        for row in self.read(start, count * SEGMENT_ROW_BYTES)?.chunks(SEGMENT_ROW_BYTES) {
            let row = SegmentRow::decode(row).map_err(|e| self.damaged(e))?;
            if row.hash == hash {
                let (space, segment) = (usize::from(row.space_bytes), usize::from(row.segment_bytes));
                let names = self.read(self.header.names + u64::from(row.name_offset), space + segment)?;
                let wanted = (path.space.as_str().as_bytes(), path.segment.as_str().as_bytes());
                if (&names[..space], &names[space..]) == wanted {
                    return Ok(Some(row));
                }
            }
        }
        Ok(None)
    }

    fn run(&self, row: &SegmentRow, number: u32) -> Result<Run, StorageError> {
        Ok(self.runs(row, number, 1)?[0])
    }

    fn runs(&self, row: &SegmentRow, number: u32, count: u32) -> Result<Vec<Run>, StorageError> {
        let start = self.header.runs + (u64::from(row.first_run) + u64::from(number)) * RUN_BYTES as u64;
        let bytes = self.read(start, count as usize * RUN_BYTES)?;
        let mut cursor = Cursor::new(&bytes);
        (0..count)
            .map(|_| take_run(&mut cursor).map_err(|e| self.damaged(e)))
            .collect()
    }

    /// Up to `max` runs of a segment, from the one that holds `from`, or the next.
    pub(crate) fn segment_runs(&self, path: &SegmentPath, from: Sequence, max: u32) -> Result<Vec<Run>, StorageError> {
        let Some(row) = self.segment(path)? else {
            return Ok(Vec::new());
        };
        let (mut low, mut high) = (0, row.run_count);
        if from <= row.first_sequence {
            high = 0;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.run(&row, middle)?.last_sequence() < from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.runs(&row, low, max.min(row.run_count - low))
    }

    fn space(&self, space: &Name) -> Result<Option<SpaceRow>, StorageError> {
        let (mut low, mut high) = (0, self.header.space_count);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = self.header.spaces + u64::from(middle) * SPACE_ROW_BYTES as u64;
            let row = SpaceRow::decode(&self.read(at, SPACE_ROW_BYTES)?).map_err(|e| self.damaged(e))?;
            let name = self.read(self.header.names + u64::from(row.name_offset), row.name_bytes as usize)?;
            match name.as_slice().cmp(space.as_str().as_bytes()) {
                std::cmp::Ordering::Equal => return Ok(Some(row)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// Up to `max` postings of a space at or after a place, in log order.
    pub(crate) fn postings(&self, space: &Name, from: Place, max: u32) -> Result<Vec<Posting>, StorageError> {
        let Some(row) = self.space(space)? else {
            return Ok(Vec::new());
        };
        let read = |number: u32, count: u32| -> Result<Vec<Posting>, StorageError> {
            let start =
                self.header.postings + (u64::from(row.first_posting) + u64::from(number)) * POSTING_BYTES as u64;
            let bytes = self.read(start, count as usize * POSTING_BYTES)?;
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

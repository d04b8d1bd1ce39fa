//! The index file of a sealed extent: its segments and the places of their runs. It is used in place: finding a
//! segment takes reading a bucket, its row, its name and its runs, however many segments there are. A table at the end
//! has a checksum for every page of 4 KiB, and the header's checksum covers that table.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::run::{Run, SectionAt};
use super::{Cursor, FormatError, file_prefix};
use crate::limits::{BLOCK_BYTES, FORMAT_VERSION};
use streamkit_record::{SegmentPath, Sequence, StoreId, Timestamp};

const MAGIC: [u8; 8] = *b"SKINDEX\0";

/// Bytes of a row of the segment table.
pub const SEGMENT_ROW_BYTES: usize = 40;
/// Bytes of a run.
pub const RUN_BYTES: usize = 28;
/// Bytes of a row of the space table.
pub const SPACE_ROW_BYTES: usize = 20;
/// Bytes of a posting: one section of a space.
pub const POSTING_BYTES: usize = 16;

/// The header page's values. Offsets are bytes in the file, counts are rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexHeader {
    /// The store.
    pub store: StoreId,
    /// The extent this indexes.
    pub extent: u64,
    /// Where that extent's groups end.
    pub end: u32,
    /// Chain of its last group.
    pub chain: u32,
    /// Rows of the bucket table; one more `u32` ends it.
    pub bucket_count: u32,
    /// Rows of the segment table, in bucket order.
    pub segment_count: u32,
    /// Rows of the space table, sorted by name.
    pub space_count: u32,
    /// Where the bucket table starts.
    pub buckets: u64,
    /// Where the segment table starts.
    pub segments: u64,
    /// Where the runs start.
    pub runs: u64,
    /// Where the space table starts.
    pub spaces: u64,
    /// Where the postings start.
    pub postings: u64,
    /// Where the names start.
    pub names: u64,
    /// Where the page checksums start; the pages before it are the ones they cover.
    pub checksums: u64,
}

/// One segment as it goes into an index.
pub struct IndexSegment {
    /// Its path.
    pub path: SegmentPath,
    /// Newest extent before this one that holds it, or 0.
    pub previous_extent: u64,
    /// Its runs, in order; at least one.
    pub runs: Vec<Run>,
}

/// The bucket key of a path.
pub fn path_hash(path: &SegmentPath) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(path.space.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(path.segment.as_str().as_bytes());
    hasher.finalize()
}

pub(crate) fn put_run(out: &mut Vec<u8>, run: &Run) {
    out.extend_from_slice(&run.first_sequence.0.to_le_bytes());
    out.extend_from_slice(&run.timestamp.0.to_le_bytes());
    out.extend_from_slice(&run.trx_byte.to_le_bytes());
    out.extend_from_slice(&run.section_offset.to_le_bytes());
    out.extend_from_slice(&run.count.to_le_bytes());
}

pub(crate) fn take_run(cursor: &mut Cursor<'_>) -> Result<Run, FormatError> {
    let run = Run {
        first_sequence: Sequence(cursor.u64()?),
        timestamp: Timestamp(cursor.i64()?),
        trx_byte: cursor.u32()?,
        section_offset: cursor.u32()?,
        count: cursor.u32()?,
    };
    if run.count == 0 || run.first_sequence.0.checked_add(u64::from(run.count)).is_none() {
        return Err(FormatError::Invalid("a run without entries"));
    }
    Ok(run)
}

/// A posting: the place and commit time of one section of a space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posting {
    /// Where the section is.
    pub place: SectionAt,
    /// When it was committed.
    pub timestamp: Timestamp,
}

/// A row of the segment table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentRow {
    /// [`path_hash`] of its path.
    pub hash: u32,
    /// Where its names stand, from the start of the names: space, then segment.
    pub name_offset: u32,
    /// Bytes of the space's name.
    pub space_bytes: u16,
    /// Bytes of the segment's name.
    pub segment_bytes: u16,
    /// Number of its first run.
    pub first_run: u32,
    /// How many runs it has.
    pub run_count: u32,
    /// Newest extent before this one that holds it, or 0.
    pub previous_extent: u64,
    /// First sequence in this extent.
    pub first_sequence: Sequence,
}

impl SegmentRow {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.name_offset.to_le_bytes());
        out.extend_from_slice(&self.space_bytes.to_le_bytes());
        out.extend_from_slice(&self.segment_bytes.to_le_bytes());
        out.extend_from_slice(&self.first_run.to_le_bytes());
        out.extend_from_slice(&self.run_count.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.previous_extent.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.0.to_le_bytes());
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`FormatError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let hash = cursor.u32()?;
        let name_offset = cursor.u32()?;
        let (space_bytes, segment_bytes) = (cursor.u16()?, cursor.u16()?);
        let (first_run, run_count) = (cursor.u32()?, cursor.u32()?);
        cursor.u32()?;
        let (previous_extent, first_sequence) = (cursor.u64()?, Sequence(cursor.u64()?));
        Ok(Self {
            hash,
            name_offset,
            space_bytes,
            segment_bytes,
            first_run,
            run_count,
            previous_extent,
            first_sequence,
        })
    }
}

/// A row of the space table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpaceRow {
    /// Where its name stands, from the start of the names.
    pub name_offset: u32,
    /// Bytes of its name.
    pub name_bytes: u32,
    /// Number of its first posting.
    pub first_posting: u32,
    /// How many postings it has.
    pub posting_count: u32,
}

impl SpaceRow {
    /// Reads a row.
    ///
    /// # Errors
    /// [`FormatError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes);
        Ok(Self {
            name_offset: cursor.u32()?,
            name_bytes: cursor.u32()?,
            first_posting: cursor.u32()?,
            posting_count: cursor.u32()?,
        })
    }
}

impl Posting {
    /// Reads a posting.
    ///
    /// # Errors
    /// [`FormatError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes);
        Ok(Self {
            place: (cursor.u32()?, cursor.u32()?),
            timestamp: Timestamp(cursor.i64()?),
        })
    }
}

fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("an index of an extent of 1 GiB is below 4 GiB")
}

/// Encodes the index of an extent. Segments may come in any order; equal input gives equal bytes.
pub fn encode(store: StoreId, extent: u64, end: u32, chain: u32, mut segments: Vec<IndexSegment>) -> Vec<u8> {
    let bucket_count = offset(segments.len().max(1).div_ceil(4).next_power_of_two());
    segments.sort_unstable_by(|a, b| {
        let key = |s: &IndexSegment| (path_hash(&s.path) % bucket_count, path_hash(&s.path));
        key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
    });
    let (mut names, mut rows, mut runs, mut buckets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut spaces: BTreeMap<&str, Vec<Posting>> = BTreeMap::new();
    for (number, segment) in segments.iter().enumerate() {
        let hash = path_hash(&segment.path);
        while buckets.len() <= (hash % bucket_count) as usize {
            buckets.push(offset(number));
        }
        let (space, name) = (segment.path.space.as_str(), segment.path.segment.as_str());
        let row = SegmentRow {
            hash,
            name_offset: offset(names.len()),
            space_bytes: u16::try_from(space.len()).expect("names have at most 512 bytes"),
            segment_bytes: u16::try_from(name.len()).expect("names have at most 512 bytes"),
            first_run: offset(runs.len() / RUN_BYTES),
            run_count: offset(segment.runs.len()),
            previous_extent: segment.previous_extent,
            first_sequence: segment.runs[0].first_sequence,
        };
        row.encode(&mut rows);
        names.extend_from_slice(space.as_bytes());
        names.extend_from_slice(name.as_bytes());
        for run in &segment.runs {
            put_run(&mut runs, run);
            spaces.entry(space).or_default().push(Posting {
                place: run.place(),
                timestamp: run.timestamp,
            });
        }
    }
    while buckets.len() <= bucket_count as usize {
        buckets.push(offset(segments.len()));
    }
    let (mut space_rows, mut postings) = (Vec::new(), Vec::new());
    let space_count = offset(spaces.len());
    for (space, mut places) in spaces {
        places.sort_unstable_by_key(|posting| posting.place);
        for number in [names.len(), space.len(), postings.len() / POSTING_BYTES, places.len()] {
            space_rows.extend_from_slice(&offset(number).to_le_bytes());
        }
        space_rows.extend_from_slice(&[0; 4]);
        names.extend_from_slice(space.as_bytes());
        for posting in places {
            postings.extend_from_slice(&posting.place.0.to_le_bytes());
            postings.extend_from_slice(&posting.place.1.to_le_bytes());
            postings.extend_from_slice(&posting.timestamp.0.to_le_bytes());
        }
    }
    let mut out = vec![0; BLOCK_BYTES];
    let mut place = |bytes: &[u8]| {
        let start = out.len() as u64;
        out.extend_from_slice(bytes);
        start
    };
    let bucket_bytes: Vec<u8> = buckets.iter().flat_map(|row| row.to_le_bytes()).collect();
    let header = IndexHeader {
        store,
        extent,
        end,
        chain,
        bucket_count,
        segment_count: offset(segments.len()),
        space_count,
        buckets: place(&bucket_bytes),
        segments: place(&rows),
        runs: place(&runs),
        spaces: place(&space_rows),
        postings: place(&postings),
        names: place(&names),
        checksums: 0,
    };
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    let header = IndexHeader {
        checksums: out.len() as u64,
        ..header
    };
    let checksums: Vec<u8> = out[BLOCK_BYTES..]
        .chunks(BLOCK_BYTES)
        .flat_map(|page| crc32fast::hash(page).to_le_bytes())
        .collect();
    header.encode(&mut out[..BLOCK_BYTES], crc32fast::hash(&checksums));
    out.extend_from_slice(&checksums);
    out
}

impl IndexHeader {
    fn encode(&self, page: &mut [u8], checksums_crc: u32) {
        let mut out = Vec::with_capacity(BLOCK_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2 + 4]);
        out.extend_from_slice(self.store.0.as_bytes());
        out.extend_from_slice(&self.extent.to_le_bytes());
        for number in [
            self.end,
            self.chain,
            self.bucket_count,
            self.segment_count,
            self.space_count,
            checksums_crc,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [
            self.buckets,
            self.segments,
            self.runs,
            self.spaces,
            self.postings,
            self.names,
            self.checksums,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(BLOCK_BYTES, 0);
        let crc = crc32fast::hash(&out[16..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        page.copy_from_slice(&out);
    }

    /// Reads the header page; also returns the checksum of the table of page checksums.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode(page: &[u8]) -> Result<(Self, u32), FormatError> {
        let page = page.get(..BLOCK_BYTES).ok_or(FormatError::Short)?;
        let mut cursor = Cursor::new(page);
        file_prefix(&mut cursor, MAGIC)?;
        if cursor.u32()? != crc32fast::hash(&page[16..]) {
            return Err(FormatError::Checksum);
        }
        let store = StoreId(Uuid::from_bytes(cursor.array()?));
        let extent = cursor.u64()?;
        let (end, chain, bucket_count) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let (segment_count, space_count, checksums_crc) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let header = Self {
            store,
            extent,
            end,
            chain,
            bucket_count,
            segment_count,
            space_count,
            buckets: cursor.u64()?,
            segments: cursor.u64()?,
            runs: cursor.u64()?,
            spaces: cursor.u64()?,
            postings: cursor.u64()?,
            names: cursor.u64()?,
            checksums: cursor.u64()?,
        };
        if header.bucket_count == 0 || header.checksums < BLOCK_BYTES as u64 {
            return Err(FormatError::Invalid("an index header that cannot be"));
        }
        Ok((header, checksums_crc))
    }
}

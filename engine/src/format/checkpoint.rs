//! The checkpoint's bytes: the state of each segment at a position of the log, the runs of its open extent, and where
//! segments began after a deletion.

use std::time::Duration;

use uuid::Uuid;

use super::extent_header::LogState;
use super::index::{put_run, take_run};
use super::run::Run;
use super::{Cursor, FormatError, file_prefix};
use crate::limits::{FORMAT_VERSION, is_ttl};
use streamkit_record::{FencingToken, Lease, LogPosition, Name, SegmentPath, Sequence, StoreId, Timestamp};

const MAGIC: [u8; 8] = *b"SKCHECKP";
const PREFIX_BYTES: usize = 16;

/// Bytes of a segment at least: its space's name, which may stand before, its name, an extent, a range and two times.
const SEGMENT_BYTES_MIN: usize = 2 + 3 + 4 + 4 * 8;

/// What a checkpoint begins with.
#[derive(Clone, Copy)]
pub(crate) struct CheckpointHead {
    pub(crate) store: StoreId,
    /// Everything before it is in the checkpoint.
    pub(crate) position: LogPosition,
    pub(crate) state: LogState,
}

/// What a checkpoint says of a segment, beside its name.
pub(crate) struct CheckpointRow {
    pub(crate) last_extent: u32,
    pub(crate) first_sequence: Sequence,
    pub(crate) first_timestamp: Timestamp,
    pub(crate) head: Sequence,
    pub(crate) last_timestamp: Timestamp,
}

/// Writes a checkpoint: the segments, then the runs, then the deletions. Each of the three begins with how many there are.
pub(crate) struct CheckpointWriter {
    out: Vec<u8>,
    /// Where the count of the present table stands.
    count_at: usize,
    count: u64,
}

impl CheckpointWriter {
    pub(crate) fn new(head: &CheckpointHead, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2 + 4]);
        out.extend_from_slice(head.store.0.as_bytes());
        put_position(&mut out, head.position);
        head.state.encode(&mut out);
        let mut writer = Self {
            out,
            count_at: 0,
            count: 0,
        };
        writer.begin_table();
        writer
    }

    fn begin_table(&mut self) {
        (self.count_at, self.count) = (self.out.len(), 0);
        self.out.extend_from_slice(&0_u64.to_le_bytes());
    }

    fn end_table(&mut self) {
        self.out[self.count_at..self.count_at + 8].copy_from_slice(&self.count.to_le_bytes());
    }

    /// Ends one table and begins the next. Where that is.
    pub(crate) fn next_table(&mut self) -> usize {
        self.end_table();
        self.begin_table();
        self.count_at
    }

    /// Rows of the present table.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// A segment. A space's name stands once, before its first segment.
    pub(crate) fn segment(&mut self, space: Option<&Name>, name: &[u8], row: &CheckpointRow) {
        let out = &mut self.out;
        put_name(out, space.map_or(&[], |space| space.as_str().as_bytes()));
        put_name(out, name);
        out.extend_from_slice(&row.last_extent.to_le_bytes());
        out.extend_from_slice(&row.first_sequence.0.to_le_bytes());
        out.extend_from_slice(&row.first_timestamp.0.to_le_bytes());
        out.extend_from_slice(&row.head.0.to_le_bytes());
        out.extend_from_slice(&row.last_timestamp.0.to_le_bytes());
        self.count += 1;
    }

    /// A run of the segment that stands at `ordinal` in the first table.
    pub(crate) fn run(&mut self, ordinal: u32, previous_extent: u32, run: &Run) {
        self.out.extend_from_slice(&ordinal.to_le_bytes());
        self.out.extend_from_slice(&previous_extent.to_le_bytes());
        put_run(&mut self.out, run);
        self.count += 1;
    }

    /// Where a segment began behind a deletion.
    pub(crate) fn deletion(&mut self, space: &Name, name: &[u8], at: LogPosition) {
        put_name(&mut self.out, space.as_str().as_bytes());
        put_name(&mut self.out, name);
        put_position(&mut self.out, at);
        self.count += 1;
    }

    /// The newest fencing token; behind it the leases. Both stand there only once a lease was granted, so that a checkpoint of
    /// others is what it was before there were leases.
    pub(crate) fn last_token(&mut self, token: FencingToken) {
        self.end_table();
        self.out.extend_from_slice(&token.0.to_le_bytes());
        self.begin_table();
    }

    /// A lease.
    pub(crate) fn lease(&mut self, key: &Name, holder: &Name, token: FencingToken, ttl: Duration) {
        put_name(&mut self.out, key.as_str().as_bytes());
        put_name(&mut self.out, holder.as_str().as_bytes());
        self.out.extend_from_slice(&token.0.to_le_bytes());
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.out.extend_from_slice(&ttl.to_le_bytes());
        self.count += 1;
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.end_table();
        let crc = crc32fast::hash(&self.out[PREFIX_BYTES..]);
        self.out[12..16].copy_from_slice(&crc.to_le_bytes());
        self.out
    }
}

/// Reads a checkpoint, in the order in which it is written.
pub(crate) struct CheckpointReader<'a> {
    bytes: &'a [u8],
    cursor: Cursor<'a>,
}

impl<'a> CheckpointReader<'a> {
    /// Checks the checksum, which says that an engine wrote it, and reads its head.
    ///
    /// # Errors
    /// [`FormatError`], here and of all that follows.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<(Self, CheckpointHead), FormatError> {
        let mut cursor = Cursor::new(bytes);
        file_prefix(&mut cursor, MAGIC)?;
        if cursor.u32()? != crc32fast::hash(&bytes[PREFIX_BYTES..]) {
            return Err(FormatError::Checksum);
        }
        let head = CheckpointHead {
            store: StoreId(Uuid::from_bytes(cursor.array()?)),
            position: take_position(&mut cursor)?,
            state: LogState::decode(&mut cursor)?,
        };
        Ok((Self { bytes, cursor }, head))
    }

    /// How many rows a table has.
    pub(crate) fn count(&mut self) -> Result<u64, FormatError> {
        self.cursor.u64()
    }

    /// How many segments there are: no more than there are bytes for.
    pub(crate) fn segment_count(&mut self) -> Result<u64, FormatError> {
        let count = self.cursor.u64()?;
        match count > (self.cursor.remaining() / SEGMENT_BYTES_MIN) as u64 {
            true => Err(FormatError::Short),
            false => Ok(count),
        }
    }

    /// A segment: its space where that is another than the one's before, its name, and what is said of it.
    pub(crate) fn segment(&mut self) -> Result<(Option<Name>, &'a str, CheckpointRow), FormatError> {
        let cursor = &mut self.cursor;
        let length = cursor.u16()? as usize;
        let space = match length {
            0 => None,
            _ => Some(Name::from_bytes(cursor.slice(length)?).map_err(|_| AGAINST_THE_RULES)?),
        };
        let name = take_name(cursor)?;
        let row = CheckpointRow {
            last_extent: cursor.u32()?,
            first_sequence: Sequence(cursor.u64()?),
            first_timestamp: Timestamp(cursor.i64()?),
            head: Sequence(cursor.u64()?),
            last_timestamp: Timestamp(cursor.i64()?),
        };
        Ok((space, name, row))
    }

    /// A run: its segment's ordinal, the extent before that holds that segment, and where it is.
    pub(crate) fn run(&mut self) -> Result<(u32, u32, Run), FormatError> {
        Ok((self.cursor.u32()?, self.cursor.u32()?, take_run(&mut self.cursor)?))
    }

    /// Where a segment began behind a deletion.
    pub(crate) fn deletion(&mut self) -> Result<(SegmentPath, LogPosition), FormatError> {
        let path = SegmentPath::new(take_name(&mut self.cursor)?, take_name(&mut self.cursor)?);
        Ok((path.map_err(|_| AGAINST_THE_RULES)?, take_position(&mut self.cursor)?))
    }

    /// The newest fencing token, behind which the leases stand; `None` if there never was one.
    pub(crate) fn last_token(&mut self) -> Result<Option<FencingToken>, FormatError> {
        match self.cursor.remaining() {
            0 => Ok(None),
            _ => self.cursor.u64().map(FencingToken).map(Some),
        }
    }

    /// A lease.
    pub(crate) fn lease(&mut self) -> Result<Lease, FormatError> {
        let name = |text| Name::new(text).map_err(|_| AGAINST_THE_RULES);
        let lease = Lease {
            key: name(take_name(&mut self.cursor)?)?,
            holder: name(take_name(&mut self.cursor)?)?,
            token: FencingToken(self.cursor.u64()?),
            ttl: Duration::from_millis(self.cursor.u64()?),
        };
        match is_ttl(lease.ttl) {
            true => Ok(lease),
            false => Err(FormatError::Invalid("a lease against the rules")),
        }
    }

    /// What stands up to here, but for the deletions that come next.
    pub(crate) fn gist(&self) -> Result<Gist, FormatError> {
        Gist::of(self.bytes, self.cursor.at()).ok_or(FormatError::Short)
    }
}

const AGAINST_THE_RULES: FormatError = FormatError::Invalid("a name against the rules");

fn put_name(out: &mut Vec<u8>, name: &[u8]) {
    let length = u16::try_from(name.len()).expect("names have at most 512 bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(name);
}

fn put_position(out: &mut Vec<u8>, position: LogPosition) {
    out.extend_from_slice(&position.extent.to_le_bytes());
    out.extend_from_slice(&position.byte.to_le_bytes());
}

fn take_position(cursor: &mut Cursor<'_>) -> Result<LogPosition, FormatError> {
    Ok(LogPosition {
        extent: cursor.u64()?,
        byte: cursor.u32()?,
    })
}

fn take_name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, FormatError> {
    let length = cursor.u16()? as usize;
    Name::check(cursor.slice(length)?).map_err(|_| AGAINST_THE_RULES)
}

/// Checksum of what a checkpoint says but for deletions, and how many of those it has: earlier versions kept every deletion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gist {
    crc: u32,
    deletions: u64,
}

impl Gist {
    /// Whether an earlier version may have written this one where this version writes the other.
    pub(crate) fn may_stand_for(self, now: Self) -> bool {
        self.crc == now.crc && (self.deletions > 0) == (now.deletions > 0)
    }

    /// Of a checkpoint whose table of deletions begins there.
    pub(crate) fn of(bytes: &[u8], deletions_at: usize) -> Option<Self> {
        let count = bytes.get(deletions_at..)?.first_chunk()?;
        Some(Self {
            crc: crc32fast::hash(bytes.get(PREFIX_BYTES..deletions_at)?),
            deletions: u64::from_le_bytes(*count),
        })
    }
}

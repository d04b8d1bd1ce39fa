//! The checkpoint: the catalog as it stood at a position of the log, so that opening replays only what came after. It is
//! a cache: when it is missing or damaged the log is replayed from its start.

use uuid::Uuid;

use super::extent_header::LogState;
use super::{Cursor, FormatError};
use crate::index::catalog::{Catalog, Restored};
use crate::index::runs::ExtentRuns;
use crate::index::segments::{Begun, Deletions, Segments};
use crate::limits::FORMAT_VERSION;
use crate::model::{LogPosition, Name, SegmentPath, Sequence, StoreId, Timestamp};

const MAGIC: [u8; 8] = *b"SKCHECKP";
const PREFIX_BYTES: usize = 16;

/// What a checkpoint holds.
pub(crate) struct Checkpoint {
    pub(crate) store: StoreId,
    /// Everything before it is in the catalog.
    pub(crate) position: LogPosition,
    pub(crate) state: LogState,
    pub(crate) catalog: Catalog,
    pub(crate) gist: Gist,
}

/// Bytes of a segment at least: its space's name, which may stand before, its name, an extent, a range and two times.
const SEGMENT_BYTES_MIN: usize = 2 + 3 + 4 + 4 * 8;
/// What stands for "no ordinal".
const NONE: u32 = u32::MAX;

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
    name(cursor.slice(length)?)
}

fn name(bytes: &[u8]) -> Result<&str, FormatError> {
    Name::check(bytes).map_err(|_| FormatError::Invalid("a name against the rules"))
}

/// Encodes a checkpoint of segments and of the runs of the extent that is open at `position`.
pub(crate) fn encode(
    store: StoreId,
    position: LogPosition,
    state: &LogState,
    segments: &Segments,
    open: &ExtentRuns,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096 + segments.len() * 72 + open.len() * 36);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2 + 4]);
    out.extend_from_slice(store.0.as_bytes());
    put_position(&mut out, position);
    state.encode(&mut out);
    let ordinals = put_segments(&mut out, segments, open);
    put_runs(&mut out, open, &ordinals);
    put_deletions(&mut out, segments);
    let crc = crc32fast::hash(&out[PREFIX_BYTES..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Encodes the segments, in order; for each number which of them it is, if there are runs that need it.
fn put_segments(out: &mut Vec<u8>, segments: &Segments, open: &ExtentRuns) -> Vec<u32> {
    let mut ordinals = vec![NONE; if open.len() > 0 { segments.rows.len() } else { 0 }];
    let mut last_space = None;
    out.extend_from_slice(&(segments.len() as u64).to_le_bytes());
    for (ordinal, number) in segments.order.iter().enumerate() {
        let row = &segments.rows[number];
        // A space's name stands once, before its first segment.
        if last_space.replace(row.space) == Some(row.space) {
            out.extend_from_slice(&0u16.to_le_bytes());
        } else {
            put_name(out, segments.spaces[row.space].as_str().as_bytes());
        }
        put_name(out, segments.names.bytes(row.name));
        out.extend_from_slice(&row.last_extent.to_le_bytes());
        out.extend_from_slice(&row.first_sequence.0.to_le_bytes());
        out.extend_from_slice(&row.first_timestamp.0.to_le_bytes());
        out.extend_from_slice(&row.head.0.to_le_bytes());
        out.extend_from_slice(&row.last_timestamp.0.to_le_bytes());
        if let Some(place) = ordinals.get_mut(number as usize) {
            *place = u32::try_from(ordinal).expect("fewer than 2^32 segments");
        }
    }
    ordinals
}

/// Encodes where segments began behind a deletion: what stands before under their names is deleted. Where there is none,
/// the last deletion, since it must be known that there was one.
fn put_deletions(out: &mut Vec<u8>, segments: &Segments) {
    let count_at = out.len();
    let mut count = 0_u64;
    out.extend_from_slice(&count.to_le_bytes());
    let rows = segments.order.iter().map(|number| &segments.rows[number]);
    for row in rows.filter(|row| row.begun != Begun::BEFORE_ALL) {
        put_name(out, segments.spaces[row.space].as_str().as_bytes());
        put_name(out, segments.names.bytes(row.name));
        put_position(out, row.begun.position());
        count += 1;
    }
    if let (0, Deletions::Last(path, at)) = (count, &segments.deletions) {
        put_name(out, path.space.as_str().as_bytes());
        put_name(out, path.segment.as_str().as_bytes());
        put_position(out, *at);
        count = 1;
    }
    out[count_at..count_at + 8].copy_from_slice(&count.to_le_bytes());
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

    /// Of what [`encode`] made of segments.
    pub(crate) fn of_encoded(bytes: &[u8], segments: &Segments) -> Option<Self> {
        let mut deletions = Vec::new();
        put_deletions(&mut deletions, segments);
        Self::of(bytes, bytes.len().checked_sub(deletions.len())?)
    }

    fn of(bytes: &[u8], deletions_at: usize) -> Option<Self> {
        let count = bytes.get(deletions_at..)?.first_chunk()?;
        Some(Self {
            crc: crc32fast::hash(bytes.get(PREFIX_BYTES..deletions_at)?),
            deletions: u64::from_le_bytes(*count),
        })
    }
}

/// Encodes the runs, but for those of deleted segments, which are not among the ordinals.
fn put_runs(out: &mut Vec<u8>, open: &ExtentRuns, ordinals: &[u32]) {
    let count_at = out.len();
    let mut count = 0_u64;
    out.extend_from_slice(&count.to_le_bytes());
    for owned in open.in_order((0, 0)) {
        let ordinal = ordinals[owned.segment as usize];
        if ordinal != NONE {
            let previous = open.previous_extent(owned.segment).unwrap_or(0);
            out.extend_from_slice(&ordinal.to_le_bytes());
            out.extend_from_slice(&previous.to_le_bytes());
            super::index::put_run(out, &owned.run);
            count += 1;
        }
    }
    out[count_at..count_at + 8].copy_from_slice(&count.to_le_bytes());
}

/// Decodes a checkpoint. Its checksum says that an engine wrote it; still nothing in it is taken for granted.
///
/// # Errors
/// [`FormatError`].
pub(crate) fn decode(bytes: &[u8]) -> Result<Checkpoint, FormatError> {
    let mut cursor = Cursor::new(bytes);
    if cursor.array::<8>()? != MAGIC {
        return Err(FormatError::Magic);
    }
    let version = cursor.u16()?;
    if version > FORMAT_VERSION {
        return Err(FormatError::Version(version));
    }
    cursor.u16()?;
    if cursor.u32()? != crc32fast::hash(&bytes[PREFIX_BYTES..]) {
        return Err(FormatError::Checksum);
    }
    let store = StoreId(Uuid::from_bytes(cursor.array()?));
    let position = take_position(&mut cursor)?;
    let state = LogState::decode(&mut cursor)?;
    let mut catalog = take_segments(&mut cursor, position.extent)?;
    take_runs(&mut cursor, &mut catalog)?;
    let gist = Gist::of(bytes, cursor.at()).ok_or(FormatError::Short)?;
    for _ in 0..cursor.u64()? {
        let path = SegmentPath::new(take_name(&mut cursor)?, take_name(&mut cursor)?);
        let path = path.map_err(|_| FormatError::Invalid("a name against the rules"))?;
        catalog.restore_deletion(path, take_position(&mut cursor)?)?;
    }
    catalog.set_last_timestamp(state.last_timestamp);
    Ok(Checkpoint {
        store,
        position,
        state,
        catalog,
        gist,
    })
}

/// Where a checkpoint stands, if all of it is as it must be.
///
/// # Errors
/// [`FormatError`].
pub fn position(bytes: &[u8]) -> Result<LogPosition, FormatError> {
    decode(bytes).map(|checkpoint| checkpoint.position)
}

/// The number of the last transaction that is in a checkpoint, if all of it is as it must be.
///
/// # Errors
/// [`FormatError`].
pub fn last_transaction(bytes: &[u8]) -> Result<u64, FormatError> {
    decode(bytes).map(|checkpoint| checkpoint.state.trx_number)
}

fn take_segments(cursor: &mut Cursor<'_>, extent: u64) -> Result<Catalog, FormatError> {
    let count = cursor.u64()?;
    if count > (cursor.remaining() / SEGMENT_BYTES_MIN) as u64 {
        return Err(FormatError::Short);
    }
    let mut catalog = Catalog::starting_at(extent);
    let mut space: Option<Name> = None;
    for _ in 0..count {
        let length = cursor.u16()? as usize;
        if length > 0 {
            let name = Name::from_bytes(cursor.slice(length)?);
            space = Some(name.map_err(|_| FormatError::Invalid("a name against the rules"))?);
        }
        let segment = Restored {
            name: take_name(cursor)?,
            last_extent: cursor.u32()?,
            first_sequence: Sequence(cursor.u64()?),
            first_timestamp: Timestamp(cursor.i64()?),
            head: Sequence(cursor.u64()?),
            last_timestamp: Timestamp(cursor.i64()?),
        };
        let space = space
            .as_ref()
            .ok_or(FormatError::Invalid("a segment without a space"))?;
        // The numbers are given from 0: they are the ordinals by which the runs name the segments.
        catalog.restore(space, &segment)?;
    }
    catalog.restored();
    Ok(catalog)
}

fn take_runs(cursor: &mut Cursor<'_>, catalog: &mut Catalog) -> Result<(), FormatError> {
    for _ in 0..cursor.u64()? {
        let ordinal = cursor.u32()?;
        let previous = cursor.u32()?;
        let run = super::index::take_run(cursor)?;
        if ordinal as usize >= catalog.segments().len() {
            return Err(FormatError::Invalid("a run of no segment"));
        }
        if catalog.open.last_place().is_some_and(|last| last >= run.place()) {
            return Err(FormatError::Invalid("runs out of order"));
        }
        catalog.open.push(ordinal, &run, previous);
    }
    Ok(())
}

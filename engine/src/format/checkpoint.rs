//! The checkpoint: the catalog as it stood at a position of the log, so that opening replays only what came after. It is
//! a cache: when it is missing or damaged the log is replayed from its start.

use uuid::Uuid;

use super::extent_header::LogState;
use super::{Cursor, FormatError};
use crate::index::Run;
use crate::index::catalog::{Catalog, Segment};
use crate::index::runs::{OwnedRun, SegmentNumber};
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
}

fn put_name(out: &mut Vec<u8>, name: &Name) {
    let length = u16::try_from(name.as_str().len()).expect("names have at most 512 bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(name.as_str().as_bytes());
}

fn take_name(cursor: &mut Cursor<'_>) -> Result<Name, FormatError> {
    let length = cursor.u16()? as usize;
    Name::from_bytes(cursor.slice(length)?).map_err(|_| FormatError::Invalid("a name against the rules"))
}

/// Encodes a checkpoint.
pub(crate) fn encode(store: StoreId, position: LogPosition, state: &LogState, catalog: &Catalog) -> Vec<u8> {
    let (segment_count, _) = catalog.counts();
    let mut out = Vec::with_capacity(4096 + segment_count as usize * 80 + catalog.open.all().len() * 32);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2 + 4]);
    out.extend_from_slice(store.0.as_bytes());
    out.extend_from_slice(&position.extent.to_le_bytes());
    out.extend_from_slice(&position.byte.to_le_bytes());
    state.encode(&mut out);
    out.extend_from_slice(&segment_count.to_le_bytes());
    let mut ordinals = std::collections::HashMap::new();
    let mut last_space: Option<&Name> = None;
    for (ordinal, (space, number, segment)) in catalog.iter().enumerate() {
        // Segments come sorted: a space's name stands once, before its first.
        if last_space == Some(space) {
            out.extend_from_slice(&0u16.to_le_bytes());
        } else {
            put_name(&mut out, space);
            last_space = Some(space);
        }
        put_name(&mut out, &segment.name);
        out.extend_from_slice(&segment.last_extent.to_le_bytes());
        out.extend_from_slice(&segment.first_sequence.0.to_le_bytes());
        out.extend_from_slice(&segment.first_timestamp.0.to_le_bytes());
        out.extend_from_slice(&segment.head.0.to_le_bytes());
        out.extend_from_slice(&segment.last_timestamp.0.to_le_bytes());
        if catalog.open.previous_extent(number).is_some() {
            ordinals.insert(number, u32::try_from(ordinal).expect("fewer than 2^32 segments"));
        }
    }
    let kept = || {
        catalog
            .open
            .all()
            .iter()
            .filter_map(|owned| Some((owned, *ordinals.get(&owned.segment)?)))
    };
    out.extend_from_slice(&(kept().count() as u64).to_le_bytes());
    for (owned, ordinal) in kept() {
        let previous = catalog.open.previous_extent(owned.segment).unwrap_or(0);
        out.extend_from_slice(&ordinal.to_le_bytes());
        out.extend_from_slice(&(previous as u32).to_le_bytes());
        super::index::put_run(&mut out, &owned.run);
    }
    out.extend_from_slice(&(catalog.deleted().count() as u64).to_le_bytes());
    for (path, at) in catalog.deleted() {
        put_name(&mut out, &path.space);
        put_name(&mut out, &path.segment);
        out.extend_from_slice(&at.extent.to_le_bytes());
        out.extend_from_slice(&at.byte.to_le_bytes());
    }
    let crc = crc32fast::hash(&out[PREFIX_BYTES..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Decodes a checkpoint.
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
    let position = LogPosition {
        extent: cursor.u64()?,
        byte: cursor.u32()?,
    };
    let state = LogState::decode(&mut cursor)?;
    let mut catalog = Catalog::starting_at(position.extent);
    let mut numbers: Vec<SegmentNumber> = Vec::new();
    let mut space: Option<Name> = None;
    for _ in 0..cursor.u64()? {
        let length = cursor.u16()? as usize;
        if length > 0 {
            let name = Name::from_bytes(cursor.slice(length)?);
            space = Some(name.map_err(|_| FormatError::Invalid("a name against the rules"))?);
        }
        let space = space.clone().ok_or(FormatError::Invalid("a segment without a space"))?;
        let path = SegmentPath {
            space,
            segment: take_name(&mut cursor)?,
        };
        let segment = Segment {
            name: path.segment.clone(),
            space: 0,
            last_extent: cursor.u32()?,
            first_sequence: Sequence(cursor.u64()?),
            first_timestamp: Timestamp(cursor.i64()?),
            head: Sequence(cursor.u64()?),
            last_timestamp: Timestamp(cursor.i64()?),
        };
        if segment.first_sequence > segment.head || segment.first_sequence < Sequence::FIRST {
            return Err(FormatError::Invalid("a segment whose range is empty"));
        }
        numbers.push(catalog.restore(&path, segment));
    }
    for _ in 0..cursor.u64()? {
        let ordinal = cursor.u32()? as usize;
        let previous = cursor.u32()?;
        let run: Run = super::index::take_run(&mut cursor)?;
        let &segment = numbers
            .get(ordinal)
            .ok_or(FormatError::Invalid("a run of no segment"))?;
        let space = catalog.space_of(segment);
        catalog.open.push(OwnedRun { segment, space, run }, previous);
    }
    for _ in 0..cursor.u64()? {
        let path = SegmentPath {
            space: take_name(&mut cursor)?,
            segment: take_name(&mut cursor)?,
        };
        catalog.restore_deleted(
            path,
            LogPosition {
                extent: cursor.u64()?,
                byte: cursor.u32()?,
            },
        );
    }
    catalog.set_last_timestamp(state.last_timestamp);
    Ok(Checkpoint {
        store,
        position,
        state,
        catalog,
    })
}

//! The checkpoint: the catalog at a position of the log, so that opening replays only what came after. It is a cache:
//! without a whole one, the open replays the log from its start.

use super::catalog::Catalog;
use super::leases::Leases;
use super::runs::ExtentRuns;
use super::segments::{Begun, Deletions, Segments};
use crate::format::FormatError;
use crate::format::checkpoint::{CheckpointHead, CheckpointReader, CheckpointRow, CheckpointWriter, Gist};
use crate::format::extent_header::LogState;
use streamkit_record::{FencingToken, LogPosition, Name, StoreId};

/// What a checkpoint holds.
pub(crate) struct Checkpoint {
    pub(crate) store: StoreId,
    /// Everything before it is in the catalog.
    pub(crate) position: LogPosition,
    pub(crate) state: LogState,
    pub(crate) catalog: Catalog,
    pub(crate) gist: Gist,
}

/// What stands for "no ordinal".
const NONE: u32 = u32::MAX;

/// Encodes a checkpoint of segments and of the runs of the extent that is open at `position`.
pub(crate) fn encode(
    store: StoreId,
    position: LogPosition,
    state: &LogState,
    segments: &Segments,
    leases: &Leases,
    open: &ExtentRuns,
) -> Vec<u8> {
    encode_with_gist(store, position, state, segments, leases, open).0
}

/// As [`encode`], with the gist of it.
pub(crate) fn encode_with_gist(
    store: StoreId,
    position: LogPosition,
    state: &LogState,
    segments: &Segments,
    leases: &Leases,
    open: &ExtentRuns,
) -> (Vec<u8>, Option<Gist>) {
    let head = CheckpointHead {
        store,
        position,
        state: *state,
    };
    let mut out = CheckpointWriter::new(&head, 4096 + segments.len() * 72 + open.len() * 36);
    let ordinals = put_segments(&mut out, segments, open);
    out.next_table();
    put_runs(&mut out, open, &ordinals);
    let deletions_at = out.next_table();
    put_deletions(&mut out, segments);
    put_leases(&mut out, leases);
    let bytes = out.finish();
    // Earlier versions knew no leases.
    let is_as_before = leases.last_token() == FencingToken::default();
    let gist = is_as_before.then(|| Gist::of(&bytes, deletions_at)).flatten();
    (bytes, gist)
}

/// Encodes the segments, in order; for each number which of them it is, if there are runs that need it.
fn put_segments(out: &mut CheckpointWriter, segments: &Segments, open: &ExtentRuns) -> Vec<u32> {
    let mut ordinals = vec![NONE; if open.len() > 0 { segments.rows.len() } else { 0 }];
    let mut last_space = None;
    for (ordinal, number) in segments.order.iter().enumerate() {
        let segment = &segments.rows[number];
        let is_new = last_space.replace(segment.space) != Some(segment.space);
        let space = is_new.then(|| &segments.spaces[segment.space]);
        let row = CheckpointRow {
            last_extent: segment.last_extent,
            first_sequence: segment.first_sequence,
            first_timestamp: segment.first_timestamp,
            head: segment.head,
            last_timestamp: segment.last_timestamp,
        };
        out.segment(space, segments.names.bytes(segment.name), &row);
        if let Some(place) = ordinals.get_mut(number as usize) {
            *place = u32::try_from(ordinal).expect("fewer than 2^32 segments");
        }
    }
    ordinals
}

/// Encodes the runs, but for those of deleted segments, which are not among the ordinals.
fn put_runs(out: &mut CheckpointWriter, open: &ExtentRuns, ordinals: &[u32]) {
    for owned in open.in_order((0, 0)) {
        let ordinal = ordinals[owned.segment as usize];
        if ordinal != NONE {
            let previous = open.previous_extent(owned.segment).unwrap_or(0);
            out.run(ordinal, previous, &owned.run);
        }
    }
}

/// Encodes where segments began behind a deletion: what stands before under their names is deleted. Where there is none,
/// the last deletion, since it must be known that there was one.
fn put_deletions(out: &mut CheckpointWriter, segments: &Segments) {
    let rows = segments.order.iter().map(|number| &segments.rows[number]);
    for row in rows.filter(|row| row.begun != Begun::BEFORE_ALL) {
        let name = segments.names.bytes(row.name);
        out.deletion(&segments.spaces[row.space], name, row.begun.position());
    }
    if let (0, Deletions::Last(path, at)) = (out.count(), &segments.deletions) {
        out.deletion(&path.space, path.segment.as_str().as_bytes(), *at);
    }
}

fn put_leases(out: &mut CheckpointWriter, leases: &Leases) {
    if leases.last_token() == FencingToken::default() {
        return;
    }
    out.last_token(leases.last_token());
    for (key, held) in leases.iter() {
        out.lease(key, &held.holder, held.token, held.ttl);
    }
}

/// Decodes a checkpoint. Its checksum says that an engine wrote it; still nothing in it is taken for granted.
///
/// # Errors
/// [`FormatError`].
pub(crate) fn decode(bytes: &[u8]) -> Result<Checkpoint, FormatError> {
    let (mut reader, head) = CheckpointReader::open(bytes)?;
    let CheckpointHead { store, position, state } = head;
    let mut catalog = take_segments(&mut reader, position.extent)?;
    take_runs(&mut reader, &mut catalog)?;
    let gist = reader.gist()?;
    for _ in 0..reader.count()? {
        let (path, at) = reader.deletion()?;
        catalog.restore_deletion(path, at)?;
    }
    if let Some(last) = reader.last_token()? {
        for _ in 0..reader.count()? {
            catalog.leases.grant(reader.lease()?, true)?;
        }
        catalog.leases.restore_last_token(last);
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

fn take_segments(reader: &mut CheckpointReader<'_>, extent: u64) -> Result<Catalog, FormatError> {
    let mut catalog = Catalog::starting_at(extent);
    let mut space: Option<Name> = None;
    for _ in 0..reader.segment_count()? {
        let (another, name, row) = reader.segment()?;
        space = another.or(space);
        let space = space
            .as_ref()
            .ok_or(FormatError::Invalid("a segment without a space"))?;
        // The numbers are given from 0: they are the ordinals by which the runs name the segments.
        catalog.restore(space, name, &row)?;
    }
    catalog.restored();
    Ok(catalog)
}

fn take_runs(reader: &mut CheckpointReader<'_>, catalog: &mut Catalog) -> Result<(), FormatError> {
    for _ in 0..reader.count()? {
        let (ordinal, previous, run) = reader.run()?;
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

//! How far a projection has come, as a value and as bytes. No I/O.

use std::collections::BTreeMap;

use bytes::Bytes;
use streamkit_protocol::v2::put_name;
use streamkit_record::{Cursor, Entry, FormatError, LogCursor, Name, SegmentPath, Sequence, Timestamp};

/// Begins the bytes.
const MAGIC: &[u8; 8] = b"SKCURSOR";

/// Grows when the bytes change.
const VERSION: u16 = 1;

/// Where a parked segment goes on: its first entry that is not handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parked {
    /// Its sequence.
    pub first: Sequence,
    /// The number of its transaction: it tells the entry from one of a segment that was deleted and begun anew.
    pub number: u64,
    /// When it was committed.
    pub time: Timestamp,
}

impl Parked {
    /// At this entry.
    pub(super) fn at(entry: &Entry) -> Self {
        Self {
            first: entry.sequence,
            number: entry.trx.number,
            time: entry.timestamp,
        }
    }
}

/// How far a projection has come: what is stored of it. A cursor stands behind a batch; entries behind it may be handled, too, and are
/// told by their transaction; entries of parked segments before it are not.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Standing {
    step: u64,
    follows: u32,
    cursor: LogCursor,
    /// All transactions before this one are handled, and of this one what stands in `within`, each up to that sequence.
    number: u64,
    within: BTreeMap<SegmentPath, Sequence>,
    parked: BTreeMap<SegmentPath, Parked>,
    /// Segments that were replayed further than the rest has come: handled up to this transaction.
    replayed: BTreeMap<SegmentPath, u64>,
}

impl Standing {
    /// At the beginning of what has this checksum.
    pub(super) fn of(follows: u32) -> Self {
        Self {
            follows,
            ..Self::default()
        }
    }

    /// How often it was stored. It grows by one each time, so a transaction that demands the step before keeps others out.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The same as the next step behind another.
    pub(super) fn behind(mut self, stored: Option<&Self>) -> Self {
        self.step = stored.map_or(0, |stored| stored.step) + 1;
        self
    }

    /// Where the follow goes on.
    pub fn cursor(&self) -> &LogCursor {
        &self.cursor
    }

    /// The number of the newest transaction of which something was handled; 0 before the first.
    pub fn position(&self) -> u64 {
        self.number
    }

    /// Segments that wait to be replayed.
    pub fn parked(&self) -> impl ExactSizeIterator<Item = (&SegmentPath, &Parked)> {
        self.parked.iter()
    }

    /// The checksum of what is followed.
    pub(super) fn follows(&self) -> u32 {
        self.follows
    }

    /// Where a segment is parked, if it is.
    pub(super) fn parked_at(&self, path: &SegmentPath) -> Option<Parked> {
        self.parked.get(path).copied()
    }

    /// Segments of which more than the cursor has to be kept.
    pub(super) fn kept_segments(&self) -> usize {
        self.parked.len() + self.replayed.len()
    }

    /// Whether an entry of the follow is to be handled now: it was not before, and its segment is not parked.
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let number = entry.trx.number;
        let in_this_one = || self.within.get(&entry.path).is_some_and(|&last| last >= entry.sequence);
        let is_passed = number < self.number || number == self.number && in_this_one();
        let is_replayed = || self.replayed.get(&entry.path).is_some_and(|&through| through >= number);
        !is_passed && !self.parked.contains_key(&entry.path) && !is_replayed()
    }

    /// Goes on behind an entry of the follow.
    pub(super) fn pass(&mut self, entry: &Entry) {
        if entry.trx.number > self.number {
            self.number = entry.trx.number;
            self.within.clear();
            // No entry of before comes any more.
            self.replayed.retain(|_, through| *through >= entry.trx.number);
        }
        match self.within.get_mut(&entry.path) {
            Some(last) => *last = (*last).max(entry.sequence),
            None => _ = self.within.insert(entry.path.clone(), entry.sequence),
        }
    }

    /// Goes on behind a whole batch, or where nothing new came.
    pub(super) fn go_behind(&mut self, cursor: &LogCursor) {
        self.cursor = cursor.clone();
        self.within.clear();
    }

    /// Leaves a segment out from an entry on, until it is replayed.
    pub(super) fn park(&mut self, path: &SegmentPath, at: Parked) {
        self.replayed.remove(path);
        self.parked.insert(path.clone(), at);
    }

    /// A segment is handled up to this transaction, and goes on with the rest.
    pub(super) fn unpark(&mut self, path: &SegmentPath, through: u64) {
        self.parked.remove(path);
        self.replayed.insert(path.clone(), through);
    }

    /// As bytes, with a checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.step.to_le_bytes());
        out.extend_from_slice(&self.follows.to_le_bytes());
        // At most 64 bytes.
        out.push(u8::try_from(self.cursor.bytes().len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.cursor.bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        rows(&mut out, &self.within, |out, last| put(out, last.0));
        rows(&mut out, &self.parked, |out, parked| {
            put(out, parked.first.0);
            put(out, parked.number);
            out.extend_from_slice(&parked.time.0.to_le_bytes());
        });
        rows(&mut out, &self.replayed, |out, through| put(out, *through));
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// From its bytes.
    ///
    /// # Errors
    /// They are not those of one: cut, changed, or of a newer program.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut from = Cursor::new(bytes);
        if from.array()? != *MAGIC {
            return Err(FormatError::Magic);
        }
        let version = from.u16()?;
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(FormatError::Short)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return Err(FormatError::Checksum);
        }
        let (step, follows, length) = (from.u64()?, from.u32()?, from.u8()?);
        let cursor = Bytes::copy_from_slice(from.slice(length.into())?);
        let standing = Self {
            step,
            follows,
            cursor: LogCursor::new(cursor).ok_or(FormatError::Invalid("the cursor is too long"))?,
            number: from.u64()?,
            within: rows_of(&mut from, |from| Ok(Sequence(from.u64()?)))?,
            parked: rows_of(&mut from, |from| {
                Ok(Parked {
                    first: Sequence(from.u64()?),
                    number: from.u64()?,
                    time: Timestamp(from.i64()?),
                })
            })?,
            replayed: rows_of(&mut from, |from| from.u64())?,
        };
        match from.remaining() {
            4 => Ok(standing),
            _ => Err(FormatError::Invalid("its parts do not fill it")),
        }
    }
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn rows<T>(out: &mut Vec<u8>, rows: &BTreeMap<SegmentPath, T>, value: impl Fn(&mut Vec<u8>, &T)) {
    put(out, rows.len() as u64);
    for (path, of) in rows {
        put_name(out, &path.space);
        put_name(out, &path.segment);
        value(out, of);
    }
}

fn rows_of<T>(
    from: &mut Cursor<'_>,
    value: impl Fn(&mut Cursor<'_>) -> Result<T, FormatError>,
) -> Result<BTreeMap<SegmentPath, T>, FormatError> {
    let count = from.u64()?;
    let mut rows = BTreeMap::new();
    for _ in 0..count {
        let (space, segment) = (name(from)?, name(from)?);
        rows.insert(SegmentPath { space, segment }, value(from)?);
    }
    Ok(rows)
}

fn name(from: &mut Cursor<'_>) -> Result<Name, FormatError> {
    let length = from.u16()?;
    let bytes = from.slice(length.into())?;
    Name::from_bytes(bytes).map_err(|_| FormatError::Invalid("a name that is none"))
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;

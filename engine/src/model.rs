//! The words of the domain as types: names, numbers, records and entries. Nothing here knows bytes on disk or on a wire.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::limits::{NAME_BYTES_MAX, RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_RECORDS_MAX};

/// A store's identity: one tenant's unit of isolation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StoreId(pub Uuid);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text cannot name a space or a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no bytes.
    #[error("a name must not be empty")]
    Empty,
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// The name contains a NUL byte, which separates names in cursors.
    #[error("a name must not contain NUL")]
    Nul,
    /// The bytes are not UTF-8.
    #[error("a name must be UTF-8")]
    NotUtf8,
}

/// The name of a space or of a segment: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8 without NUL. Cheap to clone.
/// Ordered by bytes; names are exact, `order-1` never stands for `order-12`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NameError`], one variant per broken rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::check(text.as_bytes()).map(|text| Self(text.into()))
    }

    /// The text that bytes are, if it can name something.
    pub(crate) fn check(bytes: &[u8]) -> Result<&str, NameError> {
        if bytes.is_empty() {
            Err(NameError::Empty)
        } else if bytes.len() > NAME_BYTES_MAX {
            Err(NameError::TooLong(bytes.len()))
        } else if bytes.contains(&0) {
            Err(NameError::Nul)
        } else {
            std::str::from_utf8(bytes).map_err(|_| NameError::NotUtf8)
        }
    }

    /// Checks bytes, from disk or from a cursor.
    ///
    /// # Errors
    /// [`NameError`], one variant per broken rule.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        Self::check(bytes).map(|text| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Which segment of which space.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SegmentPath {
    /// The group of segments.
    pub space: Name,
    /// The ordered stream.
    pub segment: Name,
}

impl SegmentPath {
    /// Checks both names.
    ///
    /// # Errors
    /// The first [`NameError`] found.
    pub fn new(space: &str, segment: &str) -> Result<Self, NameError> {
        Ok(Self {
            space: Name::new(space)?,
            segment: Name::new(segment)?,
        })
    }
}

impl fmt::Display for SegmentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.space, self.segment)
    }
}

/// 1-based dense number of an entry in its segment. Zero stands for "before the first", as a head: an empty segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence of a segment's first entry.
    pub const FIRST: Sequence = Sequence(1);

    /// The sequence after this one. Saturates at `u64::MAX`, which no segment reaches.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Unix time in milliseconds. Given to a transaction at commit; never goes backwards within a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp(pub i64);

/// Where something stands in a store's log. Ordered as the log is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct LogPosition {
    /// Number of the extent, from 1.
    pub extent: u64,
    /// Byte in that extent.
    pub byte: u32,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extent {} byte {}", self.extent, self.byte)
    }
}

/// A record's or entry's metadata: text by text, kept in the log's own encoding and decoded on the way through.
///
/// Encoding, also used in the log: for each pair in byte order of the keys, `u32` key length, key, `u32` value length,
/// value; lengths little-endian.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Metadata(Bytes);

impl Metadata {
    /// Encodes pairs, sorted by key; of equal keys the last wins.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let sorted: BTreeMap<String, String> = pairs
            .into_iter()
            .map(|(k, v)| (k.as_ref().to_owned(), v.as_ref().to_owned()))
            .collect();
        let mut out = Vec::new();
        for (key, value) in &sorted {
            for text in [key, value] {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        Self(out.into())
    }

    /// Takes encoded bytes, from the log.
    ///
    /// # Errors
    /// `None` unless the bytes are exactly a list of UTF-8 pairs.
    pub fn from_encoded(bytes: Bytes) -> Option<Self> {
        Self::is_encoded(&bytes).then_some(Self(bytes))
    }

    /// Whether bytes are exactly a list of UTF-8 pairs.
    pub(crate) fn is_encoded(bytes: &[u8]) -> bool {
        let mut rest = Some(bytes);
        while let Some(bytes) = rest.filter(|rest| !rest.is_empty()) {
            rest = split_text(bytes)
                .and_then(|(_, rest)| split_text(rest))
                .map(|(_, rest)| rest);
        }
        rest.is_some()
    }

    /// The encoded bytes, as the log holds them.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, in byte order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (key, after_key) = split_text(rest)?;
            let (value, after_value) = split_text(after_key)?;
            rest = after_value;
            Some((key, value))
        })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(k, v)| (k == key).then_some(v))
    }
}

fn split_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What a client writes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// The event, opaque to Streamkit. May be empty.
    pub payload: Bytes,
    /// Text by text, opaque to Streamkit.
    pub metadata: Metadata,
}

impl Record {
    /// A record without metadata.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            metadata: Metadata::default(),
        }
    }

    /// Bytes that count against [`RECORD_BYTES_MAX`].
    pub fn len(&self) -> usize {
        self.payload.len() + self.metadata.encoded().len()
    }

    /// Whether payload and metadata are both empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Records for one segment, the first of them at `first_sequence`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentAppend {
    /// Where they go.
    pub path: SegmentPath,
    /// The sequence of the first record: the segment's head + 1 must equal it at commit.
    pub first_sequence: Sequence,
    /// At least one record.
    pub records: Vec<Record>,
}

/// Records committed together: all become durable and visible, or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The producer's id of this transaction. A retry with the same id and the same records is answered with the first
    /// commit, also after a restart.
    pub id: Uuid,
    /// One or more segments of one store, each at most once.
    pub segments: Vec<SegmentAppend>,
}

impl Transaction {
    /// Records for one segment under a fresh random id.
    pub fn single(path: SegmentPath, first_sequence: Sequence, records: Vec<Record>) -> Self {
        Self {
            id: Uuid::new_v4(),
            segments: vec![SegmentAppend {
                path,
                first_sequence,
                records,
            }],
        }
    }

    /// Checks the limits that need no store.
    ///
    /// # Errors
    /// The first [`InvalidTransaction`] found.
    pub fn validate(&self) -> Result<(), InvalidTransaction> {
        let mut records = 0;
        let mut bytes = 0;
        let mut paths: Vec<&SegmentPath> = self.segments.iter().map(|part| &part.path).collect();
        paths.sort_unstable();
        if paths.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(InvalidTransaction::RepeatedSegment);
        }
        for part in &self.segments {
            if part.records.is_empty() {
                return Err(InvalidTransaction::Empty);
            }
            if part.first_sequence < Sequence::FIRST
                || part.first_sequence.0.checked_add(part.records.len() as u64).is_none()
            {
                return Err(InvalidTransaction::SequenceOutOfRange);
            }
            for record in &part.records {
                if record.len() > RECORD_BYTES_MAX {
                    return Err(InvalidTransaction::RecordTooLarge(record.len()));
                }
                bytes += record.len();
            }
            records += part.records.len();
        }
        if records == 0 {
            Err(InvalidTransaction::Empty)
        } else if records > TRANSACTION_RECORDS_MAX {
            Err(InvalidTransaction::TooManyRecords(records))
        } else if bytes > TRANSACTION_BYTES_MAX {
            Err(InvalidTransaction::TooLarge(bytes))
        } else {
            Ok(())
        }
    }
}

/// Why a transaction can never be committed, whatever the store holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTransaction {
    /// No segment, or a segment without records.
    #[error("a transaction needs at least one record in each of its segments")]
    Empty,
    /// More than [`TRANSACTION_RECORDS_MAX`] records.
    #[error("a transaction holds at most {TRANSACTION_RECORDS_MAX} records, this one has {0}")]
    TooManyRecords(usize),
    /// More than [`TRANSACTION_BYTES_MAX`] bytes.
    #[error("a transaction holds at most {TRANSACTION_BYTES_MAX} bytes, this one has {0}")]
    TooLarge(usize),
    /// A record of more than [`RECORD_BYTES_MAX`] bytes.
    #[error("a record has at most {RECORD_BYTES_MAX} bytes of payload and metadata, this one has {0}")]
    RecordTooLarge(usize),
    /// The same segment twice.
    #[error("a transaction names each segment at most once")]
    RepeatedSegment,
    /// Sequence zero, or past the last possible one.
    #[error("sequences start at 1 and fit in 64 bits")]
    SequenceOutOfRange,
}

/// What a transaction is known by: all its entries carry it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trx {
    /// The producer's id.
    pub id: Uuid,
    /// The node that committed it; nil in a store of one host.
    pub node: Uuid,
    /// Strictly increasing within the store, from 1.
    pub number: u64,
}

/// What a reader gets back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The segment it stands in.
    pub path: SegmentPath,
    /// Its number there.
    pub sequence: Sequence,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// The transaction it came with.
    pub trx: Trx,
    /// The event.
    pub payload: Bytes,
    /// Text by text.
    pub metadata: Metadata,
}

/// The readable range of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentStatus {
    /// The segment.
    pub path: SegmentPath,
    /// First readable sequence: 1 unless trimmed.
    pub first_sequence: Sequence,
    /// When the first readable entry was committed.
    pub first_timestamp: Timestamp,
    /// The head.
    pub last_sequence: Sequence,
    /// When the head was committed.
    pub last_timestamp: Timestamp,
}

/// What a commit says of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The transaction's identity.
    pub trx: Trx,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// The segments right after it, in the transaction's order. The `last_sequence` of each is the last record of this
    /// transaction, whatever was committed since.
    pub segments: Vec<SegmentStatus>,
}

/// How much a store holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStatus {
    /// Spaces with at least one segment.
    pub space_count: u64,
    /// Segments.
    pub segment_count: u64,
    /// Readable entries.
    pub entry_count: u64,
    /// When the newest transaction was committed; 0 in an empty store.
    pub last_timestamp: Timestamp,
}

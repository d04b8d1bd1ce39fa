//! The arguments and results of calls, beside the protocol's own messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use streamkit_protocol::{LexKey, Metadata, SpaceOffset, Trx};

/// A record to append.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NewRecord {
    /// The event.
    pub payload: Bytes,
    /// Text keys with text values.
    pub metadata: Metadata,
}

impl NewRecord {
    /// A record without metadata.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            metadata: Metadata::new(),
        }
    }

    pub(crate) fn from_log(record: streamkit_record::Record) -> Self {
        let pairs = record
            .metadata
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            metadata: pairs.collect(),
            payload: record.payload,
        }
    }

    pub(crate) fn into_log(self) -> streamkit_record::Record {
        streamkit_record::Record {
            payload: self.payload,
            metadata: match self.metadata.is_empty() {
                true => streamkit_record::Metadata::default(),
                false => streamkit_record::Metadata::from_pairs(&self.metadata),
            },
        }
    }

    /// Adds one pair of metadata.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// A stored record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its space.
    pub space: String,
    /// Its segment.
    pub segment: String,
    /// Its number in the segment, from 1 without holes.
    pub sequence: u64,
    /// Its commit time, Unix milliseconds.
    pub timestamp: i64,
    /// Its transaction.
    pub trx: Trx,
    /// The event.
    pub payload: Bytes,
    /// Text keys with text values.
    pub metadata: Metadata,
}

impl Entry {
    /// The offset from which a consume of the space continues strictly after this entry. It is opaque: keep that of
    /// the last entry received. Within a millisecond, a later one may be smaller as bytes.
    pub fn offset(&self) -> LexKey {
        SpaceOffset {
            space: self.space.clone(),
            timestamp: self.timestamp,
            segment: self.segment.clone(),
            sequence: self.sequence,
        }
        .encode()
    }

    pub(crate) fn from_log(entry: streamkit_record::Entry) -> Self {
        let pairs = entry
            .metadata
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            sequence: entry.sequence.0,
            timestamp: entry.timestamp.0,
            trx: Trx {
                id: entry.trx.id,
                node: entry.trx.node,
                number: entry.trx.number,
            },
            metadata: pairs.collect(),
            payload: entry.payload,
            space: entry.path.space.as_str().to_owned(),
            segment: entry.path.segment.as_str().to_owned(),
        }
    }

    pub(crate) fn from_wire(entry: streamkit_protocol::Entry) -> Self {
        Self {
            sequence: entry.sequence,
            timestamp: entry.timestamp,
            trx: entry.trx,
            payload: entry.payload.into_bytes(),
            metadata: entry.metadata,
            space: entry.space,
            segment: entry.segment,
        }
    }
}

/// A read of one segment, in sequence order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ConsumeSegment {
    /// The space.
    pub space: String,
    /// The segment.
    pub segment: String,
    /// First sequence, inclusive; 0: from the start.
    pub from: u64,
    /// Last sequence, inclusive; 0: to the head.
    pub to: u64,
    /// Only entries committed after this, Unix milliseconds; 0: all.
    pub after_time: i64,
    /// Only entries committed up to this, Unix milliseconds; 0: all.
    pub until_time: i64,
    /// Most entries; 0: all.
    pub limit: u64,
}

impl ConsumeSegment {
    /// The whole segment.
    pub fn all(space: impl Into<String>, segment: impl Into<String>) -> Self {
        Self {
            space: space.into(),
            segment: segment.into(),
            ..Self::default()
        }
    }

    /// From this sequence on.
    #[must_use]
    pub fn from(mut self, sequence: u64) -> Self {
        self.from = sequence;
        self
    }
}

/// A read of one space, in log order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ConsumeSpace {
    /// The space.
    pub space: String,
    /// Continue after this entry's [`Entry::offset`]; empty: from the start.
    pub after: LexKey,
    /// Only entries committed after this, Unix milliseconds; 0: all.
    pub after_time: i64,
    /// Only entries committed up to this, Unix milliseconds; 0: all.
    pub until_time: i64,
    /// Most entries; 0: all.
    pub limit: u64,
}

impl ConsumeSpace {
    /// The whole space.
    pub fn all(space: impl Into<String>) -> Self {
        Self {
            space: space.into(),
            ..Self::default()
        }
    }
}

/// A read of several spaces, merged by time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Consume {
    /// The spaces, each with the [`Entry::offset`] to continue after (empty: from the start).
    pub spaces: BTreeMap<String, LexKey>,
    /// Only entries committed after this, Unix milliseconds; 0: all.
    pub after_time: i64,
    /// Only entries committed up to this, Unix milliseconds; 0: all.
    pub until_time: i64,
    /// Most entries over all spaces; 0: all.
    pub limit: u64,
}

impl Consume {
    /// Everything in some spaces.
    pub fn all<S: Into<String>>(spaces: impl IntoIterator<Item = S>) -> Self {
        Self {
            spaces: spaces
                .into_iter()
                .map(|space| (space.into(), LexKey::default()))
                .collect(),
            ..Self::default()
        }
    }
}

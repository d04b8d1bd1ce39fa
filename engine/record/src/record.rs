//! Records and transactions, and their limits.

use bytes::Bytes;
use uuid::Uuid;

use crate::Sequence;
use crate::condition::Condition;
use crate::lease::Fence;
use crate::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_CONDITIONS_MAX, TRANSACTION_RECORDS_MAX};
use crate::metadata::Metadata;
use crate::names::SegmentPath;

/// What a producer writes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// The event, opaque to Streamkit. May be empty.
    pub payload: Bytes,
    /// Text keys with text values, opaque to Streamkit.
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
    /// Their segment.
    pub path: SegmentPath,
    /// The sequence of the first record. At commit it must equal the segment's head + 1. [`SegmentAppend::NEXT`] demands
    /// nothing: the commit puts the records behind the head, whatever that is.
    pub first_sequence: Sequence,
    /// At least one record.
    pub records: Vec<Record>,
}

impl SegmentAppend {
    /// As a first sequence: the next one, whatever it is.
    pub const NEXT: Sequence = Sequence(0);
}

/// Records committed together: all become durable and visible, or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The producer's id of this transaction. A retry with the same id and the same records gets the answer of the
    /// first commit, also after a restart; one with other records is refused. Where all sequences are given, they tell a
    /// retry for as long as the log has the records. With [`SegmentAppend::NEXT`] the id alone tells it, and a store knows
    /// only so many back.
    pub id: Uuid,
    /// One or more segments of one store, each at most once.
    pub segments: Vec<SegmentAppend>,
    /// The lease that the producer must hold. If it was granted to another or released meanwhile, the engine appends
    /// nothing. It checks this together with the sequences, in log order.
    pub fence: Option<Fence>,
    /// What must hold of segments, of this transaction or not. If one does not, the engine appends nothing. It checks them
    /// together with the sequences.
    pub conditions: Vec<Condition>,
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
            fence: None,
            conditions: Vec::new(),
        }
    }

    /// The same transaction, tied to a lease.
    #[must_use]
    pub fn fenced(self, fence: Fence) -> Self {
        Self {
            fence: Some(fence),
            ..self
        }
    }

    /// The same transaction, under these conditions.
    #[must_use]
    pub fn under(self, conditions: Vec<Condition>) -> Self {
        Self { conditions, ..self }
    }

    /// Whether some of it comes behind a head that its producer does not know.
    pub fn takes_next(&self) -> bool {
        self.segments
            .iter()
            .any(|part| part.first_sequence == SegmentAppend::NEXT)
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
            if part.first_sequence.0.checked_add(part.records.len() as u64).is_none() {
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
        if self.conditions.len() > TRANSACTION_CONDITIONS_MAX {
            Err(InvalidTransaction::TooManyConditions(self.conditions.len()))
        } else if records == 0 {
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
    /// More than [`TRANSACTION_CONDITIONS_MAX`] conditions.
    #[error("a transaction has at most {TRANSACTION_CONDITIONS_MAX} conditions, this one has {0}")]
    TooManyConditions(usize),
    /// Past the last possible sequence.
    #[error("sequences fit in 64 bits")]
    SequenceOutOfRange,
}

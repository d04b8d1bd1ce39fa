//! Records and transactions, and their limits.

use bytes::Bytes;
use uuid::Uuid;

use crate::Sequence;
use crate::lease::Fence;
use crate::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_RECORDS_MAX};
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
    /// The sequence of the first record. At commit it must equal the segment's head + 1.
    pub first_sequence: Sequence,
    /// At least one record.
    pub records: Vec<Record>,
}

/// Records committed together: all become durable and visible, or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The producer's id of this transaction. A retry with the same id and the same records gets the answer of the
    /// first commit, also after a restart.
    pub id: Uuid,
    /// One or more segments of one store, each at most once.
    pub segments: Vec<SegmentAppend>,
    /// The lease that the producer must hold. If it was granted to another or released meanwhile, the engine appends
    /// nothing. It checks this together with the sequences, in log order.
    pub fence: Option<Fence>,
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

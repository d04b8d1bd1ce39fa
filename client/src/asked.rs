//! What is asked of a server that speaks v2, and what comes back.

use std::time::Duration;

use streamkit_record::{
    Condition, Entry, Fence, Filter, LogCursor, ReadSource, Record, SegmentAppend, SegmentPath, Sequence, Timestamp,
    Transaction, Wanted,
};
use uuid::Uuid;

use crate::error::Error;

/// One transaction: records for one or several segments, stored together or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// The producer's id of the transaction; [`Append::new`] takes a fresh one. The server answers an append whose id is
    /// stored with the same records as it did the first time, also after a restart and over another connection.
    pub id: Uuid,
    /// What is appended, each segment at most once. A first sequence of 0 takes the next one; any other demands that
    /// the head is the one before it.
    pub sections: Vec<SegmentAppend>,
    /// What must hold of segments, written or not.
    pub conditions: Vec<Condition>,
    /// The lease that the producer must hold.
    pub fence: Option<Fence>,
    /// Bytes of entries behind the expected heads that a conflict brings along, at most 1 MiB; 0: heads alone.
    pub conflict_bytes: u32,
}

impl Append {
    /// Of these sections, under a fresh id.
    pub fn new(sections: Vec<SegmentAppend>) -> Self {
        Self {
            id: Uuid::new_v4(),
            sections,
            conditions: Vec::new(),
            fence: None,
            conflict_bytes: 0,
        }
    }

    /// Of records for one segment, behind its head.
    pub fn behind(path: SegmentPath, records: Vec<Record>) -> Self {
        Self::new(vec![SegmentAppend {
            path,
            first_sequence: SegmentAppend::NEXT,
            records,
        }])
    }

    /// The same under this condition, too.
    #[must_use]
    pub fn under(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// The same, tied to a lease.
    #[must_use]
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// As one that a server could take, in either version of the protocol.
    pub(crate) fn checked(self) -> Result<Transaction, Error> {
        let transaction = Transaction {
            id: self.id,
            segments: self.sections,
            fence: self.fence,
            conditions: self.conditions,
        };
        match transaction.validate() {
            Ok(()) => Ok(transaction),
            Err(error) => Err(Error::Invalid(error.to_string())),
        }
    }
}

/// A read, up to the head of when it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    /// Of what.
    pub source: ReadSource,
    /// The newest first: each batch holds what stands before all batches before it. Within a batch the order stays that of the log.
    pub newest_first: bool,
    /// Committed strictly after this.
    pub after: Timestamp,
    /// Committed at this or before.
    pub until: Timestamp,
    /// At most so many entries.
    pub entries: u64,
    /// No further ones once they have so many bytes of payload and metadata.
    pub bytes: u64,
    /// A position that the read has to include, such as that of an append; 0: none.
    pub at_least: u64,
    /// Which entries pass.
    pub filter: Filter,
}

impl Read {
    /// All of a source.
    pub fn all(source: ReadSource) -> Self {
        Self {
            source,
            newest_first: false,
            after: Timestamp(i64::MIN),
            until: Timestamp(i64::MAX),
            entries: u64::MAX,
            bytes: u64::MAX,
            at_least: 0,
            filter: Filter::default(),
        }
    }

    /// All of a segment.
    pub fn segment(path: SegmentPath) -> Self {
        Self::all(ReadSource::Segment(path, Sequence::FIRST, Sequence(u64::MAX)))
    }

    /// All of some parts of a store behind a cursor, in the order of the log. The default cursor is the beginning.
    pub fn log(parts: Vec<Wanted>, behind: LogCursor) -> Self {
        Self::all(ReadSource::Log(parts, behind))
    }
}

/// All of some parts of a store, in the order of the log: what is there, then what comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Follow {
    /// Of what: any mix.
    pub parts: Vec<Wanted>,
    /// Behind what; the default is the beginning.
    pub behind: LogCursor,
    /// With the default cursor: what is committed from now on alone.
    pub from_now: bool,
    /// How often an idle server tells where it stands, between every second and every five minutes. Zero: a third of the client's timeout. A server that says nothing
    /// for three times as long, or for the client's timeout if that is longer, is taken for dead.
    pub heartbeat: Duration,
    /// Which entries pass.
    pub filter: Filter,
}

impl Follow {
    /// All of these parts behind a cursor.
    pub fn new(parts: Vec<Wanted>, behind: LogCursor) -> Self {
        Self {
            parts,
            behind,
            from_now: false,
            heartbeat: Duration::ZERO,
            filter: Filter::default(),
        }
    }
}

/// What a follow tells. Each has the cursor to go on from: whoever has handled it, and keeps that, misses nothing and sees
/// nothing twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Followed {
    /// Entries, in the order of the log. They share the bytes of their batch.
    Batch(Vec<Entry>, LogCursor),
    /// All that was there has been told. It comes once, whatever connections there are.
    CaughtUp(LogCursor),
    /// Nothing new up to here.
    At(LogCursor),
}

impl Followed {
    /// Where to go on from.
    pub fn cursor(&self) -> &LogCursor {
        match self {
            Self::Batch(_, cursor) | Self::CaughtUp(cursor) | Self::At(cursor) => cursor,
        }
    }
}

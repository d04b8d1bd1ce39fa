//! Reads that hand out transactions as bytes, for whoever passes entries on and need not look into them.
//!
//! A medium whose log holds transactions as docs/FORMAT.md has them hands out what it read. Another one makes excerpts. What a
//! [`LogCursor`] holds is the medium's own affair.

use async_trait::async_trait;
use bytes::Bytes;
use streamkit_record::transaction::{Section, TransactionHeader, check_structure, entries, open_transaction, sections};
use streamkit_record::{Entry, Filter, FormatError, LogCursor, ReadSource};

use super::TimeRange;
use crate::error::ReadError;

/// A transaction, or what is wanted of it. It shares the bytes that were read, and was checked against the log's checksum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Just as it stands in the log: all of its entries are wanted.
    Whole(Bytes),
    /// Some of its entries.
    Excerpt(Excerpt),
}

/// Some entries of a transaction, in its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt {
    /// Its header, with the counts and the checksum of the whole transaction.
    pub header: TransactionHeader,
    /// How many sections follow; of one in the log several, where entries between others are not wanted.
    pub section_count: u16,
    /// The sections as they stand in the log, one behind the other, cut anywhere.
    pub sections: Vec<Bytes>,
}

impl Piece {
    /// The number of its transaction.
    pub fn number(&self) -> u64 {
        match self {
            Self::Whole(transaction) => TransactionHeader::decode(transaction).map_or(0, |header| header.number),
            Self::Excerpt(excerpt) => excerpt.header.number,
        }
    }

    /// Its bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Whole(transaction) => transaction.len(),
            Self::Excerpt(excerpt) => excerpt.sections.iter().map(Bytes::len).sum(),
        }
    }

    /// Decodes its entries, in their order.
    ///
    /// # Errors
    /// [`FormatError`]: it is none. What came before the fault is in `out`.
    pub fn entries(&self, out: &mut Vec<Entry>) -> Result<(), FormatError> {
        match self {
            Self::Whole(transaction) => {
                let (header, checked) = open_transaction(transaction)?;
                check_structure(&header, checked)?;
                sections(&header, checked).try_for_each(|section| entries_in(transaction, &header, &section?, out))
            }
            Self::Excerpt(excerpt) => {
                let all = Bytes::from(excerpt.sections.concat());
                let mut at = 0;
                for _ in 0..excerpt.section_count {
                    let section = Section::decode(&all, at)?;
                    at += section.length();
                    entries_in(&all, &excerpt.header, &section, out)?;
                }
                Ok(())
            }
        }
    }
}

fn entries_in(
    buffer: &Bytes,
    header: &TransactionHeader,
    section: &Section<'_>,
    out: &mut Vec<Entry>,
) -> Result<(), FormatError> {
    let wanted = section.first_sequence..=section.last_sequence();
    entries(buffer, 0, header, section, &section.path()?, wanted, out)
}

/// Pieces in the order of the log, or of a segment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PieceBatch {
    /// These.
    pub pieces: Vec<Piece>,
    /// How many entries they hold.
    pub entries: u64,
    /// The place behind the last of them in the log.
    pub cursor: LogCursor,
}

impl PieceBatch {
    /// Bytes of all pieces.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Piece::bytes).sum()
    }
}

/// A read of pieces.
#[derive(Clone, Debug)]
pub struct PiecesRead {
    /// Of what.
    pub source: ReadSource,
    /// Newest first: each batch holds what stands before all batches before it. Within a batch, too, pieces stand in the order of the
    /// log, so it is to be read from its end.
    pub is_backwards: bool,
    /// Which commit times pass.
    pub time: TimeRange,
    /// Which entries pass.
    pub filter: Filter,
    /// Most entries to return.
    pub entries: u64,
    /// No further ones once they have so many bytes of payload and metadata: the last one may go beyond.
    pub bytes: u64,
    /// A read of the log ends at its head of a moment between when it was made and its first batch, instead of going on with what is committed later.
    pub ends_at_head: bool,
}

impl PiecesRead {
    /// All of a source.
    pub fn all(source: ReadSource) -> Self {
        Self {
            source,
            is_backwards: false,
            time: TimeRange::ALL,
            filter: Filter::default(),
            entries: u64::MAX,
            bytes: u64::MAX,
            ends_at_head: false,
        }
    }
}

/// A running read of pieces.
#[async_trait]
pub trait PieceReader: Send {
    /// The next pieces in order, never none; `None` at the end. A batch holds about 256 KiB, or one transaction if that is larger.
    ///
    /// A read of a segment, and one whose limits are reached, is then over. A read of the log goes on, unless it is
    /// backwards or ends at the head: a later call finds what was committed since.
    ///
    /// # Errors
    /// [`ReadError`], [`crate::StorageError::OtherLog`] among them; every later call fails too.
    ///
    /// # Cancel safety
    /// As [`super::EntryReader::next_batch`].
    async fn next_batch(&mut self) -> Result<Option<PieceBatch>, ReadError>;

    /// A place behind all that was returned, and before all that was not. After `None` of a forwards read of the log that is the durable
    /// tail, also where nothing passed since the last batch: whoever goes on behind it need not look through that again. Else it is that
    /// of the last batch; before there was one, where the read began.
    fn cursor(&self) -> LogCursor;
}

//! Transactions as bytes: whole where all of them is wanted, else the sections and records that are.

use std::ops::Range;

use bytes::Bytes;

use super::choice::Chosen;
use super::gather::{BATCH_BYTES, BATCH_ENTRIES, Gather};
use super::place::{Before, Place};
use crate::boundary::pieces::{Excerpt, Piece, PieceBatch};
use crate::format::FormatError;
use crate::format::transaction::{Section, TRANSACTION_HEADER_BYTES, TransactionHeader, section_head};
use crate::log::window::Located;
use streamkit_record::LogPosition;

/// A batch of pieces in the making.
#[derive(Default)]
pub(crate) struct GatheredPieces {
    pieces: Vec<Piece>,
    entries: u64,
    bytes: usize,
    /// As many of them are in `pieces`.
    ended_bytes: usize,
    /// The transaction that came last: more of its sections may follow.
    last: Option<OpenPiece>,
}

/// What was taken of a transaction so far.
struct OpenPiece {
    at: LogPosition,
    header: TransactionHeader,
    transaction: Bytes,
    section_count: u16,
    /// What was taken before `run`.
    sections: Vec<Bytes>,
    /// Whole sections, one behind the other, where they stand in the transaction.
    run: Range<usize>,
    /// The section that came last.
    before: Before,
    /// Records of the transaction before the end of what was taken.
    records: u32,
}

impl OpenPiece {
    fn is_of(&self, located: &Located) -> bool {
        (self.at, self.header.number) == (located.at, located.header.number)
    }

    fn take(&mut self, section: &Section<'_>, chosen: &Chosen) -> Result<(), FormatError> {
        let through = chosen.first().0 - section.first_sequence.0 + chosen.count();
        self.before = self.before.go_to(&self.transaction, section.offset)?;
        self.records = self.before.records.saturating_add(through as u32); // as many as the section has, at most
        self.section_count = self.section_count.saturating_add(1);
        let start = section.offset as usize;
        if chosen.count() == u64::from(section.record_count) {
            if self.run.end != start {
                self.end_run();
                self.run.start = start;
            }
            self.run.end = start + section.length();
            return Ok(());
        }
        self.end_run();
        let within = chosen.within(section)?;
        let head = section_head(section, chosen.first(), chosen.count() as u32, within.len());
        self.sections.push(head.into());
        let base = section.records_offset;
        self.sections
            .push(self.transaction.slice(base + within.start..base + within.end));
        Ok(())
    }

    fn end_run(&mut self) {
        if !self.run.is_empty() {
            self.sections.push(self.transaction.slice(self.run.clone()));
        }
        self.run = 0..0;
    }

    /// Whether all that was taken is the first of it, but not yet all.
    fn may_become_whole(&self) -> bool {
        self.sections.is_empty()
            && self.run.start == TRANSACTION_HEADER_BYTES
            && self.section_count < self.header.section_count
    }

    fn finish(mut self) -> Piece {
        if self.section_count == self.header.section_count
            && self.run == (TRANSACTION_HEADER_BYTES..self.transaction.len())
        {
            return Piece::Whole(self.transaction);
        }
        self.end_run();
        Piece::Excerpt(Excerpt {
            header: self.header,
            section_count: self.section_count,
            sections: self.sections,
        })
    }
}

impl GatheredPieces {
    /// The batch.
    pub(super) fn finish(mut self) -> PieceBatch {
        let place = self
            .last
            .as_ref()
            .map(|last| Place::behind(last.at, &last.header, last.records));
        self.end_last();
        PieceBatch {
            pieces: self.pieces,
            entries: self.entries,
            cursor: place.map(|place| place.cursor()).unwrap_or_default(),
        }
    }

    fn end_last(&mut self) {
        self.pieces.extend(self.last.take().map(OpenPiece::finish));
        self.ended_bytes = self.bytes;
    }
}

impl Gather for GatheredPieces {
    const SECTION_ENTRIES_MAX: u64 = u64::MAX;

    fn take(&mut self, located: &Located, section: &Section<'_>, chosen: &Chosen) -> Result<(), FormatError> {
        let full = self.last.as_ref().is_some_and(|last| last.section_count == u16::MAX);
        if full || !self.last.as_ref().is_some_and(|last| last.is_of(located)) {
            self.end_last();
        }
        let last = self.last.get_or_insert_with(|| OpenPiece {
            at: located.at,
            header: located.header,
            transaction: located.transaction(),
            section_count: 0,
            sections: Vec::new(),
            run: 0..0,
            before: Before::FIRST,
            records: 0,
        });
        last.take(section, chosen)?;
        self.entries += chosen.count();
        // About as many: only that a batch ends depends on it.
        let part = chosen.count() * section.body.len() as u64 / u64::from(section.record_count.max(1));
        self.bytes += part as usize + section.length() - section.body.len();
        Ok(())
    }

    fn append(&mut self, mut behind: Self) {
        self.end_last();
        self.pieces.append(&mut behind.pieces);
        self.entries += behind.entries;
        self.bytes += behind.bytes;
        self.ended_bytes += behind.ended_bytes;
        self.last = behind.last;
    }

    fn entries(&self) -> u64 {
        self.entries
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_full(&self) -> bool {
        let grows = self.last.as_ref().is_some_and(OpenPiece::may_become_whole);
        let bytes = if grows { self.ended_bytes } else { self.bytes };
        bytes >= BATCH_BYTES || self.pieces.len() >= BATCH_ENTRIES
    }
}

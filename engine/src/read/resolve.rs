//! Finds a cursor's place in the log if its segment is gone, or has begun anew. A cursor is (commit time, segment,
//! sequence), and a segment never begins anew in the millisecond of its deletion, so it means at most one entry. The
//! index file of that entry's extent lists it if the segment was deleted in a later extent; otherwise only the log's own
//! bytes have it.

use super::PART_BYTES;
use crate::boundary::SpaceCursor;
use crate::error::StorageError;
use crate::error::corrupt;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, LogState};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::run::SectionAt;
use crate::format::transaction::{
    Kind, TRANSACTION_HEADER_BYTES, TransactionHeader, open_transaction, sections, take_transaction,
};
use crate::format::{FormatError, align_group};
use crate::limits::TRANSACTION_ENCODED_BYTES_MAX;
use crate::log::extents::ExtentIndex;
use crate::log::opened::StoreLog;
use crate::log::walk::{Step, Walk};
use streamkit_record::{LogPosition, Name, SegmentPath, Sequence};

/// Extents whose index is asked before others get a turn.
const EXTENTS_PER_PART: usize = 64;
/// Bytes of the log read for a cursor at most, all of one commit time: what a store that writes 1 GB a second writes in a
/// quarter of one, as long as its clock goes on.
const SEARCH_BYTES_MAX: u64 = 256 << 20;

/// What is known so far.
pub(crate) enum Resolved {
    /// There is more to look through.
    GoOn,
    /// The section that holds the entry.
    Found { extent: u64, place: SectionAt },
    /// It was never committed here; or it stands before all that is listed of its time; or too much was committed in that
    /// very millisecond.
    NotThere,
}

/// A search for the entry of a cursor.
pub(crate) struct Search {
    path: SegmentPath,
    cursor: SpaceCursor,
    /// The first section of the space that an index lists of that time: what stands before all of them need not be found.
    first: LogPosition,
    /// The durable tail of the reader.
    end: LogPosition,
    /// The extent whose index is asked next; `None` when all were.
    next_index: Option<u64>,
    walk: Option<Walk>,
    read_bytes: u64,
}

impl Search {
    pub(crate) fn new(space: Name, cursor: SpaceCursor, first: LogPosition, end: LogPosition) -> Self {
        Self {
            path: SegmentPath {
                space,
                segment: cursor.segment.clone(),
            },
            cursor,
            first,
            end,
            next_index: Some(first.extent),
            walk: None,
            read_bytes: 0,
        }
    }

    /// Looks through the next part.
    ///
    /// # Errors
    /// [`StorageError`]: what cannot be read may be what is looked for, so it is not passed over.
    pub(crate) fn go_on(&mut self, log: &StoreLog) -> Result<Resolved, StorageError> {
        for _ in 0..EXTENTS_PER_PART {
            let Some(extent) = self.next_index else {
                return self.read_log(log);
            };
            if !self.can_hold(log, extent)? {
                self.next_index = None;
                continue;
            }
            if let Some(place) = self.listed(log, extent)? {
                return Ok(Resolved::Found { extent, place });
            }
            self.next_index = Some(extent + 1);
        }
        Ok(Resolved::GoOn)
    }

    /// Whether anything of that time can be in an extent at or behind the first one.
    fn can_hold(&self, log: &StoreLog, extent: u64) -> Result<bool, StorageError> {
        Ok(extent == self.first.extent
            || extent <= self.end.extent && log.extents.started(extent)? <= self.cursor.timestamp)
    }

    /// Where an extent's index file has the entry. What is in memory lists segments that are there, and those were asked.
    fn listed(&self, log: &StoreLog, extent: u64) -> Result<Option<SectionAt>, StorageError> {
        if log.catalog().open.extent == extent {
            return Ok(None);
        }
        let ExtentIndex::File(index) = log.extents.index(extent)? else {
            return Ok(None);
        };
        let sequence = self.cursor.sequence;
        let runs = index.segment_runs(&self.path, sequence, 1)?;
        let holds =
            |run: &&crate::format::run::Run| run.timestamp == self.cursor.timestamp && run.first_sequence <= sequence;
        Ok(runs.first().filter(holds).map(crate::format::run::Run::place))
    }

    fn read_log(&mut self, log: &StoreLog) -> Result<Resolved, StorageError> {
        let until = self.read_bytes + PART_BYTES;
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => match self.first_group(log)? {
                Ok(walk) => walk,
                Err(outcome) => return Ok(outcome),
            },
        };
        while self.read_bytes < until {
            let extent = walk.at().extent;
            if walk.at() >= self.end || self.read_bytes >= SEARCH_BYTES_MAX {
                return Ok(Resolved::NotThere);
            }
            match walk.step()? {
                Step::Group { at, header, body } => {
                    self.read_bytes += header.span() as u64;
                    let start = at + GROUP_HEADER_BYTES as u32;
                    match self.in_transactions(body, take_transaction) {
                        Ok((_, Some(Resolved::Found { place, .. }))) => {
                            let place = (start + place.0, place.1);
                            return Ok(Resolved::Found { extent, place });
                        }
                        Ok((_, Some(outcome))) => return Ok(outcome),
                        Ok((_, None)) => {}
                        Err(error) => return Err(corrupt(log.id, extent, start, error.to_string())),
                    }
                }
                Step::End { at, .. } if extent == self.end.extent => {
                    return Err(corrupt(log.id, extent, at, "no group, before the durable end"));
                }
                Step::End { at, .. } => match self.enter_behind(log, extent, at, Some(walk.state.chain))? {
                    Some(next) => walk = next,
                    None => return Ok(Resolved::NotThere),
                },
            }
        }
        self.walk = Some(walk);
        Ok(Resolved::GoOn)
    }

    /// Looks through what is left of the group in which the first listed section stands; the walk goes on behind it.
    fn first_group(&mut self, log: &StoreLog) -> Result<Result<Walk, Resolved>, StorageError> {
        let (file, header) = log.extents.header(self.first.extent)?;
        let state = LogState {
            chain: 0,
            group_number: 0,
            epoch: 0,
            ..header.state
        };
        let mut walk = Walk::new(file, header.salt, self.first, state)?;
        let damage = |byte: u32, error: FormatError| corrupt(log.id, self.first.extent, byte, error.to_string());
        let mut at = self.first.byte;
        // The group's own header stands before it: each transaction is checked by itself, and what follows the last one is
        // none.
        loop {
            let from_here = TransactionHeader::decode(walk.bytes(at, u64::from(at) + TRANSACTION_HEADER_BYTES as u64)?);
            let Ok(length) = from_here.map(|header| header.length) else {
                break;
            };
            if length as usize > TRANSACTION_ENCODED_BYTES_MAX {
                break;
            }
            let bytes = walk.bytes(at, u64::from(at) + u64::from(length))?;
            match self.in_transactions(bytes, open_transaction) {
                Ok((_, Some(Resolved::Found { place, .. }))) => {
                    let extent = self.first.extent;
                    return Ok(Err(Resolved::Found {
                        extent,
                        place: (at + place.0, place.1),
                    }));
                }
                Ok((_, Some(outcome))) => return Ok(Err(outcome)),
                Ok((read, None)) => at += read,
                Err(error) if at == self.first.byte => return Err(damage(at, error)),
                Err(_) => break,
            }
        }
        self.read_bytes += u64::from(at - self.first.byte);
        // Where the next group would start: the durable end is such a place, too.
        let at = align_group(at as usize) as u32;
        let here = LogPosition { byte: at, ..self.first };
        if here >= self.end {
            return Ok(Err(Resolved::NotThere));
        }
        match walk.next_header(at)? {
            Some((at, header)) => {
                walk.go_to(at, &header);
                Ok(Ok(walk))
            }
            None if here.extent == self.end.extent => Err(damage(at, FormatError::Short)),
            None => {
                let next = self.enter_behind(log, here.extent, at, None)?;
                Ok(next.ok_or(Resolved::NotThere))
            }
        }
    }

    /// Goes on to the extent behind a sealed one whose groups end at `at`, with this `chain` where it is known.
    fn enter_behind(
        &self,
        log: &StoreLog,
        sealed: u64,
        at: u32,
        chain: Option<u32>,
    ) -> Result<Option<Walk>, StorageError> {
        let (_, next) = log.extents.header(sealed + 1)?;
        if next.previous_end != at || chain.is_some_and(|chain| chain != next.state.chain) {
            return Err(corrupt(log.id, sealed, at, "no whole group, though the extent goes on"));
        }
        self.enter(log, sealed + 1)
    }

    /// A walk through an extent from its first group on, if anything of that time can be there.
    fn enter(&self, log: &StoreLog, extent: u64) -> Result<Option<Walk>, StorageError> {
        if !self.can_hold(log, extent)? {
            return Ok(None);
        }
        let byte = EXTENT_HEADER_BYTES as u32;
        let (file, header) = log.extents.header(extent)?;
        Walk::new(file, header.salt, LogPosition { extent, byte }, header.state).map(Some)
    }

    /// Looks through transactions; how many bytes they have, and what was found, its place counted from the first of them.
    fn in_transactions<'a>(
        &self,
        bytes: &'a [u8],
        open: impl Fn(&'a [u8]) -> Result<(TransactionHeader, &'a [u8]), FormatError>,
    ) -> Result<(u32, Option<Resolved>), FormatError> {
        let mut at = 0;
        while at < bytes.len() {
            let (header, transaction) = open(&bytes[at..])?;
            if header.timestamp > self.cursor.timestamp {
                return Ok((at as u32, Some(Resolved::NotThere)));
            }
            if header.kind == Kind::Data && header.timestamp == self.cursor.timestamp {
                for section in sections(&header, transaction) {
                    let section = section?;
                    if self.is_meant(section.names()?, section.first_sequence, section.record_count) {
                        let found = Resolved::Found {
                            extent: 0,
                            place: (at as u32, section.offset),
                        };
                        return Ok((at as u32, Some(found)));
                    }
                }
            }
            at += transaction.len();
        }
        Ok((at as u32, None))
    }

    fn is_meant(&self, (space, segment): (&str, &str), first: Sequence, count: u32) -> bool {
        let ahead = self.cursor.sequence.0.checked_sub(first.0);
        ahead.is_some_and(|ahead| ahead < u64::from(count))
            && segment == self.path.segment.as_str()
            && space == self.path.space.as_str()
    }
}

//! One segment in sequence order.

mod stretches;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::ahead::{Ahead, PART_ENTRIES_MIN};
use super::choice::{Choice, Chosen};
use super::entries::section_of;
use super::gather::{BATCH_BYTES, Gather};
use super::{AT_ONCE_ENTRIES, RUNS_PER_LOOKUP, SKIPPED_RUNS, Scan, close_behind};
use crate::boundary::{SegmentRead, TimeRange};
use crate::disk::nonblocking::without_waiting;
use crate::error::StorageError;
use crate::format::FormatError;
use crate::format::run::Run;
use crate::index::runs::SegmentNumber;
use crate::index::segments::Begun;
use crate::log::extents::SegmentPart;
use crate::log::opened::StoreLog;
use crate::log::window::Window;
use streamkit_record::{SegmentPath, Sequence};

/// Entries from which on it is known what the next ones are like.
const ENTRIES_KNOWN_MIN: u64 = 16;

/// A scan of one segment, up to the head of the moment it was made.
pub(crate) struct SegmentScan<G: Gather> {
    log: Arc<StoreLog>,
    path: SegmentPath,
    number: SegmentNumber,
    begun: Begun,
    next: Sequence,
    last: Sequence,
    time: TimeRange,
    choice: Choice,
    /// What is still to be read of each extent, the next one last; `None` until looked up.
    parts: Option<Vec<SegmentPart>>,
    newest: u64,
    runs: VecDeque<Run>,
    /// Where these are.
    part: Option<SegmentPart>,
    window: Window,
    /// What another thread reads: the entries from this sequence on.
    ahead: Option<(Sequence, Ahead<SegmentScan<G>>)>,
}

impl<G: Gather> SegmentScan<G> {
    /// Of any entries.
    pub(crate) fn new(log: Arc<StoreLog>, read: SegmentRead) -> Self {
        let choice = Choice::any(read.limit);
        Self::of(log, read.path, read.from..=read.to, read.time, choice)
    }

    /// Of those of `wanted` that are chosen.
    pub(crate) fn of(
        log: Arc<StoreLog>,
        path: SegmentPath,
        wanted: RangeInclusive<Sequence>,
        time: TimeRange,
        mut choice: Choice,
    ) -> Self {
        if !choice.filter.passes_segment(path.segment.as_str().as_bytes()) {
            choice.left = 0;
        }
        let found = {
            let catalog = log.catalog();
            catalog.find(&path).map(|(number, segment)| {
                (
                    (number, segment.begun),
                    segment.first_sequence,
                    segment.head,
                    u64::from(segment.last_extent),
                )
            })
        };
        // Nothing there: a range that ends before it begins.
        let nothing = ((0, Begun::BEFORE_ALL), Sequence::FIRST, Sequence(0), 0);
        let ((number, begun), first, head, newest) = found.unwrap_or(nothing);
        let window = Window::new(log.id, newest);
        Self {
            log,
            number,
            begun,
            next: first.max(*wanted.start()),
            last: head.min(*wanted.end()),
            time,
            choice,
            parts: None,
            newest,
            runs: VecDeque::new(),
            part: None,
            window,
            ahead: None,
            path,
        }
    }

    /// The parts to read, newest first. Extents that end before the wanted time are passed over.
    fn find_parts(&mut self) -> Result<Vec<SegmentPart>, StorageError> {
        let mut found = self
            .log
            .parts_of(self.number, &self.path, self.newest, self.next..=self.last)?;
        self.check_same_life()?;
        if self.time.after > TimeRange::ALL.after {
            let first = self.log.extents.first_since(self.time.after, self.newest)?;
            let passed_over = found.iter().any(|part| part.extent < first);
            found.retain(|part| part.extent >= first);
            match found.last() {
                _ if !passed_over => {}
                Some(part) => self.next = self.next.max(part.first_sequence),
                None => self.choice.left = 0,
            }
        }
        Ok(found)
    }

    /// Sealed extents are asked by name: after a delete and a new beginning, what they answer is of another segment.
    fn check_same_life(&self) -> Result<(), StorageError> {
        let life = (self.number, self.begun);
        if self.log.catalog().is_same_life(&self.path, life) {
            Ok(())
        } else {
            Err(StorageError::Deleted(self.path.clone()))
        }
    }

    /// The next run, in whichever extent it is.
    fn refill(&mut self) -> Result<(), StorageError> {
        if self.parts.is_none() {
            self.parts = Some(self.find_parts()?);
        }
        let parts = self.parts.as_mut().expect("looked up above");
        while let Some(part) = parts.last().filter(|_| self.runs.is_empty()).copied() {
            // Each run has an entry at least.
            let wanted = self.last.0.saturating_sub(self.next.0).saturating_add(1);
            let most = u32::try_from(wanted).map_or(RUNS_PER_LOOKUP, |wanted| wanted.min(RUNS_PER_LOOKUP));
            let runs = self.log.runs_in(&part, self.number, &self.path, self.next, most)?;
            if runs.len() < most as usize {
                parts.pop();
            }
            if !runs.is_empty() {
                self.window.turn_to(part.extent);
                self.part = Some(part);
                self.runs = runs.into();
            }
        }
        self.check_same_life()?;
        Ok(())
    }

    /// A scan of the same segment that has nothing yet.
    fn beside(&self) -> Self {
        Self {
            log: Arc::clone(&self.log),
            path: self.path.clone(),
            window: Window::new(self.log.id, self.newest),
            parts: None,
            runs: VecDeque::new(),
            part: None,
            ahead: None,
            choice: self.choice.clone(),
            ..*self
        }
    }

    /// Has the second half of a batch read by another thread, where each entry takes a read of its own. `entries` of `bytes`
    /// are in the batch so far.
    fn read_ahead(&mut self, entries: u64, bytes: usize) {
        let started = self.ahead.is_some() || entries < ENTRIES_KNOWN_MIN;
        if started || self.runs.len() < 2 || !self.is_scattered() || !self.takes_all() {
            return;
        }
        let like_these = BATCH_BYTES.saturating_sub(bytes) as u64 * entries / bytes.max(1) as u64;
        let left = (self.last.0 - self.next.0).saturating_add(1).min(self.choice.left);
        let part = left.min(like_these) / 2;
        if part < PART_ENTRIES_MIN {
            return;
        }
        let first = Sequence(self.next.0 + part);
        let ahead = Ahead::start(&self.log, || {
            let mut parts = self.parts.clone().unwrap_or_default();
            parts.extend(
                self.part
                    .filter(|now| parts.last().is_none_or(|last| last.extent != now.extent)),
            );
            while parts.len() > 1 && parts[parts.len() - 2].first_sequence <= first {
                parts.pop();
            }
            Self {
                window: self.window.beside(),
                next: first,
                last: Sequence(first.0 + part - 1),
                parts: Some(parts),
                ..self.beside()
            }
        });
        self.ahead = ahead.map(|ahead| (first, ahead));
    }

    /// Whether the next entries are each in a place of its own.
    fn is_scattered(&self) -> bool {
        let next = self.runs.iter().take(4);
        next.clone().all(|run| run.count == 1) && close_behind(next.map(|run| run.trx_byte)) == 0
    }

    /// Adds what another thread has read, if that comes next.
    fn take_ahead(&mut self, out: &mut G) {
        let Some((first, ahead)) = self.ahead.take_if(|(first, _)| *first <= self.next) else {
            return;
        };
        let Some(read) = ahead.finish() else { return };
        if first != self.next {
            return;
        }
        self.choice.left -= read.entries();
        self.next = Sequence(self.next.0 + read.entries());
        while self.runs.front().is_some_and(|run| run.last_sequence() < self.next) {
            self.runs.pop_front();
        }
        out.append(read);
    }

    /// Whether nothing but the limit keeps any entry out.
    fn takes_all(&self) -> bool {
        self.choice.is_any() && (self.time.after, self.time.until) == (TimeRange::ALL.after, TimeRange::ALL.until)
    }
}

impl<G: Gather> Scan for SegmentScan<G> {
    type Batch = G;

    fn is_done(&self) -> bool {
        self.choice.left == 0 || self.next > self.last
    }

    fn explain(&self, error: StorageError) -> StorageError {
        self.log.naming_segments(error, Some(&self.path))
    }

    fn without_waiting(&mut self) -> Option<Option<G>> {
        let few = self.last.0.saturating_sub(self.next.0) < AT_ONCE_ENTRIES || self.choice.left <= AT_ONCE_ENTRIES;
        if self.parts.is_some() || !few || !self.takes_all() || !self.log.extents.can_read_without_waiting() {
            return None;
        }
        let mut copy = self.beside();
        let read = without_waiting(|| copy.next_batch())?.ok()?;
        // Large entries may have filled the batch before the last one.
        if !copy.is_done() {
            return None;
        }
        *self = copy;
        Some(read)
    }

    fn next_batch(&mut self) -> Result<Option<G>, StorageError> {
        let mut out = G::default();
        let mut skipped = 0;
        while !self.is_done() && !out.is_full() {
            let before = out.entries();
            self.take_ahead(&mut out);
            if out.entries() > before {
                continue;
            }
            self.read_ahead(before, out.bytes());
            if self.runs.is_empty() {
                self.refill()?;
                if self.choice.left == 0 {
                    break;
                }
            }
            let Some(run) = self.runs.front().copied() else {
                return Err(crate::error::corrupt(
                    self.log.id,
                    self.newest,
                    0,
                    format!("no entry {} of {}, whose head is {}", self.next, self.path, self.last),
                ));
            };
            if run.first_sequence > self.next {
                return Err(self.window.damage(
                    run.trx_byte,
                    FormatError::Invalid("a run that does not continue its segment"),
                ));
            }
            if run.timestamp > self.time.until {
                self.next = Sequence(u64::MAX); // times never go backwards: nothing later can pass
                break;
            }
            if self.time.contains(run.timestamp) {
                let runs = &self.runs;
                let close = || close_behind(runs.iter().map(|run| run.trx_byte));
                let located = self.window.transaction(&self.log.extents, run.trx_byte, close)?;
                let section = section_of(&self.window, &located, &run, &self.path)?;
                let (wanted, most) = (self.next..=self.last.min(run.last_sequence()), G::SECTION_ENTRIES_MAX);
                let take = |chosen: &Chosen| out.take(&located, &section, chosen);
                let next = self.choice.each(&section, wanted, most, take);
                self.next = next.map_err(|error| self.window.damage(run.trx_byte, error))?;
                skipped += usize::from(out.entries() == before);
                if before == 0 {
                    out.make_room(self.choice.left.min((self.last.0 + 1).saturating_sub(self.next.0)));
                }
            } else {
                self.next = run.last_sequence().next();
                skipped += 1;
            }
            if self.next > run.last_sequence() {
                self.runs.pop_front();
            }
            if skipped >= SKIPPED_RUNS {
                return Ok(Some(out));
            }
        }
        Ok((out.entries() > 0).then_some(out))
    }
}

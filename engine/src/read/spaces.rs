//! Reads spaces in log order, the order in which entries became visible: a reader that continues after a cursor never
//! misses an entry before it.

mod few;
mod lookup;
mod section;
mod start;
pub(crate) mod stretches;

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

use self::lookup::Listings;
use super::choice::Choice;
use super::entries::ANOTHER_SECTION;
use super::find::PlaceSearch;
use super::gather::Gather;
use super::listed::{FoundSection, Listed};
use super::place::Place;
use super::resolve::Search;
use super::sources::Sources;
use super::{SKIPPED_READS, SKIPPED_RUNS, Scan};
use crate::boundary::{SpaceCursor, SpacesRead, TimeRange};
use crate::error::StorageError;
use crate::format::run::SectionAt;
use crate::log::opened::StoreLog;
use crate::log::shown::{End, Newest};
use crate::log::window::Window;
use streamkit_record::{LogCursor, LogPosition, Name, Sequence};

/// Where a space's reader goes on.
enum Start {
    /// Everything.
    Beginning,
    /// Behind a place in the log.
    Behind(Place),
    /// After an entry that is there: its place in the log, and its sequence within that section.
    After {
        extent: u64,
        place: SectionAt,
        sequence: Sequence,
    },
    /// After a cursor whose entry is not there (its segment was deleted, or it was made elsewhere): by its time. Where its
    /// entry stands among others of that very millisecond is looked up when the first of them is met.
    AfterTime(SpaceCursor),
    /// As before, but nothing of that millisecond is known to stand before it: all that is there is returned, since it must
    /// not be skipped.
    BeforeTime(SpaceCursor),
}

/// Whether a scan has found where it begins.
enum Beginning {
    Yes,
    /// There is more to look through.
    NotYet,
    /// Nothing was ever written, or nothing is wanted.
    Nothing,
}

/// Where a scan goes on, before it is looked up.
enum Begin {
    /// Each space after an entry of its own.
    Each(BTreeMap<Name, Option<SpaceCursor>>),
    /// All behind one place.
    Behind(LogCursor),
}

/// A scan of some spaces, up to the durable tail of the moment it was made.
pub(crate) struct SpacesScan<G: Gather> {
    log: Arc<StoreLog>,
    sources: Sources,
    begin: Begin,
    /// Of each space.
    starts: Option<Vec<Start>>,
    time: TimeRange,
    choice: Choice,
    ends_at_head: bool,
    end: LogPosition,
    /// The transaction before it.
    newest: Option<Newest>,
    extent: u64,
    next_place: SectionAt,
    found: VecDeque<FoundSection>,
    /// How the index file of the extent is asked, if it is one that was.
    asked: Option<Listings>,
    window: Window,
    listed: Listed,
    /// The rest of a section that did not fit the last batch: its place, and the next sequence.
    resume: Option<(SectionAt, Sequence)>,
    /// For the place of a cursor: the space.
    search: Option<(usize, Search)>,
    /// The same, for the place behind which all go on.
    place_search: Option<PlaceSearch>,
    gathered: PhantomData<fn() -> G>,
}

impl<G: Gather> SpacesScan<G> {
    /// Of whole spaces, up to the durable tail.
    pub(crate) fn new(log: Arc<StoreLog>, read: SpacesRead) -> Self {
        let sources = Sources::spaces(read.spaces.keys());
        Self::starting(
            log,
            sources,
            Begin::Each(read.spaces),
            read.time,
            Choice::any(read.limit),
        )
    }

    /// Of what is chosen of some sources behind a place; it goes on with what is committed later.
    pub(crate) fn of(log: Arc<StoreLog>, sources: Sources, behind: LogCursor, time: TimeRange, choice: Choice) -> Self {
        Self::starting(log, sources, Begin::Behind(behind), time, choice)
    }

    /// The same, which ends at the durable tail of when it was made.
    pub(crate) fn ending_at_head(self) -> Self {
        let ends_at_head = true;
        Self { ends_at_head, ..self }
    }

    /// Whether it began behind a place, which it tells when it ends.
    fn is_behind(&self) -> bool {
        matches!(self.begin, Begin::Behind(_))
    }

    fn starting(log: Arc<StoreLog>, sources: Sources, begin: Begin, time: TimeRange, choice: Choice) -> Self {
        let End { tail: end, newest } = log.shown.end();
        let window = Window::new(log.id, end.extent);
        Self {
            log,
            sources,
            begin,
            starts: None,
            time,
            choice,
            gathered: PhantomData,
            ends_at_head: false,
            end,
            newest,
            extent: 0,
            next_place: (0, 0),
            found: VecDeque::new(),
            asked: None,
            window,
            listed: Listed::default(),
            resume: None,
            search: None,
            place_search: None,
        }
    }

    /// Looks up the next sections, in this extent or the next ones; each lookup counts in `looked_up`. There are no more if
    /// it ends with none before that is [`SKIPPED_READS`].
    fn refill(&mut self, looked_up: &mut usize) -> Result<(), StorageError> {
        while self.found.is_empty() && self.extent <= self.end.extent && *looked_up < SKIPPED_READS {
            *looked_up += 1;
            let (found, next) = self.lookup()?;
            let (extent, end) = (self.extent, self.end);
            let is_before = |found: &FoundSection| self.log_position(found.place) < end;
            self.found = found.into_iter().filter(is_before).collect();
            if !self.found.is_empty() {
                self.window.turn_to(extent);
            }
            match next {
                Some(place) if self.log_position(place) < end => self.next_place = place,
                // What was found is read from its own window before the next extent's is opened.
                _ => {
                    self.extent += 1;
                    self.next_place = (0, 0);
                }
            }
        }
        Ok(())
    }
}

impl<G: Gather> Scan for SpacesScan<G> {
    type Batch = G;

    fn is_done(&self) -> bool {
        self.choice.left == 0
    }

    fn goes_on(&self) -> bool {
        self.is_behind() && !self.ends_at_head && !self.is_done()
    }

    fn place(&self) -> Option<Place> {
        let newest = self.newest.filter(|_| self.starts.is_some() && self.is_at_end());
        newest.map(|newest| newest.place())
    }

    fn explain(&self, error: StorageError) -> StorageError {
        self.log.naming_segments(error, None)
    }

    fn without_waiting(&mut self) -> Option<Option<G>> {
        self.read_few()
    }

    fn next_batch(&mut self) -> Result<Option<G>, StorageError> {
        if self.goes_on() {
            self.go_on();
        }
        let batch = self.next_listed()?;
        if batch.is_none() {
            self.look_for_newest();
            // Nobody knows how long it waits: the memory of its last read may go.
            self.window = Window::new(self.log.id, self.end.extent);
        }
        Ok(batch)
    }
}

impl<G: Gather> SpacesScan<G> {
    /// The next batch, of which all stands where the index lists it.
    fn next_listed(&mut self) -> Result<Option<G>, StorageError> {
        let batch = self.gather()?;
        match self.listed.misplaced(&self.log)? {
            None => Ok(batch),
            Some(byte) => Err(self.window.damage(byte, ANOTHER_SECTION)),
        }
    }

    /// The next batch, of which the last entry is not yet known to stand where the index lists it.
    fn gather(&mut self) -> Result<Option<G>, StorageError> {
        let mut out = G::default();
        match self.begun()? {
            Beginning::Yes => {}
            Beginning::Nothing => return Ok(None),
            Beginning::NotYet => return Ok(Some(out)),
        }
        let (mut skipped, mut read_for_nothing) = (0, 0);
        while self.choice.left > 0 && !out.is_full() {
            if skipped >= SKIPPED_RUNS || read_for_nothing >= SKIPPED_READS {
                return Ok(Some(out));
            }
            if self.found.is_empty() {
                self.refill(&mut read_for_nothing)?;
            }
            let Some(found) = self.found.pop_front() else {
                if self.extent <= self.end.extent {
                    continue;
                }
                break;
            };
            if found.timestamp > self.time.until {
                self.choice.left = 0; // times never go backwards: nothing later can pass
                break;
            }
            let extent = self.window.extent();
            if self.time.contains(found.timestamp) && !self.is_resolved(&found)? {
                self.found.push_front(found);
                return Ok(Some(out));
            }
            if !self.time.contains(found.timestamp) || self.is_seen(&found, extent) {
                skipped += 1;
                continue;
            }
            let before = out.entries();
            if !self.read(&found, &mut out)? {
                self.found.push_front(found);
            }
            read_for_nothing += usize::from(out.entries() == before);
            if before == 0 && out.entries() > 0 {
                out.make_room(self.choice.left.min(self.found.len() as u64));
            }
        }
        Ok((out.entries() > 0).then_some(out))
    }
}

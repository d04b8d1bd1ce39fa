//! Reads spaces in log order, the order in which entries became visible: a reader that continues after a cursor never
//! misses an entry before it.

mod section;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::entries::ANOTHER_SECTION;
use super::listed::{FoundSection, Listed};
use super::resolve::Search;
use super::{RUNS_PER_LOOKUP, SKIPPED_READS, SKIPPED_RUNS, Scan, full, make_room, weight};
use crate::boundary::{SpaceCursor, SpacesRead, TimeRange};
use crate::error::StorageError;
use crate::format::log_start::LogStart;
use crate::format::run::SectionAt;
use crate::index::runs::ExtentRuns;
use crate::index::segments::{Segments, SpaceNumber};
use crate::log::extents::ExtentIndex;
use crate::log::opened::StoreLog;
use crate::log::window::Window;
use streamkit_record::{Entry, LogPosition, Name, Sequence};

/// Where a space's reader goes on.
enum Start {
    /// Everything.
    Beginning,
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

/// A scan of some spaces, up to the durable tail of the moment it was made.
pub(crate) struct SpacesScan {
    log: Arc<StoreLog>,
    spaces: BTreeMap<Name, Option<SpaceCursor>>,
    starts: Option<BTreeMap<Name, Start>>,
    time: TimeRange,
    left: u64,
    end: LogPosition,
    extent: u64,
    next_place: SectionAt,
    found: VecDeque<FoundSection>,
    window: Window,
    listed: Listed,
    /// The rest of a section that did not fit the last batch: its place, and the next sequence.
    resume: Option<(SectionAt, Sequence)>,
    /// For the place of a cursor: the space.
    search: Option<(Name, Search)>,
}

impl SpacesScan {
    pub(crate) fn new(log: Arc<StoreLog>, read: SpacesRead) -> Self {
        let end = LogPosition::of_local(*log.tail.borrow());
        let window = Window::new(log.id, end.extent);
        Self {
            log,
            spaces: read.spaces,
            starts: None,
            time: read.time,
            left: read.limit,
            end,
            extent: 0,
            next_place: (0, 0),
            found: VecDeque::new(),
            window,
            listed: Listed::default(),
            resume: None,
            search: None,
        }
    }

    /// Finds out where each space goes on, and from which extent to read.
    fn start(&mut self) -> Result<(), StorageError> {
        let mut starts = BTreeMap::new();
        let mut first = u64::MAX;
        for (space, cursor) in &self.spaces {
            let start = match cursor {
                None => Start::Beginning,
                Some(cursor) => self.resolve(space, cursor)?,
            };
            first = first.min(match &start {
                Start::After { extent, .. } => *extent,
                Start::Beginning => LogStart::WHOLE.extent(),
                Start::AfterTime(cursor) | Start::BeforeTime(cursor) => {
                    self.log.extents.first_since(cursor.timestamp, self.end.extent)?
                }
            });
            starts.insert(space.clone(), start);
        }
        if self.time.after > TimeRange::ALL.after {
            first = first.max(self.log.extents.first_since(self.time.after, self.end.extent)?);
        }
        self.extent = first;
        if let [Start::After { extent, place, .. }] = &starts.values().collect::<Vec<_>>()[..]
            && *extent == first
        {
            self.next_place = *place;
        }
        self.starts = Some(starts);
        Ok(())
    }

    fn resolve(&self, space: &Name, cursor: &SpaceCursor) -> Result<Start, StorageError> {
        let path = streamkit_record::SegmentPath {
            space: space.clone(),
            segment: cursor.segment.clone(),
        };
        Ok(match self.log.locate(&path, cursor.sequence)? {
            Some((extent, run)) if run.timestamp == cursor.timestamp => Start::After {
                extent,
                place: run.place(),
                sequence: cursor.sequence,
            },
            _ => Start::AfterTime(cursor.clone()),
        })
    }

    /// Looks up the next sections, in this extent or the next ones; each lookup counts in `looked_up`. There are no more if
    /// it ends with none before that is [`SKIPPED_READS`].
    fn refill(&mut self, looked_up: &mut usize) -> Result<(), StorageError> {
        while self.found.is_empty() && self.extent <= self.end.extent && *looked_up < SKIPPED_READS {
            *looked_up += 1;
            let (found, next) = self.lookup()?;
            let extent = self.extent;
            let end = self.end;
            self.found = found
                .into_iter()
                .filter(|found| {
                    LogPosition {
                        extent,
                        byte: found.place.0,
                    } < end
                })
                .collect();
            if !self.found.is_empty() {
                self.window.turn_to(extent);
            }
            match next {
                Some(place) => self.next_place = place,
                // What was found is read from its own window before the next extent's is opened.
                None => {
                    self.extent += 1;
                    self.next_place = (0, 0);
                }
            }
        }
        Ok(())
    }

    /// Sections of the wanted spaces from the next place on, and where to look after them; `None` at the extent's end.
    fn lookup(&self) -> Result<(Vec<FoundSection>, Option<SectionAt>), StorageError> {
        {
            let catalog = self.log.catalog();
            if catalog.open.extent == self.extent {
                return Ok(self.lookup_runs(&catalog.open, catalog.segments()));
            }
        }
        match self.log.extents.index(self.extent)? {
            ExtentIndex::Memory { runs, segments } => Ok(self.lookup_runs(&runs, &segments)),
            ExtentIndex::File(index) => {
                let mut found = Vec::new();
                let mut horizon: Option<SectionAt> = None;
                for space in self.spaces.keys() {
                    let postings = index.postings(space, self.next_place, RUNS_PER_LOOKUP)?;
                    if postings.len() == RUNS_PER_LOOKUP as usize {
                        // There may be more of this space beyond: what lies further of the others waits.
                        let last = postings[postings.len() - 1].place;
                        horizon = Some(horizon.map_or(last, |place| place.min(last)));
                    }
                    found.extend(postings.into_iter().map(|posting| FoundSection {
                        place: posting.place,
                        timestamp: posting.timestamp,
                        space: space.clone(),
                    }));
                }
                found.sort_unstable_by_key(|found| found.place);
                if let Some(horizon) = horizon {
                    found.retain(|found| found.place <= horizon);
                }
                Ok((found, horizon.map(after)))
            }
        }
    }

    fn lookup_runs(&self, runs: &ExtentRuns, segments: &Segments) -> (Vec<FoundSection>, Option<SectionAt>) {
        let wanted: BTreeMap<SpaceNumber, &Name> = self
            .spaces
            .keys()
            .filter_map(|space| Some((segments.space_number(space)?, space)))
            .collect();
        let mut found = Vec::new();
        let mut last = (0, 0);
        let mut runs = runs.in_order(self.next_place);
        // A bounded number at a time, so that the committer never waits long for the catalog.
        for owned in runs.by_ref().take(16 * RUNS_PER_LOOKUP as usize) {
            last = owned.run.place();
            if let Some(&space) = wanted.get(&segments.rows[owned.segment].space) {
                found.push(FoundSection {
                    place: last,
                    timestamp: owned.run.timestamp,
                    space: space.clone(),
                });
            }
        }
        (found, runs.next().map(|_| after(last)))
    }
}

fn after(place: SectionAt) -> SectionAt {
    (place.0, place.1.saturating_add(1))
}

impl Scan for SpacesScan {
    fn is_done(&self) -> bool {
        self.left == 0
    }

    fn explain(&self, error: StorageError) -> StorageError {
        self.log.naming_segments(error, None)
    }

    fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, StorageError> {
        let batch = self.gather()?;
        match self.listed.misplaced(&self.log)? {
            None => Ok(batch),
            Some(byte) => Err(self.window.damage(byte, ANOTHER_SECTION)),
        }
    }
}

impl SpacesScan {
    /// The next batch, of which the last entry is not yet known to stand where the index lists it.
    fn gather(&mut self) -> Result<Option<Vec<Entry>>, StorageError> {
        if self.spaces.is_empty() || self.end.byte == 0 {
            return Ok(None);
        }
        if self.starts.is_none() {
            self.start()?;
        }
        let mut out = Vec::new();
        let mut bytes = 0;
        let (mut skipped, mut read_for_nothing) = (0, 0);
        while self.left > 0 && !full(&out, bytes) {
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
                self.left = 0; // times never go backwards: nothing later can pass
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
            let before = out.len();
            if !self.read(&found, &mut out)? {
                self.found.push_front(found);
            }
            bytes += weight(&out[before..]);
            read_for_nothing += usize::from(out.len() == before);
            if before == 0 && !out.is_empty() {
                make_room(&mut out, bytes, self.left.min(self.found.len() as u64));
            }
        }
        Ok((!out.is_empty()).then_some(out))
    }
}

//! Where a scan begins, and where it goes on.

use super::{Begin, Beginning, SpacesScan, Start};
use crate::boundary::{SpaceCursor, TimeRange};
use crate::error::StorageError;
use crate::format::log_start::LogStart;
use crate::log::shown::End;
use crate::log::window::Window;
use crate::read::Scan;
use crate::read::find::PlaceSearch;
use crate::read::gather::Gather;
use crate::read::place::Place;
use streamkit_record::{LogCursor, Name};

impl<G: Gather> SpacesScan<G> {
    /// Finds out where to begin, if that is not known.
    pub(super) fn begun(&mut self) -> Result<Beginning, StorageError> {
        if self.end.byte == 0 {
            return match &self.begin {
                Begin::Behind(cursor) if !Place::is_beginning(cursor) => Err(StorageError::OtherLog),
                _ => Ok(Beginning::Nothing),
            };
        }
        if self.starts.is_none() && !self.start()? {
            return Ok(Beginning::NotYet);
        }
        Ok(if self.sources.is_empty() {
            Beginning::Nothing
        } else {
            Beginning::Yes
        })
    }

    /// Finds out where each space goes on, and from which extent to read; `false`: there is more to look through.
    fn start(&mut self) -> Result<bool, StorageError> {
        let mut starts = Vec::new();
        let mut first = u64::MAX;
        let spaces = match &self.begin {
            Begin::Each(spaces) => spaces,
            Begin::Behind(cursor) => return self.start_behind(&cursor.clone()),
        };
        for (space, cursor) in spaces {
            let start = match cursor {
                None => Start::Beginning,
                Some(cursor) => self.resolve(space, cursor)?,
            };
            first = first.min(match &start {
                Start::After { extent, .. } => *extent,
                Start::Behind(place) => place.at.extent,
                Start::Beginning => LogStart::WHOLE.extent(),
                Start::AfterTime(cursor) | Start::BeforeTime(cursor) => {
                    self.log.extents.first_since(cursor.timestamp, self.end.extent)?
                }
            });
            starts.push(start);
        }
        if self.time.after > TimeRange::ALL.after {
            first = first.max(self.log.extents.first_since(self.time.after, self.end.extent)?);
        }
        self.extent = first;
        if let [Start::After { extent, place, .. }] = &starts[..]
            && *extent == first
        {
            self.next_place = *place;
        }
        self.starts = Some(starts);
        Ok(true)
    }

    /// The same for one place that all go on behind.
    fn start_behind(&mut self, cursor: &LogCursor) -> Result<bool, StorageError> {
        self.extent = LogStart::WHOLE.extent();
        let mut place = None;
        if !Place::is_beginning(cursor) {
            let mut search = match self.place_search.take() {
                Some(search) => search,
                None => PlaceSearch::new(Place::of(cursor).ok_or(StorageError::OtherLog)?),
            };
            let Some(found) = search.go_on(&self.log, &mut self.window, self.end)? else {
                self.place_search = Some(search);
                return Ok(false);
            };
            (self.extent, self.next_place) = (found.at.extent, (found.at.byte, 0));
            place = Some(found);
        }
        if self.time.after > TimeRange::ALL.after {
            let first = self.log.extents.first_since(self.time.after, self.end.extent)?;
            if first > self.extent {
                (self.extent, self.next_place) = (first, (0, 0));
            }
        }
        let starts = self
            .sources
            .names()
            .map(|_| place.map_or(Start::Beginning, Start::Behind));
        self.starts = Some(starts.collect());
        Ok(true)
    }

    /// Whether it has come to its end.
    pub(super) fn is_at_end(&self) -> bool {
        self.found.is_empty() && self.resume.is_none() && self.extent > self.end.extent
    }

    /// Goes on behind its end, with what is durable by now.
    pub(super) fn go_on(&mut self) {
        let End { tail, newest } = self.log.shown.end();
        if self.starts.is_none() {
            (self.end, self.newest) = (tail, newest);
        } else if self.is_at_end() && self.end < tail {
            (self.extent, self.next_place) = (self.end.extent, (self.end.byte, 0));
            (self.end, self.newest) = (tail, newest);
            // What was read with the last transaction may be what stood behind the end then.
            self.window = Window::new(self.log.id, tail.extent);
        }
    }

    /// Finds out which transaction its end stands behind. It is of no read that this one cannot be read, or that the log has gone on.
    pub(super) fn look_for_newest(&mut self) {
        if self.newest.is_none() && self.end.byte > 0 && self.is_behind() && !self.is_done() {
            let end = self.log.known_end().ok();
            self.newest = end.filter(|end| end.tail == self.end).and_then(|end| end.newest);
        }
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
}

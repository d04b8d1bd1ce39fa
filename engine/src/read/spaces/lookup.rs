//! Where an extent lists what is wanted: in memory by all of its runs, in an index file by the sections of a space, or by those of the
//! wanted segments where these are few beside all.

use std::collections::BTreeMap;

use super::SpacesScan;
use crate::error::StorageError;
use crate::format::index::SegmentRow;
use crate::format::run::SectionAt;
use crate::index::runs::ExtentRuns;
use crate::index::sealed::IndexFile;
use crate::index::segments::{Segments, SpaceNumber};
use crate::log::extents::ExtentIndex;
use crate::read::RUNS_PER_LOOKUP;
use crate::read::gather::Gather;
use crate::read::listed::FoundSection;
use streamkit_record::LogPosition;

/// So many sections must a space have for each segment that is looked up by itself: finding one takes a few pages.
const SECTIONS_PER_SEGMENT: u32 = 8;
/// Runs looked up of one of many segments, at least.
const RUNS_PER_SEGMENT: u32 = 8;

/// How the index file of an extent is asked for what is wanted of each space.
pub(super) struct Listings {
    extent: u64,
    spaces: Vec<Listing>,
}

enum Listing {
    /// By all sections of the space.
    Space,
    /// By those of these segments.
    Segments(Vec<SegmentRow>),
}

/// Sections, and where to look after them; `None` at the extent's end.
type Sections = (Vec<FoundSection>, Option<SectionAt>);

impl<G: Gather> SpacesScan<G> {
    /// Sections of what is wanted, from the next place on.
    pub(super) fn lookup(&mut self) -> Result<Sections, StorageError> {
        {
            let catalog = self.log.catalog();
            if catalog.open.extent == self.extent {
                return Ok(self.lookup_runs(&catalog.open, catalog.segments()));
            }
        }
        match self.log.extents.index(self.extent)? {
            ExtentIndex::Memory { runs, segments } => Ok(self.lookup_runs(&runs, &segments)),
            ExtentIndex::File(index) => {
                let asked = match self.asked.take().filter(|asked| asked.extent == self.extent) {
                    Some(asked) => asked,
                    None => self.ask(&index)?,
                };
                let found = self.lookup_file(&index, &asked);
                self.asked = Some(asked);
                found
            }
        }
    }

    /// Decides how an index file is asked.
    fn ask(&self, index: &IndexFile) -> Result<Listings, StorageError> {
        let mut spaces = Vec::new();
        for (space, name) in self.sources.names().enumerate() {
            let most = index.posting_count(name)? / SECTIONS_PER_SEGMENT;
            let prefix = &self.choice.filter.prefix;
            let paths = {
                let catalog = self.log.catalog();
                let part = self.sources.part(space);
                part.few(&catalog, name, prefix, self.extent, most as usize)
            };
            spaces.push(match paths {
                None => Listing::Space,
                Some(paths) => {
                    let rows = paths.iter().filter_map(|path| index.segment(path).transpose());
                    Listing::Segments(rows.collect::<Result<_, _>>()?)
                }
            });
        }
        let extent = self.extent;
        Ok(Listings { extent, spaces })
    }

    fn lookup_file(&self, index: &IndexFile, asked: &Listings) -> Result<Sections, StorageError> {
        let mut found = Vec::new();
        let mut horizon: Option<SectionAt> = None;
        // There may be more of one beyond as many as were asked for: what lies further of the others waits.
        let mut up_to = |last: Option<SectionAt>, is_all: bool| {
            if let Some(last) = last.filter(|_| !is_all) {
                horizon = Some(horizon.map_or(last, |place| place.min(last)));
            }
        };
        for ((space, name), listing) in self.sources.names().enumerate().zip(&asked.spaces) {
            match listing {
                Listing::Space => {
                    let postings = index.postings(name, self.next_place, RUNS_PER_LOOKUP)?;
                    let last = postings.last().map(|last| last.place);
                    up_to(last, postings.len() < RUNS_PER_LOOKUP as usize);
                    found.extend(postings.into_iter().map(|posting| FoundSection {
                        place: posting.place,
                        timestamp: posting.timestamp,
                        space,
                        is: None,
                    }));
                }
                Listing::Segments(rows) => {
                    let each = RUNS_PER_LOOKUP * 4 / u32::try_from(rows.len().max(1)).unwrap_or(u32::MAX);
                    let most = each.clamp(RUNS_PER_SEGMENT, RUNS_PER_LOOKUP);
                    for row in rows {
                        let runs = index.runs_behind(row, self.next_place, most)?;
                        up_to(runs.last().map(|run| run.place()), runs.len() < most as usize);
                        found.extend(runs.into_iter().map(|run| FoundSection {
                            place: run.place(),
                            timestamp: run.timestamp,
                            space,
                            is: Some((run.first_sequence, run.count)),
                        }));
                    }
                }
            }
        }
        found.sort_unstable_by_key(|found| found.place);
        if let Some(horizon) = horizon {
            found.retain(|found| found.place <= horizon);
        }
        Ok((found, horizon.map(after)))
    }

    fn lookup_runs(&self, runs: &ExtentRuns, segments: &Segments) -> Sections {
        let mut found = Vec::new();
        let mut last = (0, 0);
        let mut spaces = KnownSpaces::default();
        let mut runs = runs.in_order(self.next_place);
        // A bounded number at a time, so that the committer never waits long for the catalog.
        for owned in runs.by_ref().take(16 * RUNS_PER_LOOKUP as usize) {
            last = owned.run.place();
            if self.log_position(last) >= self.end {
                return (found, None);
            }
            let row = &segments.rows[owned.segment];
            let space = spaces.get(row.space, || self.sources.find(&segments.spaces[row.space]));
            let name = segments.names.bytes(row.name);
            if let Some(space) = space
                && self.sources.part(space).wants(name)
                && self.choice.filter.passes_segment(name)
            {
                found.push(FoundSection {
                    place: last,
                    timestamp: owned.run.timestamp,
                    space,
                    is: None,
                });
            }
        }
        (found, runs.next().map(|_| after(last)))
    }

    /// A place of the extent that is looked up.
    pub(super) fn log_position(&self, place: SectionAt) -> LogPosition {
        LogPosition {
            extent: self.extent,
            byte: place.0,
        }
    }
}

/// Which spaces of a log are which of a read, as far as they were met: a look at a few runs must not cost a look at all that is wanted.
#[derive(Default)]
struct KnownSpaces {
    last: Option<(SpaceNumber, Option<usize>)>,
    all: BTreeMap<SpaceNumber, Option<usize>>,
}

impl KnownSpaces {
    fn get(&mut self, space: SpaceNumber, find: impl FnOnce() -> Option<usize>) -> Option<usize> {
        if let Some((_, known)) = self.last.filter(|(last, _)| *last == space) {
            return known;
        }
        let known = *self.all.entry(space).or_insert_with(find);
        self.last = Some((space, known));
        known
    }
}

fn after(place: SectionAt) -> SectionAt {
    (place.0, place.1.saturating_add(1))
}

//! The entries that a scan returns of a section.

use super::{SpacesScan, Start};
use crate::error::StorageError;
use crate::format::FormatError;
use crate::format::run::Run;
use crate::format::transaction::Section;
use crate::log::window::Located;
use crate::read::close_behind;
use crate::read::entries::ANOTHER_SECTION;
use crate::read::gather::Gather;
use crate::read::listed::FoundSection;
use crate::read::place::Before;
use crate::read::resolve::{Resolved, Search};
use streamkit_record::Sequence;

impl<G: Gather> SpacesScan<G> {
    /// Where the first section of a cursor's own millisecond is met, finds out where the cursor's entry stands, or looks a
    /// part further for it: then `false`.
    pub(super) fn is_resolved(&mut self, found: &FoundSection) -> Result<bool, StorageError> {
        let starts = self.starts.as_mut().expect("found out before anything is looked up");
        let cursor = match starts.get(found.space) {
            Some(Start::AfterTime(cursor)) if cursor.timestamp == found.timestamp => cursor.clone(),
            _ => return Ok(true),
        };
        let (space, end) = (found.space, self.end);
        let first = self.window.position(found.place.0);
        let name = || self.sources.name(space).clone();
        let (_, search) = match &mut self.search {
            Some(search) if search.0 == space => search,
            search => search.insert((space, Search::new(name(), cursor.clone(), first, end))),
        };
        let sequence = cursor.sequence;
        let start = match search.go_on(&self.log)? {
            Resolved::GoOn => return Ok(false),
            Resolved::Found { extent, place } => Start::After {
                extent,
                place,
                sequence,
            },
            Resolved::NotThere => Start::BeforeTime(cursor),
        };
        self.search = None;
        starts[space] = start;
        Ok(true)
    }

    /// Whether a section's place or time alone says that its space's reader has seen it: then it need not be read.
    pub(super) fn is_seen(&self, found: &FoundSection, extent: u64) -> bool {
        match self.starts.as_ref().and_then(|starts| starts.get(found.space)) {
            None => true,
            Some(Start::Beginning) => false,
            Some(Start::Behind(behind)) => self.window.position(found.place.0) < behind.at,
            Some(Start::After {
                extent: seen, place, ..
            }) => (extent, found.place) < (*seen, *place),
            Some(Start::AfterTime(cursor) | Start::BeforeTime(cursor)) => found.timestamp < cursor.timestamp,
        }
    }

    /// The first sequence of a section that its space's reader has not seen; `None` if it has seen all of it.
    pub(super) fn unseen(
        &self,
        found: &FoundSection,
        extent: u64,
        located: &Located,
        (segment, run): (&str, &Run),
    ) -> Result<Option<Sequence>, FormatError> {
        let start = self.starts.as_ref().and_then(|starts| starts.get(found.space));
        let Some(start) = start else { return Ok(None) };
        Ok(match start {
            Start::Beginning => Some(run.first_sequence),
            Start::Behind(behind) if located.at < behind.at => None,
            Start::Behind(behind) if located.at == behind.at => {
                let before = Before::FIRST.go_to(located.bytes(), run.section_offset)?;
                let seen = behind.records.saturating_sub(before.records);
                (seen < run.count).then(|| Sequence(run.first_sequence.0 + u64::from(seen)))
            }
            Start::Behind(_) => Some(run.first_sequence),
            Start::After {
                extent: seen,
                place,
                sequence,
            } => match (extent, found.place).cmp(&(*seen, *place)) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some(sequence.next()),
                std::cmp::Ordering::Greater => Some(run.first_sequence),
            },
            Start::AfterTime(cursor) | Start::BeforeTime(cursor) => match run.timestamp.cmp(&cursor.timestamp) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal if segment == cursor.segment.as_str() => Some(cursor.sequence.next()),
                std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Some(run.first_sequence),
            },
        })
    }

    /// Reads a section; `false` if it has more than fits the batch.
    pub(super) fn read(&mut self, found: &FoundSection, out: &mut G) -> Result<bool, StorageError> {
        let resume = self.resume.take().filter(|(place, _)| *place == found.place);
        let extent = self.window.extent();
        let behind = &self.found;
        let close = || close_behind(std::iter::once(found).chain(behind).map(|found| found.place.0));
        let located = self.window.transaction(&self.log.extents, found.place.0, close)?;
        let window = &self.window;
        let damage = |error| window.damage(found.place.0, error);
        let section = Section::decode(located.bytes(), found.place.1 as usize).map_err(damage)?;
        let names = section.names().map_err(damage)?;
        let run = Run {
            first_sequence: section.first_sequence,
            timestamp: located.header.timestamp,
            trx_byte: found.place.0,
            section_offset: found.place.1,
            count: section.record_count,
        };
        if run.count == 0 {
            return Err(damage(crate::format::FormatError::Invalid(
                "a section without records in the index",
            )));
        }
        let at = window.position(found.place.0);
        let wanted = (found, self.sources.name(found.space));
        let stands = (located.header.number, &section, &run);
        if !self.listed.agrees(&self.log, at, wanted, stands)? {
            return Err(damage(ANOTHER_SECTION));
        }
        let passes = self.choice.filter.passes_segment(section.segment);
        if !passes || !self.sources.part(found.space).wants(section.segment) {
            if found.is.is_some() {
                return Err(damage(ANOTHER_SECTION));
            }
            // It must be what the index lists, just as what is given out.
            self.listed.passed(extent, &section, run);
            return Ok(true);
        }
        let readable = self.log.catalog().visible_from(names, at);
        let unseen = self.unseen(found, extent, &located, (names.1, &run)).map_err(damage)?;
        let (Some(readable), Some(unseen)) = (readable, unseen) else {
            return Ok(true);
        };
        let from = readable
            .max(unseen)
            .max(resume.map_or(Sequence::FIRST, |(_, next)| next));
        let from = from.max(run.first_sequence);
        let to = run.last_sequence();
        if from > to {
            return Ok(true);
        }
        let next = self.choice.each(&section, from..=to, G::SECTION_ENTRIES_MAX, |chosen| {
            out.take(&located, &section, chosen)
        });
        let next = next.map_err(damage)?;
        self.listed.passed(extent, &section, run);
        if next <= to {
            self.resume = Some((found.place, next));
            return Ok(false);
        }
        Ok(true)
    }
}

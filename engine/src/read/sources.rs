//! Of which segments a read of the log is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::index::catalog::Catalog;
use crate::index::segments::Segment;
use streamkit_record::{Name, SegmentPath, Wanted};

/// The spaces of a read, and what it wants of each. It knows a space by its place among them.
#[derive(Default)]
pub(crate) struct Sources(Vec<(Name, Part)>);

/// What is wanted of a space.
#[derive(Default)]
pub(super) struct Part {
    is_all: bool,
    segments: HashSet<Vec<u8>>,
    /// In order; none begins with another.
    prefixes: Vec<String>,
}

impl Part {
    /// Whether it is of this segment.
    pub(super) fn wants(&self, segment: &[u8]) -> bool {
        self.is_all || self.segments.contains(segment) || self.begins(segment)
    }

    /// Whether the segment begins with one of the prefixes. Whatever stands between a prefix and a name that begins with it begins with it,
    /// too, so only the last one before the name can be it.
    fn begins(&self, segment: &[u8]) -> bool {
        let behind = self.prefixes.partition_point(|prefix| prefix.as_bytes() <= segment);
        let last = behind.checked_sub(1).and_then(|at| self.prefixes.get(at));
        last.is_some_and(|prefix| segment.starts_with(prefix.as_bytes()))
    }

    /// Drops prefixes that begin with others.
    fn settle(&mut self) {
        self.prefixes.sort_unstable();
        self.prefixes
            .dedup_by(|longer, prefix| longer.starts_with(prefix.as_str()));
    }

    /// The segments that it is of, those that begin with `prefix`, and of which an extent may hold entries that can be read; `None`: they
    /// are more than `most`.
    pub(super) fn few(
        &self,
        catalog: &Catalog,
        space: &Name,
        prefix: &str,
        extent: u64,
        most: usize,
    ) -> Option<Vec<SegmentPath>> {
        let may_hold =
            |segment: &Segment| (u64::from(segment.begun.extent)..=u64::from(segment.last_extent)).contains(&extent);
        if self.is_all && prefix.is_empty() {
            return None;
        }
        let Some(number) = catalog.space_number(space) else {
            return Some(Vec::new());
        };
        let mut names: BTreeSet<&[u8]> = BTreeSet::new();
        let all = catalog.segments();
        let whole = self.is_all.then_some("");
        for own in self.prefixes.iter().map(String::as_str).chain(whole) {
            let begins = match own.starts_with(prefix) {
                true => own,
                false if prefix.starts_with(own) => prefix,
                false => continue,
            };
            // All of them are looked at: as many that the extent does not hold make it no cheaper to ask for each.
            for (looked_at, segment) in all.beginning(number, begins).enumerate() {
                if looked_at >= most {
                    return None;
                }
                if may_hold(segment) {
                    names.insert(all.names.bytes(segment.name));
                }
            }
        }
        if self.segments.len() > most {
            return None;
        }
        for own in &self.segments {
            let there = std::str::from_utf8(own).ok().filter(|name| name.starts_with(prefix));
            let found = there.and_then(|name| catalog.find_named((space.as_str(), name)));
            if found.is_some_and(|(_, segment)| may_hold(segment)) {
                names.insert(own);
            }
        }
        let paths = names.into_iter().filter_map(|name| {
            let (space, segment) = (space.clone(), Name::from_bytes(name).ok()?);
            Some(SegmentPath { space, segment })
        });
        Some(paths.collect())
    }
}

impl Sources {
    /// What any of these names.
    pub(crate) fn new(wanted: Vec<Wanted>) -> Self {
        let mut spaces: BTreeMap<Name, Part> = BTreeMap::new();
        for wanted in wanted {
            match wanted {
                Wanted::Space(space) => spaces.entry(space).or_default().is_all = true,
                Wanted::Segment(path) => {
                    let part = spaces.entry(path.space).or_default();
                    part.segments.insert(path.segment.as_str().into());
                }
                Wanted::Prefix(space, prefix) => spaces.entry(space).or_default().prefixes.push(prefix),
            }
        }
        spaces.values_mut().for_each(Part::settle);
        Self(spaces.into_iter().collect())
    }

    /// All of these spaces.
    pub(super) fn spaces<'a>(spaces: impl Iterator<Item = &'a Name>) -> Self {
        Self::new(spaces.cloned().map(Wanted::Space).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the spaces, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The place of a space, if it is one of them.
    pub(super) fn find(&self, space: &Name) -> Option<usize> {
        self.0.binary_search_by(|(name, _)| name.cmp(space)).ok()
    }

    pub(super) fn name(&self, space: usize) -> &Name {
        &self.0[space].0
    }

    /// What is wanted of the space at a place.
    pub(super) fn part(&self, space: usize) -> &Part {
        &self.0[space].1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_segment_is_wanted_if_it_begins_with_any_prefix(
            prefixes in proptest::collection::vec("[abé]{0,3}", 0..8),
            name in "[abé]{1,5}",
        ) {
            let space = Name::new("s").unwrap();
            let wanted = prefixes.iter().map(|prefix| Wanted::Prefix(space.clone(), prefix.clone()));
            let sources = Sources::new(wanted.collect());
            let found = sources.find(&space).is_some_and(|at| sources.part(at).wants(name.as_bytes()));
            prop_assert_eq!(found, prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
        }
    }
}

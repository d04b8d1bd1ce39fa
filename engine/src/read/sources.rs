//! Of which segments a read of the log is.

use std::collections::{BTreeMap, HashSet};

use streamkit_record::{Name, Wanted};

/// The spaces of a read, and what it wants of each. It knows a space by its place among them.
#[derive(Default)]
pub(crate) struct Sources(Vec<(Name, Part)>);

/// What is wanted of a space.
#[derive(Default)]
pub(super) struct Part {
    is_all: bool,
    segments: HashSet<Vec<u8>>,
    prefixes: Vec<String>,
}

impl Part {
    /// Whether it is of this segment.
    pub(super) fn wants(&self, segment: &[u8]) -> bool {
        let begins = |prefix: &String| segment.starts_with(prefix.as_bytes());
        self.is_all || self.segments.contains(segment) || self.prefixes.iter().any(begins)
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

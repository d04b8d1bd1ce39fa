//! Of which segments a read of the log is.

use std::collections::{BTreeMap, HashSet};

use streamkit_record::{Name, Wanted};

/// The spaces of a read, and what it wants of each.
#[derive(Default)]
pub(crate) struct Sources {
    spaces: BTreeMap<Name, Part>,
    /// Whether they are whole spaces: then a segment need not be looked at.
    are_whole: bool,
}

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
        let are_whole = spaces.values().all(|part| part.is_all);
        Self { spaces, are_whole }
    }

    /// All of these spaces.
    pub(super) fn spaces<'a>(spaces: impl Iterator<Item = &'a Name>) -> Self {
        Self::new(spaces.cloned().map(Wanted::Space).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.spaces.keys()
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = (&Name, &Part)> {
        self.spaces.iter()
    }

    /// Whether they are of this segment of one of their spaces.
    pub(super) fn wants(&self, space: &Name, segment: &Name) -> bool {
        let part = || self.spaces.get(space);
        self.are_whole || part().is_some_and(|part| part.wants(segment.as_str().as_bytes()))
    }
}

//! Entries that somebody saw, each kept once however many saw it.

use std::collections::HashMap;

use bytes::Bytes;
use streamkit_client::record::{Entry, Metadata, Sequence};

use crate::truth::Truth;
use crate::witness::segment_of;

/// One of them, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen(u32);

/// All of them.
#[derive(Default)]
pub(crate) struct Sightings {
    entries: Vec<Entry>,
    /// By segment and sequence. Of several, one at most was ever there.
    at: HashMap<(Option<usize>, Sequence), Vec<Seen>>,
}

impl Sightings {
    /// Keeps an entry that was seen.
    pub fn keep(&mut self, entry: Entry) -> Seen {
        let known = self.at.entry((segment_of(&entry.path), entry.sequence)).or_default();
        if let Some(same) = known.iter().find(|seen| self.entries[seen.0 as usize] == entry) {
            return *same;
        }
        let seen = Seen(u32::try_from(self.entries.len()).expect("fewer than 4 G entries"));
        known.push(seen);
        // The one that came would keep all of the message that brought it.
        let payload = Bytes::copy_from_slice(&entry.payload);
        let metadata = Metadata::from_pairs(entry.metadata.iter());
        self.entries.push(Entry {
            payload,
            metadata,
            ..entry
        });
        seen
    }

    /// Where each of them stands in the log.
    pub fn places(&self, truth: &Truth) -> Places {
        Places(self.entries.iter().map(|entry| truth.find(entry)).collect())
    }

    /// Those that are not there.
    pub fn strange<'a>(&'a self, places: &'a Places) -> impl Iterator<Item = &'a Entry> {
        let of = self.entries.iter().zip(&places.0);
        of.filter(|(_, place)| place.is_none()).map(|(entry, _)| entry)
    }
}

/// Where what was seen stands in the log.
pub(crate) struct Places(Vec<Option<usize>>);

impl Places {
    /// `None`: it is not there.
    pub fn of(&self, seen: Seen) -> Option<usize> {
        self.0[seen.0 as usize]
    }
}

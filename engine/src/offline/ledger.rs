//! The ledger of a damaged log: what each segment must hold, in log order, found or known to be missing. `verify`,
//! `inspect` and `repair` all list losses from it.

use std::collections::HashMap;

use super::SequenceRange;
use super::files::FoundCheckpoint;
use streamkit_record::{SegmentPath, Sequence, Timestamp};

/// Entries of a segment that nothing holds any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct GoneEntries {
    first: u64,
    last: u64,
    /// Where they stood, as a number in [`Findings::damage`](super::findings::Findings::damage).
    hole: usize,
}

/// A segment, from its first entry or its last deletion on.
#[derive(Default)]
struct Life {
    /// Its last sequence, found or missing.
    head: u64,
    /// The commit time of that one, if it was found.
    last_timestamp: Option<Timestamp>,
    /// The first readable sequence, as far as a trim was found.
    floor: u64,
    /// The commit time of the entry that the checkpoint has as first one, if it was found.
    first_timestamp: Option<Timestamp>,
    /// In order.
    gone: Vec<GoneEntries>,
}

impl Life {
    /// Up to `last`, all that was not found is gone.
    fn gone_up_to(&mut self, first: u64, last: u64, hole: usize) {
        let first = first.max(self.head + 1).max(self.floor);
        if first <= last {
            self.gone.push(GoneEntries { first, last, hole });
        }
        if last > self.head {
            (self.head, self.last_timestamp) = (last, None);
        }
    }

    fn trim(&mut self, first: u64) {
        self.floor = self.floor.max(first);
        let floor = self.floor;
        self.gone.retain_mut(|gone| {
            gone.first = gone.first.max(floor);
            gone.first <= gone.last
        });
    }
}

/// All segments.
#[derive(Default)]
pub(super) struct Ledger {
    lives: HashMap<SegmentPath, Life>,
}

impl Ledger {
    /// Whether an entry of this sequence continues its segment.
    pub(super) fn continues(&self, path: &SegmentPath, first: u64) -> bool {
        self.lives.get(path).map_or(0, |life| life.head) + 1 == first
    }

    /// Entries are found. What is missing right before them stood in `hole`.
    pub(super) fn found(
        &mut self,
        path: SegmentPath,
        (first, last): (u64, u64),
        timestamp: Timestamp,
        checkpoint: Option<&FoundCheckpoint>,
        hole: Option<usize>,
    ) {
        let checkpointed = checkpoint.and_then(|found| found.catalog.find(&path));
        let is_first = checkpointed.is_some_and(|(_, row)| (first..=last).contains(&row.first_sequence.0));
        let life = self.lives.entry(path).or_default();
        if first <= life.head {
            // Only a delete makes a segment begin anew; it was in a hole.
            *life = Life::default();
        }
        if let Some(hole) = hole {
            life.gone_up_to(1, first - 1, hole);
        }
        (life.head, life.last_timestamp) = (last, Some(timestamp));
        if is_first {
            life.first_timestamp = Some(timestamp);
        }
    }

    /// Entries are missing: they are told in log order, between those that are found.
    pub(super) fn lost(&mut self, range: &SequenceRange, hole: usize) {
        let life = self.lives.entry(range.path.clone()).or_default();
        if range.first.0 <= life.head {
            *life = Life::default();
        }
        life.gone_up_to(1, range.last.0, hole);
    }

    /// A segment's first readable sequence is raised: what was before it is not lost.
    pub(super) fn trimmed(&mut self, path: SegmentPath, first: Sequence) {
        self.lives.entry(path).or_default().trim(first.0);
    }

    /// A segment is deleted: nothing of it is lost.
    pub(super) fn deleted(&mut self, path: &SegmentPath) {
        self.lives.remove(path);
    }

    /// The log has come to its checkpoint, which says what was there. What is not was lost in `hole` at the latest.
    pub(super) fn compare(&mut self, checkpoint: &FoundCheckpoint, hole: usize) {
        let segments = checkpoint.catalog.segments();
        self.lives.retain(|path, _| checkpoint.catalog.find(path).is_some());
        for number in segments.order.iter() {
            let row = &segments.rows[number];
            let life = self.lives.entry(segments.path(number)).or_default();
            let (first, head) = (row.first_sequence.0, row.head.0);
            let differs = |found: Option<Timestamp>, said| found.is_some_and(|found| found != said);
            // What was found is of an earlier life: the deletion and what came behind it are lost.
            let is_earlier = life.head > head
                || (life.head == head && differs(life.last_timestamp, row.last_timestamp))
                || differs(life.first_timestamp, row.first_timestamp);
            if is_earlier {
                *life = Life::default();
            }
            life.trim(first);
            life.gone_up_to(first, head, hole);
        }
    }

    /// What was readable and is gone, with the places where it stood.
    pub(super) fn settle(self) -> impl Iterator<Item = (usize, SequenceRange)> {
        self.lives.into_iter().flat_map(|(path, life)| {
            let range = move |gone: GoneEntries| {
                let (path, first, last) = (path.clone(), Sequence(gone.first), Sequence(gone.last));
                (gone.hole, SequenceRange { path, first, last })
            };
            life.gone.into_iter().map(range)
        })
    }
}

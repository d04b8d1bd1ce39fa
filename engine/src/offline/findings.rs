//! What is not whole in a log, and which entries that cost.

use std::collections::HashMap;

use super::files::StoreFiles;
use super::unreadable::Unreadable;
use super::{Damage, SequenceRange};
use crate::limits::BLOCK_BYTES;
use crate::log::names::FileName;
use crate::model::{LogPosition, SegmentPath, Sequence};

/// What a pass found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) damage: Vec<Damage>,
    pub(crate) torn_tail: Option<LogPosition>,
    /// Which of `damage` are holes in the log.
    pub(crate) holes: Vec<usize>,
    /// Holes since the last whole transaction.
    pub(super) pending: Vec<usize>,
    /// Transactions that are missing between those found in them.
    pub(super) pending_lost: u64,
    /// What is known to be gone, of each segment, but for what was trimmed or deleted later.
    gone: HashMap<SegmentPath, Vec<Gone>>,
    /// The first readable sequence of segments that were trimmed behind a hole.
    trimmed: HashMap<SegmentPath, Sequence>,
}

/// Entries of a segment that nothing holds any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gone {
    first: u64,
    last: u64,
    /// Where they stood, as a number in [`Findings::damage`].
    hole: usize,
}

impl Findings {
    /// Whether something before may be gone.
    pub(crate) fn has_hole(&self) -> bool {
        !self.holes.is_empty()
    }

    /// A place of the log that is not whole.
    pub(crate) fn hole(&mut self, mut damage: Damage) {
        for SequenceRange { path, first, last } in damage.affected.drain(..) {
            let (first, last, hole) = (first.0, last.0, self.damage.len());
            self.gone.entry(path).or_default().push(Gone { first, last, hole });
        }
        self.pending.push(self.damage.len());
        self.holes.push(self.damage.len());
        self.damage.push(damage);
    }

    /// The entries before a whole one that nothing holds: they were in a hole, and if no index file says in which, the last
    /// one gets them.
    pub(crate) fn skipped(&mut self, path: &SegmentPath, first: Sequence, last: Sequence) {
        let mut holes = self.holes.iter().rev();
        let open = holes.find(|&&hole| !self.damage[hole].affected_is_all);
        let Some(&hole) = open.or(self.holes.last()) else {
            return;
        };
        let first = first.max(self.trimmed.get(path).copied().unwrap_or_default());
        let known = self.gone.entry(path.clone()).or_default();
        known.sort_unstable();
        let (mut next, mut unknown) = (first.0, Vec::new());
        for gone in known.iter().filter(|gone| gone.last >= first.0 && gone.first <= last.0) {
            if gone.first > next {
                let last = gone.first - 1;
                unknown.push(Gone {
                    first: next,
                    last,
                    hole,
                });
            }
            next = next.max(gone.last.saturating_add(1));
        }
        if next <= last.0 {
            let (first, last) = (next, last.0);
            unknown.push(Gone { first, last, hole });
        }
        known.extend(unknown);
    }

    /// A segment's first readable sequence is raised: what was before it is not lost. Of a hole that this was taken out of,
    /// nobody can tell which entries stood before and which behind it, under numbers that a deletion gave free.
    pub(crate) fn trimmed(&mut self, path: &SegmentPath, first: Sequence, in_hole: bool) {
        let first_readable = self.trimmed.entry(path.clone()).or_default();
        *first_readable = first.max(*first_readable);
        let here = self.holes.last().filter(|_| in_hole);
        let Some(known) = self.gone.get_mut(path) else { return };
        known.retain_mut(|gone| {
            if here != Some(&gone.hole) {
                gone.first = gone.first.max(first.0);
            }
            gone.first <= gone.last
        });
    }

    /// A segment is deleted, as [`Findings::trimmed`].
    pub(crate) fn deleted(&mut self, path: &SegmentPath, in_hole: bool) {
        self.trimmed.remove(path);
        let here = self.holes.last().filter(|_| in_hole);
        if let Some(known) = self.gone.get_mut(path) {
            known.retain(|gone| here == Some(&gone.hole));
        }
    }

    /// What was readable and is gone, to the places where it stood.
    pub(super) fn settle(&mut self) {
        for (path, known) in self.gone.drain() {
            for Gone { first, last, hole } in known {
                let (path, first, last) = (path.clone(), Sequence(first), Sequence(last));
                self.damage[hole].affected.push(SequenceRange { path, first, last });
            }
        }
        for damage in &mut self.damage {
            damage.affected.sort_unstable();
        }
    }

    /// A transaction that breaks the rules, though its bytes are what was written: a hole, too.
    pub(crate) fn broken(&mut self, files: &StoreFiles, at: LogPosition, bytes: u64, found: String) {
        let path = files.path(FileName::Extent(at.extent));
        let mut damage = Damage::without_loss(path, at.extent, u64::from(at.byte), found);
        damage.end = u64::from(at.byte) + bytes;
        damage.affected_is_all = false;
        self.hole(damage);
    }

    /// A place that cannot be read. Where it is part of a damaged one, that says why; what stood behind the end of the
    /// open extent, nobody knows.
    pub(super) fn unreadable(&mut self, files: &StoreFiles, place: Unreadable, open_end: Option<LogPosition>) {
        let Unreadable { name, from, to, why } = place;
        let what = format!("bytes {from} to {to} cannot be read: {why}");
        let path = files.path(name);
        let (extent, is_log) = match name {
            FileName::Extent(number) => (number, true),
            FileName::Index(number) | FileName::Spare(number) => (number, false),
            FileName::Checkpoint => (0, false),
        };
        let within = |damage: &Damage| damage.byte < to && from < damage.end.max(damage.byte + BLOCK_BYTES as u64);
        let mut known = self.damage.iter_mut().filter(|damage| damage.path == path);
        if let Some(damage) = known.find(|damage| !is_log || within(damage)) {
            damage.found = format!("{}; {what}", damage.found);
            return;
        }
        let mut damage = Damage::without_loss(path, extent, from, what);
        damage.end = to;
        damage.affected_is_all = !is_log || open_end.is_none_or(|end| extent < end.extent || to <= u64::from(end.byte));
        self.damage.push(damage);
    }

    /// A whole transaction follows the holes; `lost` are missing right before it.
    pub(super) fn resume(&mut self, lost: u64) {
        let lost = lost.saturating_add(std::mem::take(&mut self.pending_lost));
        for &hole in &self.pending {
            let damage = &mut self.damage[hole];
            if self.pending.len() == 1 || lost == 0 {
                damage.lost_transactions = Some(lost);
            }
            damage.affected_is_all |= lost == 0;
        }
        self.pending.clear();
    }
}

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
    /// What is known to be gone.
    gone: HashMap<SegmentPath, Vec<(u64, u64)>>,
}

impl Findings {
    /// Whether something before may be gone.
    pub(crate) fn has_hole(&self) -> bool {
        !self.holes.is_empty()
    }

    /// A place of the log that is not whole.
    pub(crate) fn hole(&mut self, damage: Damage) {
        for range in &damage.affected {
            let known = self.gone.entry(range.path.clone()).or_default();
            known.push((range.first.0, range.last.0));
        }
        self.pending.push(self.damage.len());
        self.holes.push(self.damage.len());
        self.damage.push(damage);
    }

    /// The entries before a whole one that nothing holds: they were in a hole, and if no index file says in which, the last
    /// one gets them.
    pub(crate) fn skipped(&mut self, path: &SegmentPath, first: Sequence, last: Sequence) {
        let known = self.gone.entry(path.clone()).or_default();
        known.sort_unstable();
        let (mut next, mut unknown) = (first.0, Vec::new());
        for &(from, to) in known.iter().filter(|&&(from, to)| to >= first.0 && from <= last.0) {
            if from > next {
                unknown.push((next, from - 1));
            }
            next = next.max(to.saturating_add(1));
        }
        if next <= last.0 {
            unknown.push((next, last.0));
        }
        let holes = self.holes.iter().rev();
        let open = holes.clone().find(|&&hole| !self.damage[hole].affected_is_all);
        if let Some(&hole) = open.or(self.holes.last()) {
            for &(from, to) in &unknown {
                let (first, last) = (Sequence(from), Sequence(to));
                let path = path.clone();
                self.damage[hole].affected.push(SequenceRange { path, first, last });
            }
        }
        known.extend(unknown);
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

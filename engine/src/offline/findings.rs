//! Damaged places of a log, and the entries they cost.

use super::files::StoreFiles;
use super::ledger::Ledger;
use super::unreadable::Unreadable;
use super::{Damage, SequenceRange};
use crate::directory::names::FileName;
use crate::limits::BLOCK_BYTES;
use streamkit_record::LogPosition;

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
    /// What each segment must hold; only once it is known that something is damaged.
    pub(super) ledger: Option<Ledger>,
}

impl Findings {
    /// Whether something before may be gone.
    pub(crate) fn has_hole(&self) -> bool {
        !self.holes.is_empty()
    }

    /// A place of the log that is not whole.
    pub(crate) fn hole(&mut self, damage: Damage) {
        self.pending.push(self.damage.len());
        self.holes.push(self.damage.len());
        self.damage.push(damage);
    }

    /// The hole of `extent` in which byte `byte` stood, or the last one.
    pub(super) fn hole_at(&self, extent: u64, byte: u32) -> Option<usize> {
        let own = |&&hole: &&usize| {
            let damage = &self.damage[hole];
            damage.extent == extent && (damage.byte..damage.end).contains(&u64::from(byte))
        };
        self.holes.iter().rev().find(own).or(self.holes.last()).copied()
    }

    /// The hole to which belongs what nothing else tells the place of: the last one of which not everything is known.
    pub(super) fn open_hole(&self) -> Option<usize> {
        let open = self
            .holes
            .iter()
            .rev()
            .find(|&&hole| !self.damage[hole].affected_is_all);
        open.or(self.holes.last()).copied()
    }

    /// What was readable and is gone, to the places where it stood; neighbours as one.
    pub(super) fn settle(&mut self) {
        if let Some(ledger) = self.ledger.take() {
            for (hole, range) in ledger.settle() {
                self.damage[hole].affected.push(range);
            }
        }
        for damage in &mut self.damage {
            damage.affected.sort_unstable();
            let mut ranges: Vec<SequenceRange> = Vec::new();
            for range in damage.affected.drain(..) {
                match ranges.last_mut() {
                    Some(last) if last.path == range.path && last.last.next() == range.first => last.last = range.last,
                    _ => ranges.push(range),
                }
            }
            damage.affected = ranges;
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
            FileName::Checkpoint | FileName::Archived => (0, false),
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

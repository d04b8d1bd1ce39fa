//! An extent whose groups do not simply follow each other: which are still to come, and which bytes no group accounts
//! for.

use super::scan::Scanned;
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::limits::BLOCK_BYTES;

/// What a scan found, as far as it was not gone through.
pub(super) struct Scattered {
    /// In the order of their numbers.
    groups: std::iter::Peekable<std::vec::IntoIter<Scanned>>,
    /// Where whole groups stand, in order, with their numbers.
    whole: Vec<(u32, u32, u64)>,
    /// What was gone through, from byte to byte.
    covered: Vec<(u32, u32)>,
    /// Some group does not stand where it belongs.
    pub(super) displaced: bool,
    /// Everything before this byte was durable, as the groups say.
    durable: u32,
}

impl Scattered {
    /// `first` is where the first trouble is: everything before is whole.
    pub(super) fn new(groups: Vec<Scanned>, first: u32) -> Self {
        let whole = groups.iter().filter(|group| group.whole);
        let mut whole: Vec<(u32, u32, u64)> = whole.map(|group| (group.at, group.end, group.number)).collect();
        whole.sort_unstable();
        Self {
            durable: groups.iter().map(|group| group.durable).max().unwrap_or(0),
            groups: groups.into_iter().peekable(),
            whole,
            covered: vec![(EXTENT_HEADER_BYTES as u32, first)],
            displaced: false,
        }
    }

    /// The next group behind this number that is not of an earlier epoch; groups that are not `wanted` do not count.
    pub(super) fn next(&mut self, number: u64, epoch: u64, wanted: impl Fn(&Scanned) -> bool) -> Option<Scanned> {
        self.groups
            .find(|group| group.number > number && group.epoch >= epoch && wanted(group))
    }

    /// Whether any comes behind this number, as [`Scattered::next`].
    pub(super) fn has_more(&mut self, number: u64, epoch: u64, wanted: impl Fn(&Scanned) -> bool) -> bool {
        let is_next = |group: &Scanned| group.number > number && group.epoch >= epoch && wanted(group);
        while self.groups.next_if(|group| !is_next(group)).is_some() {}
        self.groups.peek().is_some()
    }

    /// Up to which byte groups say that the log was durable.
    pub(super) fn durable(&self) -> u32 {
        self.durable
    }

    /// Whether a whole group of a later number stands from byte `from` to `to`: it would be passed over.
    pub(super) fn has_later_between(&self, from: u32, to: u32, number: u64) -> bool {
        let next = self.whole.partition_point(|&(at, ..)| at < from);
        let mut between = self.whole[next..].iter().take_while(|&&(at, ..)| at < to);
        between.any(|&(.., other)| other > number)
    }

    /// Whether this byte stands in a whole group, which is gone through in its turn.
    pub(super) fn is_in_whole(&self, byte: u32) -> bool {
        let next = self.whole.partition_point(|&(at, ..)| at <= byte);
        next.checked_sub(1).is_some_and(|last| byte < self.whole[last].1)
    }

    pub(super) fn cover(&mut self, from: u32, to: u32) {
        self.covered.push((from, to));
    }

    /// Where the last of them ends.
    pub(super) fn end(&self) -> u32 {
        self.covered.iter().map(|&(_, to)| to).max().unwrap_or(0)
    }

    /// What nothing covers up to `end`, but for what fills up a block.
    pub(super) fn gaps(&mut self, end: u32) -> Vec<(u32, u32)> {
        self.covered.sort_unstable();
        let (mut at, mut gaps) = (EXTENT_HEADER_BYTES as u32, Vec::new());
        for &(from, to) in self.covered.iter().chain(&[(end, end)]) {
            let from = from.min(end);
            if from > at && (from - at >= BLOCK_BYTES as u32 || from.next_multiple_of(BLOCK_BYTES as u32) != from) {
                gaps.push((at, from));
            }
            at = at.max(to);
        }
        gaps
    }
}

//! Segment numbers in the order of their paths, in blocks. Finding a place, adding there and continuing from there
//! costs a search and a block, however many segments there are. Copies share the blocks.

use std::cmp::Ordering;
use std::sync::Arc;

use super::runs::SegmentNumber;

/// Numbers of a block at most.
const BLOCK_NUMBERS: usize = 512;
/// Two neighbours that hold fewer together become one.
const MERGED_NUMBERS: usize = 256;

/// Numbers, ordered by something that only the caller can look up.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathOrder {
    /// None is empty.
    blocks: Vec<Arc<Vec<SegmentNumber>>>,
    len: usize,
}

/// A place between two numbers: a block, and how many of its numbers stand before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathAt {
    block: usize,
    number: usize,
}

impl PathOrder {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn last(&self) -> Option<SegmentNumber> {
        self.blocks.last()?.last().copied()
    }

    /// The place behind all numbers that are before something.
    pub(crate) fn find(&self, is_before: impl Fn(SegmentNumber) -> bool) -> PathAt {
        let behind = self.blocks.partition_point(|block| is_before(block[0]));
        let block = behind.saturating_sub(1);
        let number = match behind {
            0 => 0,
            _ => self.blocks[block].partition_point(|&number| is_before(number)),
        };
        PathAt { block, number }
    }

    /// The numbers from a place on.
    pub(crate) fn iter_from(&self, at: PathAt) -> impl Iterator<Item = SegmentNumber> {
        let blocks = self.blocks.iter().skip(at.block);
        blocks.flat_map(|block| block.iter().copied()).skip(at.number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = SegmentNumber> {
        self.iter_from(PathAt { block: 0, number: 0 })
    }

    /// Adds a number where [`PathOrder::find`] says it belongs.
    pub(crate) fn insert(&mut self, number: SegmentNumber, at: PathAt) {
        self.len += 1;
        let PathAt {
            mut block,
            number: mut place,
        } = at;
        let is_last = block + 1 >= self.blocks.len();
        let full = match self.blocks.get(block) {
            None => true,
            Some(found) => found.len() >= BLOCK_NUMBERS,
        };
        if full && is_last && self.blocks.get(block).is_none_or(|last| last.len() == place) {
            // Names that come in order leave full blocks behind. A store of one segment must not pay for one.
            let capacity = if self.blocks.is_empty() { 1 } else { BLOCK_NUMBERS };
            let mut new = Vec::with_capacity(capacity);
            new.push(number);
            self.blocks.push(Arc::new(new));
            return;
        }
        if full {
            let tail = Arc::make_mut(&mut self.blocks[block]).split_off(BLOCK_NUMBERS / 2);
            self.blocks.insert(block + 1, Arc::new(tail));
            if place > BLOCK_NUMBERS / 2 {
                place -= BLOCK_NUMBERS / 2;
                block += 1;
            }
        }
        let numbers = Arc::make_mut(&mut self.blocks[block]);
        if numbers.len() == numbers.capacity() {
            // Doubling, as a vector would, but never beyond a block.
            numbers.reserve_exact(numbers.len().min(BLOCK_NUMBERS - numbers.len()));
        }
        numbers.insert(place, number);
    }

    /// Adds a number behind all others.
    pub(crate) fn push(&mut self, number: SegmentNumber) {
        let block = self.blocks.len().saturating_sub(1);
        let number_at = self.blocks.last().map_or(0, |last| last.len());
        self.insert(
            number,
            PathAt {
                block,
                number: number_at,
            },
        );
    }

    /// Removes the number that stands behind a place.
    pub(crate) fn remove(&mut self, at: PathAt) {
        let PathAt { mut block, mut number } = at;
        if self.blocks.get(block).is_some_and(|found| found.len() == number) {
            (block, number) = (block + 1, 0);
        }
        if self.blocks.get(block).is_none_or(|found| found.len() <= number) {
            return;
        }
        self.len -= 1;
        let numbers = Arc::make_mut(&mut self.blocks[block]);
        numbers.remove(number);
        let left = numbers.len();
        if left == 0 {
            self.blocks.remove(block);
        } else if self
            .blocks
            .get(block + 1)
            .is_some_and(|next| left + next.len() < MERGED_NUMBERS)
        {
            let next = self.blocks.remove(block + 1);
            Arc::make_mut(&mut self.blocks[block]).extend_from_slice(&next);
        }
    }
}

/// The [`PathOrder::find`] predicate for "before this", from a comparison with it.
pub(crate) fn before(compared: impl Fn(SegmentNumber) -> Ordering) -> impl Fn(SegmentNumber) -> bool {
    move |number| compared(number) == Ordering::Less
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn find(order: &PathOrder, wanted: u32) -> PathAt {
        order.find(before(|number| number.cmp(&wanted)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn numbers_added_and_removed_anywhere_stay_in_order(
            first in 0_u32..3000,
            changes in proptest::collection::vec((any::<bool>(), 0_u32..6000), 0..3000),
        ) {
            let mut order = PathOrder::default();
            let mut model = BTreeSet::new();
            for number in 0..first {
                order.push(number * 2);
                model.insert(number * 2);
            }
            let copy = order.clone();
            for (adds, number) in changes {
                let at = find(&order, number);
                if adds && model.insert(number) {
                    order.insert(number, at);
                } else if !adds && model.remove(&number) {
                    order.remove(at);
                }
            }
            prop_assert!(order.iter().eq(model.iter().copied()));
            prop_assert_eq!(order.len(), model.len());
            for from in (0..6000).step_by(97) {
                prop_assert!(order.iter_from(find(&order, from)).eq(model.range(from..).copied()));
            }
            prop_assert!(order.blocks.iter().all(|block| !block.is_empty() && block.len() <= BLOCK_NUMBERS));
            prop_assert!(copy.iter().eq((0..first).map(|number| number * 2)), "a copy saw later changes");
        }
    }

    #[test]
    fn numbers_in_order_fill_their_blocks() {
        let mut order = PathOrder::default();
        for number in 0..10 * BLOCK_NUMBERS as u32 {
            order.push(number);
        }
        assert_eq!(
            (order.blocks.len(), order.last()),
            (10, Some(10 * BLOCK_NUMBERS as u32 - 1))
        );
        for _ in 0..9 * BLOCK_NUMBERS {
            order.remove(find(&order, 100));
        }
        assert!(order.blocks.len() <= 4, "{} blocks", order.blocks.len());
    }
}

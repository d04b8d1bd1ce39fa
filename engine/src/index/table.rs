//! A hash table of numbers that grows a little at a time (linear hashing). A table that doubles would hash all its
//! names anew at once, and the append that adds the millionth segment would wait for that. Here each addition splits
//! at most one small shard.

use hashbrown::HashTable;

/// Numbers per shard on average, after which one more shard is made. A shard that is due to be split has twice as many,
/// which just fill 1024 places.
const SHARD_NUMBERS: usize = 400;

/// Numbers by a hash that the caller computes from what they stand for.
#[derive(Debug, Default)]
pub(crate) struct Table {
    shards: Vec<HashTable<u32>>,
    len: usize,
}

impl Table {
    /// Makes one of the numbers below `count`, one shard after the other: in the order of the numbers each addition would
    /// wait for another part of memory.
    pub(crate) fn of_all_below(count: u32, hash_of: impl Fn(u32) -> u64) -> Self {
        let shards = (count as usize).div_ceil(SHARD_NUMBERS);
        let mut table = Self {
            shards: (0..shards).map(|_| HashTable::new()).collect(),
            len: count as usize,
        };
        let mut parts = vec![Vec::new(); shards];
        for number in 0..count {
            let hash = hash_of(number);
            parts[table.shard(hash)].push((hash, number));
        }
        for (shard, part) in table.shards.iter_mut().zip(parts) {
            shard.reserve(part.len(), |&number| hash_of(number));
            for (hash, number) in part {
                shard.insert_unique(hash, number, |&number| hash_of(number));
            }
        }
        table
    }

    /// Which shard a hash belongs to. Within a shard the low bits choose the place and the highest seven are compared, so
    /// those between decide here.
    fn shard(&self, hash: u64) -> usize {
        let mask = self.shards.len().next_power_of_two() - 1;
        let bits = (hash >> 32) as usize;
        if bits & mask < self.shards.len() {
            bits & mask
        } else {
            bits & (mask >> 1)
        }
    }

    pub(crate) fn find(&self, hash: u64, mut is_wanted: impl FnMut(u32) -> bool) -> Option<u32> {
        let shard = self.shards.get(self.shard(hash))?;
        shard.find(hash, |&number| is_wanted(number)).copied()
    }

    /// Adds a number that is not there. `hash_of` is what computed `hash`.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if self.len >= self.shards.len() * SHARD_NUMBERS {
            self.split(&hash_of);
        }
        let shard = self.shard(hash);
        self.shards[shard].insert_unique(hash, number, |&number| hash_of(number));
        self.len += 1;
    }

    fn split(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let new = self.shards.len();
        self.shards.push(HashTable::new());
        if new == 0 {
            return;
        }
        let source = new - (1 << new.ilog2());
        let whole = std::mem::take(&mut self.shards[source]);
        for half in [source, new] {
            self.shards[half] = HashTable::with_capacity(whole.len() / 2);
        }
        for number in whole {
            let hash = hash_of(number);
            let half = self.shard(hash);
            self.shards[half].insert_unique(hash, number, |&number| hash_of(number));
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let shard = self.shard(hash);
        let Some(shard) = self.shards.get_mut(shard) else {
            return;
        };
        if let Ok(entry) = shard.find_entry(hash, |&other| other == number) {
            entry.remove();
            self.len -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn every_number_is_found_at_every_size_until_it_is_removed() {
        let hasher = std::hash::RandomState::new();
        let hash_of = |number: u32| hasher.hash_one(number);
        for before in [0, 1, 399, 400, 401, 3000, 20_000] {
            let mut table = Table::of_all_below(before, hash_of);
            for number in before..20_000 {
                assert_eq!(table.find(hash_of(number), |found| found == number), None);
                table.insert(hash_of(number), number, hash_of);
            }
            for number in (0..20_000).step_by(2) {
                table.remove(hash_of(number), number);
            }
            for number in 0..20_000 {
                let expected = (number % 2 == 1).then_some(number);
                assert_eq!(table.find(hash_of(number), |found| found == number), expected);
            }
            assert_eq!(table.len, 10_000);
        }
    }

    #[test]
    fn no_shard_grows_far_beyond_the_others() {
        let hasher = std::hash::RandomState::new();
        let hash_of = |number: u32| hasher.hash_one(number);
        let mut table = Table::default();
        for number in 0..50_000 {
            table.insert(hash_of(number), number, hash_of);
        }
        assert!(table.shards.iter().all(|shard| shard.len() < 3 * SHARD_NUMBERS));
        let places: usize = table.shards.iter().map(HashTable::capacity).sum();
        assert!(places < 3 * 50_000, "{places}");
    }
}

//! Many growing lists of numbers in one vector: a list costs no allocation of its own, and can grow at any time.
//!
//! A list is `[length, last chunk, chunk]`, a chunk `[next chunk or 0, numbers …]`. Each chunk is twice as large as
//! the one before, up to [`CHUNK_NUMBERS`], so that a search passes few of them and a short list wastes little.

/// Numbers of the first chunk.
const FIRST_NUMBERS: u32 = 2;
/// Numbers of a chunk at most.
const CHUNK_NUMBERS: u32 = 4096;
/// Numbers of all chunks that are smaller than the largest.
const BEFORE_LARGEST: u32 = CHUNK_NUMBERS - FIRST_NUMBERS;

/// Lists, each named by where it starts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    words: Vec<u32>,
}

/// The size of the chunk into which a list of this length grows, and how many numbers it already has.
fn chunk_at(length: u32) -> (u32, u32) {
    if length >= BEFORE_LARGEST {
        return (CHUNK_NUMBERS, (length - BEFORE_LARGEST) % CHUNK_NUMBERS);
    }
    let size = FIRST_NUMBERS << (length / FIRST_NUMBERS + 1).ilog2();
    (size, length - (size - FIRST_NUMBERS))
}

impl Lists {
    fn add_words(&mut self, count: u32) -> u32 {
        let start = u32::try_from(self.words.len()).expect("an extent of 1 GiB has fewer than 2^30 sections");
        self.words.resize(self.words.len() + count as usize, 0);
        start
    }

    /// Begins an empty list.
    pub(crate) fn begin(&mut self) -> u32 {
        let list = self.add_words(2 + 1 + FIRST_NUMBERS);
        self.words[list as usize + 1] = list + 2;
        list
    }

    /// Adds a number at the end of a list.
    pub(crate) fn push(&mut self, list: u32, number: u32) {
        let length = self.words[list as usize];
        let (size, filled) = chunk_at(length);
        let mut chunk = self.words[list as usize + 1];
        if filled == 0 && length > 0 {
            let next = self.add_words(1 + size);
            self.words[chunk as usize] = next;
            self.words[list as usize + 1] = next;
            chunk = next;
        }
        self.words[(chunk + 1 + filled) as usize] = number;
        self.words[list as usize] = length + 1;
    }

    /// The numbers of a list, chunk by chunk; none is empty.
    pub(crate) fn chunks(&self, list: u32) -> impl Iterator<Item = &[u32]> {
        let length = self.words[list as usize];
        let (mut chunk, mut before) = (list as usize + 2, 0);
        std::iter::from_fn(move || {
            let (size, _) = chunk_at(before);
            let filled = size.min(length - before);
            if filled == 0 {
                return None;
            }
            let numbers = &self.words[chunk + 1..][..filled as usize];
            chunk = self.words[chunk] as usize;
            before += filled;
            Some(numbers)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_grow_side_by_side_keep_their_own_numbers() {
        let mut lists = Lists::default();
        let (short, long) = (lists.begin(), lists.begin());
        for number in 0..20_000 {
            lists.push(long, number);
            if number % 1000 == 0 {
                lists.push(short, number);
            }
            if number < 300 || number % 997 == 0 {
                assert!(lists.chunks(long).flatten().copied().eq(0..=number));
            }
        }
        assert!(lists.chunks(short).flatten().copied().eq((0..20_000).step_by(1000)));
        let lengths: Vec<usize> = lists.chunks(long).map(<[u32]>::len).collect();
        assert_eq!(lengths[..3], [2, 4, 8]);
        assert!(lengths.iter().all(|&length| length <= CHUNK_NUMBERS as usize));
    }

    #[test]
    fn a_list_just_begun_is_empty() {
        let mut lists = Lists::default();
        let list = lists.begin();
        assert_eq!(lists.chunks(list).next(), None);
    }
}

//! A row of values in chunks that copies share. A copy costs one count a chunk; a writer copies a shared chunk before
//! changing it. So a snapshot of a million rows takes microseconds, and later writes never show in it.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Rows of a chunk: few enough that the first write after a snapshot copies little, enough that chunks are few.
const CHUNK_ROWS: usize = 256;

/// Values by number, from 0.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T> {
    /// All are full but the last.
    chunks: Vec<Arc<Vec<T>>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Rows<T> {
    pub(crate) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK_ROWS;
        self.chunks.last().map_or(0, |last| full + last.len())
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        self.chunks.get(number / CHUNK_ROWS)?.get(number % CHUNK_ROWS)
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.chunks.last()?.last()
    }

    /// The rows from a number on.
    pub(crate) fn iter_from(&self, number: usize) -> impl Iterator<Item = &T> {
        let chunks = self.chunks.iter().skip(number / CHUNK_ROWS);
        chunks.flat_map(|chunk| chunk.iter()).skip(number % CHUNK_ROWS)
    }

    /// How many rows at the start are before something; what is before must stand in front.
    pub(crate) fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        let chunk = self.chunks.partition_point(|chunk| is_before(&chunk[0]));
        let Some(chunk) = chunk.checked_sub(1) else {
            return 0;
        };
        chunk * CHUNK_ROWS + self.chunks[chunk].partition_point(is_before)
    }
}

impl<T: Clone> Rows<T> {
    /// Adds a row at the end; its number.
    pub(crate) fn push(&mut self, row: T) -> u32 {
        let number = u32::try_from(self.len()).expect("fewer than 2^32 rows");
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK_ROWS => {
                let last = Arc::make_mut(last);
                if last.len() == last.capacity() {
                    // Doubling, as a vector would, but never beyond a chunk.
                    last.reserve_exact(last.len().min(CHUNK_ROWS - last.len()));
                }
                last.push(row);
            }
            first => {
                // A store of one segment must not pay for a chunk.
                let capacity = if first.is_none() { 1 } else { CHUNK_ROWS };
                let mut chunk = Vec::with_capacity(capacity);
                chunk.push(row);
                self.chunks.push(Arc::new(chunk));
            }
        }
        number
    }
}

impl<T> Index<u32> for Rows<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK_ROWS][number as usize % CHUNK_ROWS]
    }
}

impl<T: Clone> IndexMut<u32> for Rows<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[number as usize / CHUNK_ROWS])[number as usize % CHUNK_ROWS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_what_is_written_later() {
        let mut rows = Rows::default();
        for number in 0..1000_u32 {
            assert_eq!(rows.push(number), number);
        }
        let copy = rows.clone();
        rows[0] = 7;
        rows[999] = 8;
        rows.push(1000);
        assert_eq!((copy[0], copy[999], copy.get(1000), copy.len()), (0, 999, None, 1000));
        assert_eq!(
            (rows[0], rows[999], rows.get(1000), rows.len()),
            (7, 8, Some(&1000), 1001)
        );
    }

    #[test]
    fn rows_are_found_by_order_and_followed_from_any_number() {
        let mut rows = Rows::default();
        for length in 0..700_usize {
            assert_eq!(rows.len(), length);
            for wanted in [0, 1, 255, 256, 257, 511, 512, 699, 700] {
                assert_eq!(rows.partition_point(|&row| row < wanted), wanted.min(length));
            }
            rows.push(length);
        }
        for from in [0, 1, 255, 256, 257, 600, 699, 700, 10_000] {
            assert!(rows.iter_from(from).copied().eq(from..700), "from {from}");
        }
    }
}

//! Bytes in the form that devices take without a copy: whole blocks, at addresses that are multiples of a block.

use crate::limits::BLOCK_BYTES;

/// A growing buffer whose bytes start at a multiple of [`BLOCK_BYTES`] in memory.
#[derive(Default)]
pub struct Blocks {
    /// More than is used: the bytes start at the first aligned address within.
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Blocks {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut blocks = Self::default();
        blocks.reserve(capacity);
        blocks
    }

    /// `length` zeros.
    pub fn zeros(length: usize) -> Self {
        let mut blocks = Self::with_capacity(length);
        blocks.length = length;
        blocks
    }

    /// Bytes it has room for.
    pub fn capacity(&self) -> usize {
        self.memory.len() - self.start
    }

    fn reserve(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        let capacity = capacity.max(2 * self.length).next_multiple_of(BLOCK_BYTES);
        let mut memory = vec![0; capacity + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start < BLOCK_BYTES, "an address of bytes can be aligned to a block");
        memory[start..start + self.length].copy_from_slice(self);
        memory.truncate(start + capacity);
        (self.memory, self.start) = (memory, start);
    }

    /// Forgets the bytes, and keeps the room.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(self.length + bytes.len());
        let end = self.start + self.length;
        self.memory[end..end + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Adds zeros up to `length`.
    pub fn pad_to(&mut self, length: usize) {
        assert!(length >= self.length, "padding only adds");
        self.reserve(length);
        let end = self.start + self.length;
        self.memory[end..self.start + length].fill(0);
        self.length = length;
    }
}

impl From<&[u8]> for Blocks {
    fn from(bytes: &[u8]) -> Self {
        let mut blocks = Self::with_capacity(bytes.len());
        blocks.extend_from_slice(bytes);
        blocks
    }
}

impl std::ops::Deref for Blocks {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl std::ops::DerefMut for Blocks {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Buffers kept for the next writes: memory that was used once costs no page faults.
#[derive(Default)]
pub(crate) struct SpareBlocks {
    buffers: Vec<Blocks>,
    bytes: usize,
}

impl SpareBlocks {
    /// Bytes kept.
    const BYTES_MAX: usize = 8 << 20;
    /// Buffers kept.
    const BUFFERS_MAX: usize = 64;

    /// One of them, or a new one.
    pub(crate) fn take(&mut self) -> Blocks {
        let blocks = self.buffers.pop().unwrap_or_default();
        self.bytes -= blocks.capacity();
        blocks
    }

    /// Keeps it, if there is room.
    pub(crate) fn put(&mut self, blocks: Blocks) {
        if self.buffers.len() < Self::BUFFERS_MAX && self.bytes + blocks.capacity() <= Self::BYTES_MAX {
            self.bytes += blocks.capacity();
            self.buffers.push(blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_start_on_a_block_however_they_grow() {
        let mut blocks = Blocks::default();
        let mut expected = Vec::new();
        for round in 1..200_usize {
            let bytes = vec![round as u8; round * 7];
            blocks.extend_from_slice(&bytes);
            expected.extend_from_slice(&bytes);
            assert_eq!(blocks.as_ptr().align_offset(BLOCK_BYTES), 0);
            assert_eq!(*blocks, *expected);
        }
        let padded = expected.len().next_multiple_of(BLOCK_BYTES);
        blocks.pad_to(padded);
        assert!(blocks.len() == padded && blocks[expected.len()..].iter().all(|&byte| byte == 0));
        let room = blocks.capacity();
        blocks.clear();
        assert!(blocks.is_empty() && blocks.capacity() == room);
        blocks.pad_to(10);
        assert_eq!(*blocks, [0; 10], "no byte of an earlier life comes back");
    }
}

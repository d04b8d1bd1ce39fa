//! An input that arrives in pieces, for tests.

use std::io::Read;

/// Gives no more bytes at a time than the next of these sizes, in turns.
pub(crate) struct Pieces<R> {
    input: R,
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl<R: Read> Pieces<R> {
    pub(crate) fn new(input: R, sizes: Vec<usize>) -> Self {
        Self {
            input,
            sizes: sizes.into_iter().cycle(),
        }
    }
}

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(self.sizes.next().unwrap_or(1));
        self.input.read(&mut into[..most])
    }
}
